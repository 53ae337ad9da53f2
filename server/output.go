package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// queuedMax bounds, in bytes, the replies that wait for a client who does not read them.
	queuedMax = 256 << 20
	// stalledMax is how long a client may read nothing while so much waits for it.
	stalledMax  = time.Minute
	writePiece  = 1 << 20  // bytes that one blocking write is asked to move
	queuedPiece = 16 << 10 // bytes that short replies are collected in
)

var errStalled = errors.New("client does not read its replies")

// output is the writing side of a connection. A client may send a long pipeline and only then read
// the replies; if we stopped reading because it does not, both would wait for ever. So what the
// socket does not take at once is queued, and written by a goroutine that lives until the queue is
// empty. Only the goroutine of the session calls send. Anyone may call push, once queueAll was called.
type output struct {
	conn  net.Conn
	raw   syscall.RawConn // nil when the connection has none
	meter *meter

	piece   []byte // argument and result of writeOnce, which is made once so as not to allocate
	written int
	once    func(fd uintptr) bool

	active atomic.Bool // the goroutine is running; becomes true and false under mu
	mu     sync.Mutex
	noTry  bool   // everything goes through the queue, so that pushes do not cut replies in two
	parted bool   // a reply is being sent in parts, between which no push may come
	aside  []byte // pushes that came meanwhile
	queue  [][]byte
	queued int           // bytes in queue, the piece being written included
	room   chan struct{} // signalled when queued becomes less
	pushed *pushLimit    // bounds queued for push; nil: nothing does
	behind time.Time     // since when more is queued than pushed has as its soft bound
	done   bool          // finish was called: close when the queue is empty
	failed error
}

func (o *output) init(conn net.Conn, m *meter) {
	o.conn, o.meter = conn, m
	o.room = make(chan struct{}, 1)
	if c, ok := conn.(syscall.Conn); ok {
		o.raw, _ = c.SyscallConn()
	}
	o.once = o.writeOnce
}

// send writes replies without waiting for the client. When kept is true it holds on to b, and the
// caller must not use it again. Errors show when the connection is read.
func (o *output) send(b []byte) (kept bool) {
	if len(b) == 0 {
		return false
	}
	o.meter.out.Add(int64(len(b)))
	o.meter.writes.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.noTry && !o.active.Load() {
		n := o.try(b)
		if n == len(b) {
			return false
		}
		b = b[n:]
	}
	return o.enqueue(b)
}

// try writes as much as the socket takes at once.
func (o *output) try(b []byte) int {
	if o.raw == nil {
		return 0
	}
	o.piece, o.written = b, 0
	_ = o.raw.Write(o.once)
	o.piece = nil
	return o.written
}

// enqueue leaves b to the goroutine that drains the queue, and waits while the queue is too long. It needs mu.
func (o *output) enqueue(b []byte) (kept bool) {
	if o.failed != nil {
		return false
	}
	if kept = len(b) >= queuedPiece/2; kept {
		o.queue = append(o.queue, b)
	} else {
		o.enqueueSmall(b)
	}
	o.grown(len(b))
	o.waitFor(queuedMax)
	return kept
}

// waitFor waits until no more than so many bytes are queued, or the client is gone. It needs mu, and lets go of it
// meanwhile.
func (o *output) waitFor(bytes int) {
	for o.queued > bytes && o.failed == nil {
		o.mu.Unlock()
		o.awaitRoom()
		o.mu.Lock()
	}
}

// await waits until no more than so many bytes wait for the client, and says whether the client is still there.
func (o *output) await(bytes int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waitFor(bytes)
	return o.failed == nil
}

// grown notes that bytes were queued, and sees to it that they are written.
func (o *output) grown(n int) {
	o.queued += n
	if !o.active.Load() {
		o.active.Store(true)
		go o.drain()
	}
}

// queueAll makes way for push: when it returns, the session does not write by itself any more.
func (o *output) queueAll() {
	o.mu.Lock()
	o.noTry = true
	o.mu.Unlock()
}

