package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// sessionModel remembers everything, and says what a session may remember of it.
type sessionModel struct {
	replies  map[uint64][]byte
	highest  uint64
	floor    uint64 // acknowledged, or too far below
	executed []uint64
}

func (m *sessionModel) add(sequence uint64, reply []byte) {
	m.replies[sequence] = reply
	m.executed = append(m.executed, sequence)
	if m.highest = max(m.highest, sequence); m.highest > SessionWindow {
		m.floor = max(m.floor, m.highest-SessionWindow)
	}
}

// check compares what the session says of a number with what happened.
func (m *sessionModel) check(t *testing.T, s *Session, sequence uint64) {
	t.Helper()
	reply, executed := m.replies[sequence]
	d := s.Find(sequence)
	switch {
	case sequence <= m.floor:
		if d != nil || s.Floor < sequence {
			t.Fatalf("%d is remembered, or would be executed again; all up to %d is to be forgotten", sequence, m.floor)
		}
	case !executed:
		if d != nil || s.Floor >= sequence {
			t.Fatalf("%d was not executed, but is taken for it", sequence)
		}
	case d == nil:
		t.Fatalf("%d is not remembered", sequence)
	case len(d.Reply) > 0 && !bytes.Equal(d.Reply, reply):
		t.Fatalf("%d was answered with %q, not %q", sequence, d.Reply, reply)
	case len(d.Reply) == 0 && sequence == m.highest && len(reply) <= SessionReplyMax:
		t.Fatalf("the reply of %d was not kept", sequence)
	}
}

func TestSessionRemembers(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &sessionModel{replies: map[uint64][]byte{}}
		s := &Session{TTL: 1000}
		for range 400 {
			near := m.highest + uint64(r.IntN(6))
			sequence := max(near, 8) - uint64(r.IntN(8))
			if r.IntN(50) == 0 {
				sequence += uint64(r.IntN(2 * SessionWindow))
			}
			if sequence > s.Floor && s.Find(sequence) == nil {
				reply := bytes.Repeat([]byte{byte(sequence)}, 1+r.IntN(20))
				if r.IntN(5) == 0 {
					reply = bytes.Repeat([]byte{byte(sequence)}, r.IntN(SessionReplyMax+100))
				}
				m.add(sequence, reply)
				s.Add(sequence, reply)
			}
			if r.IntN(30) == 0 && sequence > 10 {
				s.Forget(sequence - 10)
				m.floor = max(m.floor, sequence-10)
			}
			b := s.encode()
			if len(b) > sessionRepliesMax+20*SessionWindow || s.Remembered() > SessionWindow {
				t.Fatalf("seed %d: a session of %d bytes with %d calls", seed, len(b), s.Remembered())
			}
			decoded, err := decodeSession(b)
			if err != nil || !bytes.Equal(decoded.encode(), b) {
				t.Fatalf("seed %d: %v, and not the same session", seed, err)
			}
			s = decoded
			for _, d := range []uint64{sequence, max(m.highest, SessionWindow+3) - uint64(r.IntN(SessionWindow+3)), m.highest + 1,
				m.executed[r.IntN(len(m.executed))]} {
				if d > 0 {
					m.check(t, s, d)
				}
			}
		}
	}
}

func FuzzDecodeSession(f *testing.F) {
	s := &Session{TTL: 5, Floor: 3}
	s.Add(7, []byte("seven"))
	s.Add(5, nil)
	f.Add(s.encode())
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession(b)
		if err != nil {
			return
		}
		again, err := decodeSession(s.encode())
		if err != nil || again.Remembered() != s.Remembered() {
			t.Fatalf("%+v: %v, %+v", s, err, again)
		}
	})
}

func TestSessionNames(t *testing.T) {
	ks := freshKeyspace()
	for i := range Databases {
		if ks.dbs[i].space >= lastSpace+1 {
			t.Error("the space of a database is that of sessions")
		}
	}
	if fmt.Sprint(ks.dbs[SessionDB].space) != fmt.Sprint(uint32(lastSpace+1)) || ks.empty() != true {
		t.Error("sessions have no space of their own")
	}
}
