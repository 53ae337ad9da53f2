package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A session remembers which of a client's numbered calls were executed and what was answered, so that a call that is sent
// again is executed once. Sessions are rows of SessionDB, under the names that clients gave them, with an expiry time that
// each use moves on.

// Bounds of sessions. They are constants: all nodes must forget the same ones.
const (
	// SessionsMax is how many sessions there are at most. The next one takes the place of those that expire first.
	SessionsMax = 1 << 14
	// sessionsDropped go at once when there are too many, so that finding them is rare.
	sessionsDropped = SessionsMax / 64
	// SessionWindow is how far below the highest sequence number of a session calls are remembered.
	SessionWindow = 128
	// SessionReplyMax is the longest reply that is kept, in bytes, and sessionRepliesMax bounds those of a session.
	SessionReplyMax   = 4 << 10
	sessionRepliesMax = 64 << 10
)

var errSession = errors.New("damaged session")

// Session is one client's. Changes are stored by SaveSession.
type Session struct {
	TTL     int64  // milliseconds without use after which it is gone
	Floor   uint64 // calls up to this one are forgotten
	Highest uint64 // sequence number that was executed
	done    []Done // by sequence number, all above Floor
}

// Done is a call that was executed.
type Done struct {
	Sequence uint64
	Reply    []byte // empty: not kept
}

// Find returns what is remembered of a call, or nil.
func (s *Session) Find(sequence uint64) *Done {
	i, found := s.place(sequence)
	if !found {
		return nil
	}
	return &s.done[i]
}

func (s *Session) place(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(s.done, sequence, func(d Done, sequence uint64) int {
		if d.Sequence < sequence {
			return -1
		}
		return int(min(d.Sequence-sequence, 1))
	})
}

// Remembered is how many calls are.
func (s *Session) Remembered() int { return len(s.done) }

// Add remembers a call that was not executed before, with its reply if that is to be kept. What is too far below
// the highest number is forgotten, and the oldest replies are when there are too many bytes of them.
func (s *Session) Add(sequence uint64, reply []byte) {
	if len(reply) > SessionReplyMax {
		reply = nil
	}
	i, _ := s.place(sequence)
	s.done = slices.Insert(s.done, i, Done{sequence, reply})
	s.Highest = max(s.Highest, sequence)
	if s.Highest > SessionWindow {
		s.Forget(s.Highest - SessionWindow)
	}
	size := 0
	for i := len(s.done) - 1; i >= 0; i-- {
		if size += len(s.done[i].Reply); size > sessionRepliesMax {
			s.done[i].Reply = nil
		}
	}
}

// Forget forgets the calls up to a sequence number. None of them is executed any more.
func (s *Session) Forget(sequence uint64) {
	if sequence <= s.Floor {
		return
	}
	s.Floor = sequence
	i, found := s.place(sequence)
	if found {
		i++
	}
	s.done = slices.Delete(s.done, 0, i)
}

// A stored session is its numbers and, for each call, how far it is above the one before, and its reply; all with varints.
func (s *Session) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(s.TTL))
	b = binary.AppendUvarint(b, s.Floor)
	b = binary.AppendUvarint(b, s.Highest)
	last := s.Floor
	for i := range s.done {
		d := &s.done[i]
		b = binary.AppendUvarint(b, d.Sequence-last)
		b = append(binary.AppendUvarint(b, uint64(len(d.Reply))), d.Reply...)
		last = d.Sequence
	}
	return b
}

// decodeSession reads a stored session, whose replies alias b.
func decodeSession(b []byte) (*Session, error) {
	damaged := false
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			damaged = true
			return 0
		}
		b = b[size:]
		return n
	}
	s := &Session{TTL: int64(number()), Floor: number(), Highest: number()}
	last := s.Floor
	for len(b) > 0 && !damaged {
		step, size := number(), number()
		if step == 0 || last+step < last || size > uint64(len(b)) {
			return nil, errSession
		}
		last += step
		s.done = append(s.done, Done{last, b[:size:size]})
		b = b[size:]
	}
	if damaged || s.TTL <= 0 || last > s.Highest && len(s.done) > 0 {
		return nil, errSession
	}
	return s, nil
}

// Session returns the session with a name, and when it expires if it is not used; nil when there is none.
func (tx *Txn) Session(name []byte) (s *Session, expireAt int64) {
	defer tx.Use(tx.Use(SessionDB))
	row := tx.Lookup(name)
	if row == nil || tx.err != nil {
		return nil, 0
	}
	s, err := decodeSession(row.Value)
	if err != nil {
		tx.fail(fmt.Errorf("session %q: %w", shorten(name), err))
		return nil, 0
	}
	return s, row.ExpireAt
}

// SaveSession stores a session, which counts as used now. One that is new takes the place of others when there are too many.
func (tx *Txn) SaveSession(name []byte, s *Session) {
	defer tx.Use(tx.Use(SessionDB))
	if tx.ks.dbs[SessionDB].keys >= SessionsMax && tx.Lookup(name) == nil {
		tx.dropFirst(sessionsDropped)
	}
	tx.Keep(name, Row{Kind: String, ExpireAt: tx.now + s.TTL, Value: s.encode()})
}

// DropSession forgets a session and says whether there was one.
func (tx *Txn) DropSession(name []byte) bool {
	defer tx.Use(tx.Use(SessionDB))
	return tx.Delete(name)
}

// Sessions is how many sessions there are.
func (tx *Txn) Sessions() int64 { return tx.Count(SessionDB) }

// dropFirst deletes those n keys of the current database that expire first.
func (tx *Txn) dropFirst(n int) {
	var found [][]byte
	tx.walkExpiring(tx.db, maxExpiry, func(_ int64, key []byte) bool {
		found = append(found, bytes.Clone(key))
		return len(found) < n
	})
	for _, key := range found {
		tx.replace(tx.space(), keyHash(key), key, Row{})
	}
}
