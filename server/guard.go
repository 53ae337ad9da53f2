package server

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	smallBuffer = 16 << 10 // what a connection reads at once; longer requests are streamed
	largeBuffer = 256 << 10
	// parserBuffer is what redcon takes at once.
	parserBuffer = 4 << 10
	// keptByParser is the longest request, in bytes, after which redcon may keep its buffer.
	keptByParser = 64 << 10
	// lingerMax is how long a refused client may go on sending before it is cut off.
	lingerMax = 5 * time.Second
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// guard is the connection that redcon reads from, between it and the socket. What it hands on are
// well-formed requests only, as RESP arrays: it enforces Redis's protocol rules, splits inline
// commands, drops empty requests, and refuses what is too big before it is stored. The requests
// before a violation are answered first: the error is sent at the next Read.
//
// It also makes up for how redcon's reader works:
//   - The reader parses an unfinished request again from its start at each Read and recurses. So a
//     Read returns whole requests, or fills the given buffer with a part of a long one.
//   - The reader's buffer only grows while a request is unfinished at its end, and it is never
//     given back. Whole requests let it start over; after a long one see shrink.
//   - The reader takes 4 KiB at a time. The guard reads more and says by more that the pipeline
//     goes on, so that the session executes the whole of it at once.
//
// An idle connection holds no buffer. One goroutine, redcon's, reads; Close and kill may be called
// from others.
type guard struct {
	net.Conn
	output

	limits *limits
	refuse func(text string) // is told the violations of the protocol
	silent bool              // the client wants no replies, so it gets no errors either

	scanner scanner
	pooled  any    // what input has to be given back as
	input   []byte // input[next:scanned] was looked at, input[scanned:end] was not
	next    int
	scanned int
	end     int
	inline  []byte // what is left of a translated inline command; goes before input
	found   bool   // inline, or input[next:scanned], is the rest of a whole request
	stream  bool   // inside a request that is handed on in parts
	size    int64  // bytes handed on of the request at hand
	full    bool   // the last read from the socket filled the input
	deep    bool   // the last pipeline was more than the parser takes at once
	shrinks int    // steps of shrink that are to come
	invalid string // the violation of the protocol that comes after the requests found so far

	charged int64 // bytes that the budget gave for the request at hand
	unpaid  int64 // bytes of requests that were handed on and may not be executed yet
	busy    bool  // there was no memory for the request at hand

	handedOn int // whole requests handed on since the connection was opened

	phase   atomic.Int32
	closing atomic.Bool // Close was called: end at the next Read
	patient atomic.Bool // the client waits for messages: timeout does not count
}

// The phases of a connection, in which Close works differently.
const (
	executing int32 = iota // the session has the requests: it may finish them
	reading
	ended // Read has returned an error, or nothing will be read
)

func newGuard(conn net.Conn, l *limits, m *meter) *guard {
	g := &guard{Conn: conn, limits: l}
	g.output.init(conn, m)
	g.pushed = &l.pushed
	return g
}

// limits are the bounds that an operator may change while the server runs.
type limits struct {
	budget  *budget
	bulkMax atomic.Int64 // bytes, proto-max-bulk-len
	idleMax atomic.Int64 // seconds, timeout; 0 is for ever
	pushed  pushLimit
}

// meter counts the bytes of all connections.
type meter struct {
	in, out       atomic.Int64
	reads, writes atomic.Int64
}

// more reports whether a further request was received whole, so that Read will not block.
func (g *guard) more() bool { return g.found }

// Read hands on one or more whole requests, or a part of a long one.
func (g *guard) Read(p []byte) (n int, err error) {
	g.phase.Store(reading)
	if g.closing.Load() {
		err = net.ErrClosed
	} else {
		n, err = g.read(p)
	}
	if err != nil {
		g.phase.Store(ended)
		return 0, err
	}
	g.phase.Store(executing)
	return n, nil
}

func (g *guard) read(p []byte) (int, error) {
	if g.shrinks > 0 {
		return g.shrink(p), nil
	}
	if g.isEmpty() && !g.deep {
		g.release()
		if n, err := g.readInto(p); n > 0 || err != nil {
			return n, err
		}
	}
	for {
		n, err := g.take(p)
		if n > 0 || err != nil {
			return n, err
		}
		if g.invalid != "" {
			return 0, g.reject(p)
		}
		if err := g.fill(); err != nil {
			return 0, err
		}
	}
}

// Write is for redcon, which has nothing to write: replies go through send.
func (g *guard) Write(b []byte) (int, error) {
	g.send(bytes.Clone(b))
	return len(b), nil
}

// Close ends the connection. What is being executed is finished and answered first.
func (g *guard) Close() error {
	g.closing.Store(true)
	if g.phase.Load() == executing {
		return nil // the next Read fails, and redcon closes again
	}
	return g.finish()
}