// part says that what is sent next is a part of a reply, until whole is called.
func (o *output) part() {
	o.mu.Lock()
	o.parted = true
	o.mu.Unlock()
}

// whole says that the reply was sent to its end.
func (o *output) whole() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parted = false
	if len(o.aside) > 0 && o.failed == nil {
		o.enqueueSmall(o.aside)
		o.grown(len(o.aside))
	}
	o.aside = nil
}

// push queues a copy of b and waits for nothing. A client that does not keep up is disconnected.
func (o *output) push(b []byte) { o.pushWithin(b, 0, false) }

// pushReply is push by the session itself, of what it answers with: it comes between the parts of a reply.
func (o *output) pushReply(b []byte) { o.pushWithin(b, 0, true) }

// pushWithin is push with a bound of its own of what may wait for the client, in bytes; 0: that for subscribers.
func (o *output) pushWithin(b []byte, limit int, isReply bool) {
	o.meter.out.Add(int64(len(b)))
	o.mu.Lock()
	waiting := o.queued + len(o.aside) + len(b)
	late := limit > 0 && waiting > limit || limit == 0 && o.pushed != nil && o.pushed.exceeds(waiting, &o.behind)
	switch {
	case o.failed != nil || late:
	case o.parted && !isReply:
		o.aside = append(o.aside, b...)
	default:
		o.enqueueSmall(b)
		o.grown(len(b))
	}
	o.mu.Unlock()
	if late {
		o.fail(errStalled)
	}
}

// enqueueSmall copies b, so that a short reply does not hold on to a large buffer.
func (o *output) enqueueSmall(b []byte) {
	last := len(o.queue) - 1
	if last < 0 || cap(o.queue[last])-len(o.queue[last]) < len(b) {
		o.queue = append(o.queue, make([]byte, 0, max(queuedPiece, len(b))))
		last++
	}
	o.queue[last] = append(o.queue[last], b...)
}

// awaitRoom waits until the client has taken something, and gives up on it when it does not.
func (o *output) awaitRoom() {
	timer := time.NewTimer(stalledMax)
	defer timer.Stop()
	select {
	case <-o.room:
	case <-timer.C:
		o.fail(errStalled)
	}
}

// drain writes the queue until it is empty.
func (o *output) drain() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.active.Store(false)
			done := o.done
			o.mu.Unlock()
			if done {
				_ = o.conn.Close()
			}
			return
		}
		piece := o.queue[0]
		if len(piece) > writePiece {
			piece = piece[:writePiece]
		}
		o.mu.Unlock()
		n, err := o.conn.Write(piece)
		o.wrote(n)
		if err != nil {
			o.fail(err)
		}
	}
}

func (o *output) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed != nil {
		return
	}
	o.queued -= n
	if !o.behind.IsZero() {
		o.pushed.exceeds(o.queued, &o.behind)
	}
	if o.queue[0] = o.queue[0][n:]; len(o.queue[0]) == 0 {
		o.queue[0] = nil
		o.queue = o.queue[1:]
	}
	select {
	case o.room <- struct{}{}:
	default:
	}
}

// fail gives up on the client: what waits for it is dropped and the connection closed.
func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
	}
	o.queue, o.queued = nil, 0
	_ = o.conn.Close()
	select {
	case o.room <- struct{}{}:
	default:
	}
}

// waiting returns how many replies, in pieces and in bytes, the client has yet to take.
func (o *output) waiting() (pieces, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.queued
}

// finish closes the connection once the client has what was sent to it, or has had time for it.
func (o *output) finish() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active.Load() {
		o.done = true
		return o.conn.SetWriteDeadline(time.Now().Add(lingerMax))
	}
	return o.conn.Close()
}

// halfClose tells the client that nothing more comes, once it has what was sent.
func (o *output) halfClose() {
	if c, ok := o.conn.(interface{ CloseWrite() error }); ok && !o.active.Load() {
		_ = c.CloseWrite()
	}
}
