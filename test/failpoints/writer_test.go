package failpoints_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	tokenLen     = 8  // of what one write appends
	tokensPerKey = 32 // so that values stay short
)

// outcome is what a client knows of a write.
type outcome byte

const (
	unknown outcome = iota // UNCERTAIN, or the connection broke
	done
	refused // said not to be executed
)

// write is one that was sent.
type write struct {
	outcome outcome
	during  string // the point that was being tested
}

// writer is a client that appends tokens of its own, one after the other, to keys of its own. With each
// goes a SET in the same pipeline, of a value that is long enough for the log to grow.
type writer struct {
	id        int
	addr      string // where it writes
	otherAddr string // where it reads
	now       atomic.Pointer[string]
	progress  atomic.Int64
	ended     chan struct{}

	// Only the writer's goroutine touches these until it has ended.
	conn, other *conn
	writes      []write
	problems    []string
}

func newWriter(id int, addr, otherAddr string) *writer {
	w := &writer{id: id, addr: addr, otherAddr: otherAddr, ended: make(chan struct{})}
	w.now.Store(new("the start"))
	return w
}

func (w *writer) key(n int) string { return fmt.Sprintf("w%d:%d", w.id, n/tokensPerKey) }
func (w *writer) lastKey() string  { return fmt.Sprintf("w%d:last", w.id) }

func token(n int) string { return fmt.Sprintf("%0*d,", tokenLen-1, n) }

// keys are all that it may have written to.
func (w *writer) keys() []string {
	keys := []string{w.lastKey()}
	for n := 0; n < len(w.writes); n += tokensPerKey {
		keys = append(keys, w.key(n))
	}
	return keys
}

func (w *writer) count(o outcome) (n int) {
	for _, one := range w.writes {
		if one.outcome == o {
			n++
		}
	}
	return n
}

func (w *writer) run(stop <-chan struct{}) {
	defer close(w.ended)
	for {
		select {
		case <-stop:
			w.conn.drop()
			w.other.drop()
			return
		case <-time.After(time.Millisecond): // so that the machine has time for other things as well
		}
		if w.conn == nil {
			w.conn, _ = dial(w.addr) // again in a moment if it fails
			continue
		}
		w.append()
		if len(w.writes)%4 == 0 {
			w.readElsewhere()
		}
	}
}

func (c *conn) drop() {
	if c != nil {
		c.close()
	}
}

// append sends one write and notes what became of it.
func (w *writer) append() {
	n := len(w.writes)
	w.writes = append(w.writes, write{during: *w.now.Load()})
	value := token(n) + strings.Repeat("x", 600)
	b := appendCommand(nil, "APPEND", w.key(n), token(n))
	_, err := w.conn.Write(appendCommand(b, "SET", w.lastKey(), value))
	var length any
	if err == nil {
		length, err = w.conn.receive()
	}
	if err == nil {
		_, err = w.conn.receive()
	} else if reply := replyError(""); errors.As(err, &reply) {
		_, _ = w.conn.receive() // the same for the other half of the pipeline
	}
	var reply replyError
	switch {
	case err == nil:
		w.writes[n].outcome = done
		w.checkLength(n, length.(int))
		w.progress.Add(1)
	case errors.As(err, &reply) && strings.HasPrefix(string(reply), "CLUSTERDOWN"):
		w.writes[n].outcome = refused
	case errors.As(err, &reply):
		// UNCERTAIN, or the node is about to end.
	default:
		w.conn.close()
		w.conn = nil
	}
}

// checkLength looks at the reply to write n.
func (w *writer) checkLength(n, length int) {
	first := n - n%tokensPerKey
	least, most := 0, 0
	for _, one := range w.writes[first : n+1] {
		switch one.outcome {
		case done:
			least += tokenLen
			most += tokenLen
		case unknown:
			most += tokenLen
		}
	}
	if length%tokenLen != 0 || length < least || length > most {
		w.problem("the length after write %d is %d, not from %d to %d (during %s)", n, length, least, most, w.writes[n].during)
	}
}

// readElsewhere sees through another node what was acknowledged just now.
func (w *writer) readElsewhere() {
	if w.other == nil {
		if w.other, _ = dial(w.otherAddr); w.other == nil {
			return
		}
	}
	n := len(w.writes) - 1
	reply, err := w.other.do("GET", w.key(n))
	if refusal := replyError(""); errors.As(err, &refusal) {
		return
	}
	if err != nil {
		w.other.close()
		w.other = nil
		return
	}
	text, _ := reply.(string)
	for _, problem := range w.checkKey(n-n%tokensPerKey, text) {
		w.problem("read through %s (during %s): %s", w.otherAddr, *w.now.Load(), problem)
	}
}

func (w *writer) problem(format string, args ...any) {
	if len(w.problems) < 10 {
		w.problems = append(w.problems, fmt.Sprintf(format, args...))
	}
}

// check compares all that was written with what a node has.
func (w *writer) check(state map[string]string) (problems []string) {
	for n := 0; n < len(w.writes); n += tokensPerKey {
		problems = append(problems, w.checkKey(n, state[w.key(n)])...)
	}
	last, err := strconv.Atoi(state[w.lastKey()][:tokenLen-1])
	if err != nil || !strings.Contains(state[w.key(last)], token(last)) {
		problems = append(problems, fmt.Sprintf("%s is of write %d, which did not append", w.lastKey(), last))
	}
	return problems
}

// checkKey compares the writes from first on with the value of their key.
func (w *writer) checkKey(first int, value string) (problems []string) {
	if len(value)%tokenLen != 0 {
		return []string{fmt.Sprintf("%s is torn: %q", w.key(first), value)}
	}
	var there []string
	for at := 0; at < len(value); at += tokenLen {
		there = append(there, value[at:at+tokenLen])
	}
	slices.Sort(there)
	for n := first; n < min(first+tokensPerKey, len(w.writes)); n++ {
		times := strings.Count(value, token(n))
		one := w.writes[n]
		switch {
		case one.outcome == done && times == 0:
			problems = append(problems, fmt.Sprintf("write %d of %s was acknowledged during %s and is lost", n, w.key(n), one.during))
		case one.outcome == refused && times > 0:
			problems = append(problems, fmt.Sprintf("write %d of %s was refused during %s and is there", n, w.key(n), one.during))
		case times > 1:
			problems = append(problems, fmt.Sprintf("write %d of %s is there %d times, sent during %s", n, w.key(n), times, one.during))
		}
		there = slices.DeleteFunc(there, func(s string) bool { return s == token(n) })
	}
	if len(there) > 0 {
		problems = append(problems, fmt.Sprintf("%s has what nobody wrote: %q", w.key(first), there))
	}
	return problems
}
