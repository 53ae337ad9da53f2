package fsm

import (
	"fmt"
	"math"

	"redoubt/failpoint"
)

// publishBytes bounds the effects that are published at once, and with it memory, when many entries
// are applied at once. A single entry may go beyond it.
const publishBytes = 8 << 20

// Apply runs committed entries in order and makes their effects visible, together with the position
// and time of the last one and, when it is not nil, meta. After an error the state is not to be
// relied on and Apply fails for ever: the replica must stop.
func (m *Machine) Apply(entries []Entry, meta []byte) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	defer m.writer.decoder.release()
	if err := m.failure(); err != nil {
		return err
	}
	tx, from := m.writer, m.applied
	tx.told = m.observer != nil && m.observer.Wants().Messages
	for i := range entries {
		e := &entries[i]
		if e.Index <= from.Index {
			return m.fail(fmt.Errorf("entry %d after entry %d", e.Index, from.Index))
		}
		from = e.Position
		if err := tx.run(e); err != nil {
			return m.fail(fmt.Errorf("apply entry %d: %w", e.Index, err))
		}
		m.hashes.note(e.Index, tx.ks.hash(tx.now))
		last := i == len(entries)-1
		if !last && tx.pending.bytes < publishBytes {
			continue
		}
		var member []byte
		if last {
			member = meta
		}
		if err := failpoint.PublishAfter.After(m.publish(from, member)); err != nil {
			return m.fail(fmt.Errorf("apply entry %d: %w", e.Index, err))
		}
	}
	return nil
}

// run executes one entry. Where the entry was proposed, the client's whole request runs in place
// of its payload; elsewhere the payload has the same writes.
func (tx *Txn) run(e *Entry) error {
	tx.index, tx.seed, tx.writes, tx.roots = e.Index, e.Seed, 0, 0
	tx.now = max(tx.now, e.Time)
	tx.agreed = tx.now
	for i := range e.Batches {
		b := &e.Batches[i]
		var err error
		if b.Local != nil {
			err = tx.runLocal(b.Local)
		} else {
			err = tx.runPayload(b.Payload)
		}
		if err != nil {
			return err
		}
	}
	tx.settlePages()
	return nil
}

func (tx *Txn) runLocal(req *Request) error {
	tx.quiet, tx.reads, tx.pending.client = req.NoTouch, req.Reads, req.Client
	defer func() { tx.quiet, tx.reads, tx.pending.client = false, nil, 0 }()
	req.Replies = req.Replies[:0]
	if req.Stale = !tx.unchanged(req.Watched); req.Stale || tx.err != nil {
		return tx.err
	}
	for i := range req.Calls {
		c := &req.Calls[i]
		if err := tx.begin(c); err != nil {
			return err
		}
		req.Replies = append(req.Replies, tx.m.exec(tx, c.Args))
		if tx.err != nil {
			return tx.err
		}
	}
	return nil
}

func (tx *Txn) runPayload(payload []byte) error {
	if err := tx.decoder.reset(payload); err != nil {
		return err
	}
	if ok, err := tx.proceeds(); err != nil || !ok {
		return err
	}
	for {
		c, ok, err := tx.decoder.next()
		if err != nil || !ok {
			return err
		}
		if err := tx.begin(&c); err != nil {
			return err
		}
		tx.m.exec(tx, c.Args)
		if tx.err != nil {
			return tx.err
		}
	}
}

// publish shows what is pending to readers, all at once, and leaves it to the buffer to bring it into
// the engine.
func (m *Machine) publish(at Position, meta []byte) error {
	if err := failpoint.PublishBefore.Err(); err != nil {
		return err
	}
	if err := m.makeRoom(); err != nil {
		return err
	}
	tx := m.writer
	if meta != nil {
		meta = append([]byte{}, meta...)
	}
	m.publishPending(tx, at, meta)
	m.tell(tx)
	return nil
}

func (m *Machine) publishPending(tx *Txn, at Position, meta []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.show(tx, at, meta)
	tx.collect()
	if len(tx.pending.dropped) > 0 && tx.ks.empty() {
		m.cache.clear() // FLUSHALL gives its memory back; other dropped rows are evicted in time
	}
	m.lowerDue(tx)
	m.ks, m.applied, m.time = *tx.ks, at, tx.now
	m.noteMemory()
	if meta != nil {
		m.member = meta
	}
	tx.pending.reset()
}

// show brings what is pending into the cache and the active buffer.
func (m *Machine) show(tx *Txn, at Position, meta []byte) {
	buf, full := m.active.Load(), m.full.Load()
	for i := range tx.pending.changes {
		c := &tx.pending.changes[i]
		if !c.dirty {
			continue
		}
		e := buf.take(c, full)
		e.sum = c.sum
		if c.row.Kind != 0 {
			m.cache.put(e, c.row)
		} else {
			m.cache.remove(e)
			e.row = Row{}
		}
	}
	buf.dropped = append(buf.dropped, tx.pending.dropped...)
	buf.at, buf.time, buf.ks = at, tx.now, *tx.ks
	if meta != nil {
		buf.member = meta
	}
}

// lowerDue keeps the bounds at or below every expiry time that is about to become visible.
func (m *Machine) lowerDue(tx *Txn) {
	for db := range m.due {
		if tx.ks.dbs[db].space != m.ks.dbs[db].space {
			m.due[db].Store(0)
		} else if at := tx.pending.minExpire; at != math.MaxInt64 {
			m.due[db].Store(min(at, m.due[db].Load()))
		}
	}
}
