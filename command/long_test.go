package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"redoubt/fsm"
)

// longSize is more elements than a reply holds in memory.
const longSize = 100_000

func longMachine(t *testing.T) *machine {
	m := newMachine(t)
	const atOnce = 1000
	for from := 0; from < longSize; from += atOnce {
		var list, zset strings.Builder
		var stream []fsm.Call
		for i := from; i < from+atOnce; i++ {
			fmt.Fprintf(&list, " element:%d", i)
			fmt.Fprintf(&zset, " %d member:%d", i/3, i)
			stream = append(stream, fsm.Call{Args: words(fmt.Sprintf("XADD x 1-%d field value:%d", i+1, i))})
		}
		m.do("RPUSH l" + list.String())
		m.do("ZADD z" + zset.String())
		m.index++
		e := fsm.Entry{Position: fsm.Position{Index: m.index, Term: 1}, Time: m.now,
			Batches: []fsm.Batch{{Local: &fsm.Request{Calls: stream}}}}
		if err := m.fsm.Apply([]fsm.Entry{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for from := 0; from < longSize; from += atOnce {
		m.do("ZADD lex " + strings.TrimSpace(numbered("0 m", from, from+atOnce)))
	}
	return m
}

// TestLongReplies compares replies that are made while they are written with those that are made at once, in the middle of
// writes.
func TestLongReplies(t *testing.T) {
	m := longMachine(t)
	for _, line := range []string{
		"LRANGE l 0 -1", "LRANGE l 7 -9",
		"ZRANGE z 0 -1", "ZRANGE z 3 -2 WITHSCORES", "ZRANGE z 3 -2 REV WITHSCORES", "ZREVRANGE z 0 -1",
		"ZRANGEBYSCORE z 5 (33000", "ZRANGE z -inf inf BYSCORE WITHSCORES LIMIT 17 90000", "ZREVRANGEBYSCORE z inf 10 LIMIT 5 -1",
		"ZRANGEBYLEX lex - +", "ZRANGE lex [m2 - BYLEX REV LIMIT 100 30000", "ZREVRANGEBYLEX lex + (m3",
		"XRANGE x - +", "XRANGE x 1-10 1-90000 COUNT 80000", "XREVRANGE x + -", "XREVRANGE x 1-90000 (1-5 COUNT 70000",
	} {
		for proto := 2; proto <= 3; proto++ {
			whole, err := m.try(words(line))
			if err != nil || whole.IsError() || whole.Stream != nil {
				t.Fatalf("%s: %v %s", line, err, whole.Text)
			}
			req := &fsm.Request{Calls: []fsm.Call{{Args: words(line), Read: true}}}
			if _, err := m.fsm.Read(req, m.now); err != nil {
				t.Fatal(err)
			}
			reply := req.Replies[0]
			if reply.Stream == nil {
				t.Fatalf("%s: a reply of %d elements is held in memory", line, len(reply.Elems))
			}
			for i := range req.Calls[0].Args { // which belong to the caller
				clear(req.Calls[0].Args[i])
			}
			if !bytes.Equal(reply.Append(nil, proto), whole.Append(nil, proto)) {
				t.Errorf("%s: another reply if it is made while it is written", line)
			}
		}
	}
}
