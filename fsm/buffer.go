package fsm

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"redoubt/failpoint"
)

const (
	// defaultBufferBytes is how much the buffer holds before it is written to the engine.
	defaultBufferBytes = 32 << 20
	// settleBytes is how much a walk over keys writes itself while it holds up Apply; what is more is
	// written before, in the background.
	settleBytes = 256 << 10
)

// A buffer holds effects that were published but that the engine does not have yet. Until it is
// written it is part of the state: who looks for a row asks the cache, the active buffer, the full
// one, and the engine, in this order. The log has it all, so that nothing is lost with it.
//
// Of a key that is changed again only the entry gets another row, so that the buffer has the last one. A
// full buffer is left as it is: its keys get new entries.
//
// Thus a key that is written again and again reaches the engine once, what does is written in the
// background, and in batches so large that Pebble sorts them into a table of their own instead of
// looking for the place of each row in a memtable.
//
// The active buffer grows while entries are published, under the machine's lock. When it is full it
// is replaced by a new one and written by a goroutine of its own. Where the engine is walked, so
// that it has to hold everything, the buffer is written before, by the walker: see settle and drain.
type buffer struct {
	*pending
	number uint32 // from 1 on; see entry
	// What goes with the effects into the engine, as of the last of them.
	at     Position
	time   int64
	ks     keyspace
	member []byte // nil: not changed

	written chan struct{} // of a full buffer: closed when it is in the engine, or the machine failed
}

func newBuffer(number uint32) *buffer {
	return &buffer{pending: newPending(), number: number, written: make(chan struct{})}
}

// dirty says whether the buffer holds anything that the engine does not.
func (b *buffer) dirty() bool { return b.at != Position{} }

// take notes that c's key is about to get another row, and returns the entry that is to have it. A key
// that is deleted and made anew is here more than once, and its changes follow on each other.
func (b *buffer) take(c *change, full *buffer) *entry {
	e := c.entry
	if full != nil && e.buffer == full.number {
		e = newEntry(e.space, e.hash, e.key)
	}
	if e.buffer != b.number {
		b.add(e, c.stored).dirty = true
		e.buffer = b.number
	}
	b.bytes += int64(len(c.row.Value) - len(e.row.Value))
	b.noteExpiry(c.row)
	return e
}

// write commits a buffer to the engine. Called with writing held.
func (m *Machine) write(buf *buffer) error {
	b := m.db.NewBatch()
	defer b.Close()
	err := errors.Join(
		buf.writeTo(b),
		buf.ks.writeTo(b, &m.writtenKS),
		b.Set(metaApplied, encodeApplied(buf.at, buf.time), nil),
	)
	if buf.member != nil {
		err = errors.Join(err, b.Set(metaMember, buf.member, nil))
	}
	if err == nil {
		err = failpoint.StateWriteBefore.Err()
	}
	if err == nil {
		err = failpoint.StateWriteAfter.After(b.Commit(pebble.NoSync))
	}
	if err != nil {
		return m.fail(err)
	}
	m.writtenKS = buf.ks
	return nil
}

// rotate makes the active buffer the full one and has it written. There is none that is being
// written. Called with the machine's lock held exclusively.
func (m *Machine) rotate() {
	full := m.active.Load()
	m.full.Store(full)
	m.active.Store(newBuffer(full.number + 1))
	m.users.Add(1)
	go func() {
		defer m.leave()
		defer close(full.written)
		m.writing.Lock()
		defer m.writing.Unlock()
		if m.write(full) == nil {
			m.full.Store(nil)
		}
	}()
}

// awaitFull waits until no buffer is being written.
func (m *Machine) awaitFull() error {
	if full := m.full.Load(); full != nil {
		<-full.written
	}
	return m.failure()
}

// makeRoom keeps the active buffer from growing beyond its bound. Called by Apply, without the lock.
func (m *Machine) makeRoom() error {
	if m.active.Load().bytes < m.bufferBytes {
		return nil
	}
	if err := m.awaitFull(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full.Load() == nil && m.active.Load().dirty() {
		m.rotate()
	}
	return nil
}

// settle has everything that is applied at the call written, while Apply and Read go on. Called
// without the lock, by one who has entered.
func (m *Machine) settle() error {
	for {
		if err := m.awaitFull(); err != nil {
			return err
		}
		m.mu.Lock()
		free := m.full.Load() == nil // else somebody was faster, and took what there was then
		if free && m.active.Load().dirty() {
			m.rotate()
		}
		m.mu.Unlock()
		if free {
			return m.awaitFull()
		}
	}
}

// drain writes the active buffer. Called with the lock held, shared is enough: nothing is published
// and no buffer becomes full meanwhile.
func (m *Machine) drain() error {
	if err := m.awaitFull(); err != nil {
		return err
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	buf := m.active.Load()
	if !buf.dirty() {
		return nil
	}
	if err := m.write(buf); err != nil {
		return err
	}
	m.active.Store(newBuffer(buf.number + 1)) // readers may be looking at the old one, which stays true
	return nil
}

// unsettled says whether so much is unwritten that a reader should not write it while it holds up
// Apply.
func (m *Machine) unsettled() bool {
	return m.full.Load() != nil || m.active.Load().bytes > settleBytes
}

// buffered returns what the buffers hold for a key, or nil when they hold nothing. Its Kind is 0 when
// the row was deleted.
func (m *Machine) buffered(space uint32, hash uint64, key []byte) *entry {
	if c := m.active.Load().find(space, hash, key); c != nil {
		return c.entry
	}
	if full := m.full.Load(); full != nil {
		if c := full.find(space, hash, key); c != nil {
			return c.entry
		}
	}
	return nil
}

// bufferedExpiry is at or below every expiry time in the buffers.
func (m *Machine) bufferedExpiry() int64 {
	first := m.active.Load().minExpire
	if full := m.full.Load(); full != nil {
		first = min(first, full.minExpire)
	}
	return first
}

// settled sees to it that the engine holds all that the transaction may see, before it is walked, and
// says whether it does. A read that would have to write too much gives up, to be run again.
func (tx *Txn) settled() bool {
	m := tx.m
	switch {
	case tx.err != nil || tx.unsettled:
		return false
	case tx.snapshot != nil:
		return true
	case tx.pending != nil:
		m.mu.RLock()
		defer m.mu.RUnlock()
	case !tx.hurried && m.unsettled():
		tx.unsettled = true
		return false
	}
	if err := m.drain(); err != nil {
		tx.fail(err)
	}
	return tx.err == nil
}