// kill ends the connection at once.
func (g *guard) kill() {
	g.closing.Store(true)
	_ = g.Conn.Close()
}

// isEmpty reports whether everything received was handed on.
func (g *guard) isEmpty() bool {
	return !g.found && !g.stream && g.next == g.end && g.invalid == ""
}

// readInto is the short way of most pipelines: they come whole, and need no buffer of ours. What
// is no whole array stays in the input. It returns 0 when nothing can be handed on yet.
func (g *guard) readInto(p []byte) (int, error) {
	n, err := g.receive(p)
	if err != nil {
		return 0, err
	}
	g.deep = n == len(p)
	done := 0
	for done < n && p[done] == '*' {
		size, v := g.scanner.scan(p[done:n], g.limits.bulkMax.Load())
		if v == broken {
			g.invalid = g.scanner.violation
			return done, nil
		}
		if v == needMore {
			g.scanned = n - done
			break
		}
		if v == empty {
			copy(p[done:], p[done+size:n])
			n -= size
			continue
		}
		done += size
		g.handedOn++
	}
	if done < n {
		g.acquire(smallBuffer)
		g.end = copy(g.input, p[done:n])
	}
	if done > 0 {
		g.find()
	}
	return done, nil
}

// take hands on what has been received.
func (g *guard) take(p []byte) (n int, err error) {
	if g.stream {
		return g.takePart(p)
	}
	for g.find() {
		rest := g.inline
		if rest == nil {
			rest = g.input[g.next:g.scanned]
		}
		if n > 0 && len(rest) > len(p)-n {
			return n, nil
		}
		k := copy(p[n:], rest)
		n += k
		g.size += int64(k)
		if g.inline != nil {
			g.inline = g.inline[k:]
		} else {
			g.next += k
		}
		if k < len(rest) {
			return n, nil
		}
		if g.finishRequest(); g.shrinks > 0 {
			g.find() // for more
			return n, nil
		}
	}
	if n == 0 && g.isLong() {
		g.stream = true
		return g.takePart(p)
	}
	return n, nil
}

// finishRequest notes that a request was handed on to its end.
func (g *guard) finishRequest() {
	g.inline, g.found, g.stream = nil, false, false
	g.handedOn++
	if g.size > keptByParser {
		g.shrinks = 2
	}
	g.size = 0
	g.unpaid += g.charged
	g.charged = 0
}

// charge asks the budget for the memory of the request at hand, as far as its size is known. One that
// is larger than all there is gets all.
func (g *guard) charge() {
	need := min(g.scanner.size+g.scanner.body, g.limits.budget.limit)
	if need <= g.charged || g.invalid != "" {
		return
	}
	if !g.limits.budget.take(need - g.charged) {
		g.busy, g.invalid = true, tooBusy
		return
	}
	g.charged = need
}

// executed gives back the memory of the requests that were handed on.
func (g *guard) executed() {
	g.limits.budget.give(g.unpaid)
	g.unpaid = 0
}

// abandon gives back all memory, when nothing will be read any more.
func (g *guard) abandon() {
	g.executed()
	g.limits.budget.give(g.charged)
	g.charged = 0
}

// isLong reports whether the request at hand is one that the input can't or should not hold.
func (g *guard) isLong() bool {
	return g.next < g.end && g.input[g.next] == '*' && g.invalid == "" &&
		(g.end-g.next >= smallBuffer || g.scanner.body > smallBuffer)
}

// takePart fills p with the next part of a long request, which may be the last one.
func (g *guard) takePart(p []byte) (n int, err error) {
	for n < len(p) && !(g.found && g.next == g.scanned) {
		g.charge()
		switch {
		case g.invalid != "":
			return n, nil
		case g.next < g.scanned:
			k := copy(p[n:], g.input[g.next:g.scanned])
			g.next += k
			g.size += int64(k)
			n += k
		case g.next == g.end && g.scanner.body >= smallBuffer:
			k, err := g.receive(p[n : n+int(min(g.scanner.body, int64(len(p)-n)))])
			if err != nil {
				return 0, err
			}
			g.size += int64(k)
			_, v := g.scanner.scan(p[n:n+k], g.limits.bulkMax.Load())
			g.found = v == whole
			n += k
		default:
			if g.scanned == g.end {
				if err := g.fill(); err != nil {
					return 0, err
				}
			}
			g.find()
		}
	}
	if g.found && g.next == g.scanned {
		g.finishRequest()
		g.find()
	}
	return n, nil
}

