package fsm

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// publishBytes bounds the effects that wait for one engine batch, and with it memory, when many
// entries are applied at once. A single entry may go beyond it.
const publishBytes = 32 << 20

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
	for i := range entries {
		e := &entries[i]
		if e.Index <= from.Index {
			return m.fail(fmt.Errorf("entry %d after entry %d", e.Index, from.Index))
		}
		from = e.Position
		if err := tx.run(e); err != nil {
			return m.fail(fmt.Errorf("apply entry %d: %w", e.Index, err))
		}
		last := i == len(entries)-1
		if !last && tx.pending.bytes < publishBytes {
			continue
		}
		var member []byte
		if last {
			member = meta
		}
		if err := m.publish(from, member); err != nil {
			return m.fail(fmt.Errorf("apply entry %d: %w", e.Index, err))
		}
	}
	return nil
}

// run executes one entry. Where the entry was proposed, the client's whole request runs in place
// of its payload; elsewhere the payload has the same writes.
func (tx *Txn) run(e *Entry) error {
	tx.index, tx.seed, tx.writes = e.Index, e.Seed, 0
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
	return nil
}

func (tx *Txn) runLocal(req *Request) error {
	req.Replies = req.Replies[:0]
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

// publish commits what is pending to the engine and shows it to readers, all at once.
func (m *Machine) publish(at Position, meta []byte) error {
	tx := m.writer
	b := m.db.NewBatch()
	defer b.Close()
	err := errors.Join(
		tx.pending.writeTo(b),
		tx.ks.writeTo(b, &m.ks),
		b.Set(metaApplied, encodeApplied(at, tx.now), nil),
	)
	if meta != nil {
		err = errors.Join(err, b.Set(metaMember, meta, nil))
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	m.cachePending(tx.pending)
	if len(tx.pending.dropped) > 0 && tx.ks.empty() {
		m.cache.clear() // FLUSHALL gives its memory back; other dropped rows are evicted in time
	}
	m.lowerDue(tx)
	m.ks, m.applied, m.time = *tx.ks, at, tx.now
	if meta != nil {
		m.member = append([]byte{}, meta...)
	}
	tx.pending.reset()
	return nil
}

func (m *Machine) cachePending(p *pending) {
	for i := range p.changes {
		c := &p.changes[i]
		switch {
		case !c.dirty:
		case c.entry.row.Kind != 0:
			m.cache.set(c.entry)
		default:
			m.cache.remove(c.entry.space, c.entry.hash, c.entry.key)
		}
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
