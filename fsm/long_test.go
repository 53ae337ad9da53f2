package fsm

import (
	"errors"
	"fmt"
	"testing"

	"redoubt/resp"
)

// longHash makes a machine with a hash of so many fields of about 100 bytes.
func longHash(t *testing.T, fields int) *treeMachine {
	t.Helper()
	tm := newTreeMachine(t, 64<<10)
	tm.do(func(tx *Txn) {
		h := openHash(tx, "h")
		for i := range fields {
			h.Set(fmt.Appendf(nil, "field %d", i), fmt.Appendf(nil, "%0100d", i))
		}
		h.Save()
	})
	return tm
}

// readLong answers with all of the hash, as one reads it.
func (tm *treeMachine) readLong(kind resp.Kind) resp.Reply {
	tm.t.Helper()
	exec := tm.m.exec
	defer func() { tm.m.exec = exec }()
	tm.m.exec = func(tx *Txn, _ [][]byte) resp.Reply {
		return tx.Long(kind, openHash(tx, "h").Len(), func(tx *Txn, from int64, yield func(resp.Reply) bool) {
			openHash(tx, "h").From(from, func(field, value []byte) bool {
				more := yield(resp.NewBulk(field))
				if kind == resp.Map {
					more = yield(resp.NewBulk(value))
				}
				return more
			})
		})
	}
	req := &Request{Calls: []Call{{Args: [][]byte{[]byte("F")}, Read: true}}}
	if _, err := tm.m.Read(req, 0); err != nil {
		tm.t.Fatal(err)
	}
	return req.Replies[0]
}

// A reply that is too large for memory comes in pieces, and shows the state of one moment, whatever is written meanwhile.
func TestLongReply(t *testing.T) {
	const fields = 30_000
	for _, kind := range []resp.Kind{resp.Map, resp.Array} {
		tm := longHash(t, fields)
		reply := tm.readLong(kind)
		s := reply.Stream
		if s == nil {
			t.Fatal("a large reply is no stream")
		}
		width := 1
		if kind == resp.Map {
			width = 2
		}
		if s.Len != int64(fields*width) {
			t.Fatalf("%d elements, want %d", s.Len, fields*width)
		}
		seen := map[string]bool{}
		for pieces := 0; ; pieces++ {
			elems, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if len(elems) == 0 {
				break
			}
			bytes := 0
			for i := 0; i < len(elems); i += width {
				seen[string(elems[i].Bytes)] = true
				bytes += len(elems[i].Bytes)
			}
			if bytes > 2*pieceBytes {
				t.Fatalf("a piece of %d bytes", bytes)
			}
			tm.do(func(tx *Txn) { // what comes in between does not show
				h := openHash(tx, "h")
				h.Delete(fmt.Appendf(nil, "field %d", fields-1-pieces))
				h.Set(fmt.Appendf(nil, "new %d", pieces), nil)
				h.Save()
				if pieces == 20 {
					tx.Delete([]byte("h"))
				}
			})
		}
		if len(seen) != fields {
			t.Errorf("%d fields, want %d", len(seen), fields)
		}
		for i := range fields {
			if !seen[fmt.Sprintf("field %d", i)] {
				t.Fatalf("field %d is missing", i)
			}
		}
		s.Close()
		tm.check()
	}
}

// Small replies are made at once, and so are those in the middle of writes.
func TestLongReplyAtOnce(t *testing.T) {
	tm := longHash(t, 100)
	if reply := tm.readLong(resp.Map); reply.Stream != nil || len(reply.Elems) != 200 {
		t.Errorf("a small reply has %d elements", len(reply.Elems))
	}
	tm = longHash(t, 30_000)
	tm.do(func(tx *Txn) {
		reply := tx.Long(resp.Array, 30_000, func(tx *Txn, from int64, yield func(resp.Reply) bool) {
			openHash(tx, "h").From(from, func(field, _ []byte) bool { return yield(resp.NewBulk(field)) })
		})
		if reply.Stream != nil || len(reply.Elems) != 30_000 {
			t.Errorf("a write is answered with %d elements", len(reply.Elems))
		}
	})
}

// A machine that closes does not wait for the clients of streams.
func TestLongReplyOfClosedMachine(t *testing.T) {
	tm := longHash(t, 30_000)
	s := tm.readLong(resp.Map).Stream
	dropped := tm.readLong(resp.Map).Stream
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	dropped.Close()
	if err := tm.m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("the next piece after Close: %v", err)
	}
	s.Close()
}