// find looks for the end of the next request in the input; it reports whether there is one.
func (g *guard) find() bool {
	for !g.found && g.scanned < g.end && g.invalid == "" {
		if !g.stream && g.input[g.next] != '*' {
			if !g.findLine() {
				return false
			}
			continue
		}
		n, v := g.scanner.scan(g.input[g.scanned:g.end], g.limits.bulkMax.Load())
		g.scanned += n
		switch v {
		case whole:
			g.found = true
		case empty:
			g.next = g.scanned
		case broken:
			g.invalid = g.scanner.violation
		}
	}
	return g.found
}

// findLine looks for the end of an inline command and translates it; blank lines are dropped. It
// reports whether there was a line.
func (g *guard) findLine() bool {
	at := bytes.IndexByte(g.input[g.scanned:g.end], '\n')
	if at < 0 {
		g.scanned = g.end
		if g.end-g.next > lineBytesMax {
			g.invalid = "too big inline request"
		}
		return false
	}
	line := g.input[g.next : g.scanned+at]
	g.next = g.scanned + at + 1
	g.scanned = g.next
	if len(line) > lineBytesMax+1 {
		g.invalid = "too big inline request"
		return false
	}
	words, ok := splitInline(bytes.TrimSuffix(line, []byte{'\r'}))
	if !ok {
		g.invalid = "unbalanced quotes in request"
		return false
	}
	if len(words) > 0 {
		g.inline = appendRequest(nil, words)
		g.found = true
	}
	return true
}

// fill reads from the socket into the input. Full reads make the buffer larger, up to a bound.
func (g *guard) fill() error {
	fresh := g.next == g.end
	if fresh {
		g.next, g.scanned, g.end = 0, 0, 0
	}
	switch {
	case len(g.input) == 0, fresh && !g.full && len(g.input) > smallBuffer:
		g.acquire(smallBuffer)
	case len(g.input) < largeBuffer && (g.full || g.end == len(g.input)):
		g.acquire(largeBuffer)
	case g.end == len(g.input):
		g.scanned -= g.next
		g.end = copy(g.input, g.input[g.next:g.end])
		g.next = 0
	}
	n, err := g.receive(g.input[g.end:])
	g.end += n
	g.full = g.end == len(g.input)
	if fresh {
		g.deep = n > parserBuffer
	}
	return err
}

// acquire gives the input a buffer of this size and moves to it what is not handed on.
func (g *guard) acquire(size int) {
	old, from := g.input, g.pooled
	if size == smallBuffer {
		b := smallBuffers.Get().(*[smallBuffer]byte)
		g.pooled, g.input = b, b[:]
	} else {
		b := largeBuffers.Get().(*[largeBuffer]byte)
		g.pooled, g.input = b, b[:]
	}
	g.scanned -= g.next
	g.end = copy(g.input, old[g.next:g.end])
	g.next = 0
	giveBack(from)
}

// release gives the buffer of an empty input back.
func (g *guard) release() {
	giveBack(g.pooled)
	g.pooled, g.input = nil, nil
	g.next, g.scanned, g.end = 0, 0, 0
}

func giveBack(pooled any) {
	switch b := pooled.(type) {
	case *[smallBuffer]byte:
		smallBuffers.Put(b)
	case *[largeBuffer]byte:
		largeBuffers.Put(b)
	}
}

// shrink makes redcon's reader give up the buffer in which a long request came: an unfinished
// request that fills the reader's first 4 KiB makes it allocate 8 KiB and forget the rest. That
// request is a blank line, of which redcon makes no command.
func (g *guard) shrink(p []byte) int {
	g.shrinks--
	if g.shrinks == 0 {
		p[0] = '\n'
		return 1
	}
	for i := range p {
		p[i] = '\n'
	}
	p[len(p)-1] = '\r'
	return len(p)
}

// receive reads from the socket.
func (g *guard) receive(p []byte) (int, error) {
	if idle := g.limits.idleMax.Load(); idle > 0 {
		var end time.Time // none
		if !g.patient.Load() {
			end = time.Now().Add(time.Duration(idle) * time.Second)
		}
		_ = g.Conn.SetReadDeadline(end)
	}
	n, err := g.Conn.Read(p)
	g.meter.in.Add(int64(n))
	g.meter.reads.Add(1)
	return n, err
}

// reject answers a violation of the protocol and ends the connection. It reads on for a while
// without storing anything: closing a socket with unread bytes in it resets the connection, and
// the client would lose the error.
func (g *guard) reject(scratch []byte) error {
	g.refuse(g.invalid)
	text := "ERR Protocol error: " + g.invalid
	if g.busy {
		text = g.invalid
	}
	if !g.silent {
		g.send([]byte("-" + text + "\r\n"))
	}
	g.halfClose()
	_ = g.Conn.SetReadDeadline(time.Now().Add(lingerMax))
	for {
		if _, err := g.Conn.Read(scratch); err != nil {
			return net.ErrClosed
		}
	}
}
