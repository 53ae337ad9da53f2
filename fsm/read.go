package fsm

import "errors"

var errWriteInRead = errors.New("a command that writes was run as a read")

// Read answers read calls from one state. now is the local clock in milliseconds since 1970, or 0;
// the calls see keys as of the later of now and Time.
//
// agree is true when a call met a key that is past its time by now, but not by the log. Some
// replica's client may still have been shown that key, so the answer has to wait: the caller gets
// an entry with a later time applied and reads again. With now = 0 that never happens.
func (m *Machine) Read(req *Request, now int64) (agree bool, err error) {
	tx := m.pool.Get().(*Txn)
	defer m.pool.Put(tx)
	for tries := 0; ; tries++ {
		req.Discard() // those of a try before this one
		tx.hurried = tries == settleTries
		agree, again, err := m.read(tx, req, now)
		if !again || err != nil {
			return agree, err
		}
		if err := m.enter(); err != nil {
			return false, err
		}
		err = m.settle()
		m.leave()
		if err != nil {
			return false, err
		}
	}
}

// settleTries is how often a read is run again because too much is unwritten. While many write, each
// time leaves less.
const settleTries = 4

// read runs the calls once, and says whether they have to be run again.
func (m *Machine) read(tx *Txn, req *Request, now int64) (agree, again bool, err error) {
	m.mu.RLock()
	defer tx.endRead()
	if m.closed {
		return false, false, ErrClosed
	}
	tx.ks, tx.agreed = &m.ks, m.time
	tx.now, tx.quiet, tx.reads = max(now, m.time), req.NoTouch, req.Reads
	req.Stale = !tx.unchanged(req.Watched)
	if req.Stale || tx.err != nil || tx.agree || tx.unsettled {
		return tx.agree, tx.unsettled, tx.err
	}
	for i := range req.Calls {
		c := &req.Calls[i]
		if !c.Read {
			return false, false, errWriteInRead
		}
		if err := tx.begin(c); err != nil {
			return false, false, err
		}
		req.Replies = append(req.Replies, m.exec(tx, c.Args))
		if tx.err != nil || tx.agree || tx.unsettled {
			return tx.agree, tx.unsettled, tx.err
		}
	}
	return false, false, nil
}

// scratchKeepMax is how much room for keys a pooled transaction keeps.
const scratchKeepMax = 64 << 10

// detach lets go of the lock in the middle of a read and goes on with the same state from a
// snapshot of the engine, so that a walk over many keys does not hold up Apply.
func (tx *Txn) detach() {
	if tx.pending != nil || tx.snapshot != nil || !tx.settled() {
		return
	}
	m := tx.m
	tx.snapshot = m.db.NewSnapshot()
	tx.frozen = m.ks
	tx.ks = &tx.frozen
	m.users.Add(1)
	m.mu.RUnlock()
}

// endRead gives back what a read holds.
func (tx *Txn) endRead() {
	m := tx.m
	if tx.snapshot == nil {
		m.mu.RUnlock()
	} else {
		tx.snapshot.Close() // fails only when it is closed already
		tx.snapshot = nil
		m.leave()
	}
	tx.ks, tx.err, tx.agree, tx.unsettled, tx.reads, tx.whole = nil, nil, false, false, nil, false
	if cap(tx.scratch) > scratchKeepMax {
		tx.scratch = nil
	}
}
