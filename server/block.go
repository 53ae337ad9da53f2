package server

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// turnsMax and courtesyMax bound how long the next call of a session waits for those whom the last one has served.
const (
	turnsMax    = 8
	courtesyMax = 50 * time.Millisecond
)

// retryEvery is how long those who wait are left alone when a try of theirs could not be executed.
const retryEvery = 50 * time.Millisecond

// blocked knows the sessions of this node that wait for keys: those whose call has been tried in the log and has found
// nothing. The observer tells it which keys have changed. For a key that has become what they wait for, as many of them
// as it has elements are tried again, in the order in which they came, all in one request and so at one place in the
// log; then the next, as long as there is something. An element thus leaves its key only in the log, and only for
// someone who is there when that is proposed.
//
// Whoever waits is in the queue of each of its keys from before its first try on, so that no change is missed; while
// that try is under way, those behind it have to wait as well.
type blocked struct {
	server *Server
	count  atomic.Int64 // sessions in queues; read while entries are applied
	pushed atomic.Int64 // as many as there are pushers

	mu      sync.Mutex
	queues  [fsm.Databases]map[string]*queue
	ready   []*queue // whose keys have changed, in that order
	serving bool     // serve is running
	closed  bool
	// pushers are sessions whose writes have made keys ready, by how many turns of serve they still wait for.
	pushers map[uint64]int
	turned  chan struct{} // closed at the next turn, or when serve ends
}

// queue is who waits for a key, first come first served.
type queue struct {
	db      int
	key     string
	waiters list.List // of *waiter
	kinds   [fsm.Stream + 1]int
	groups  int // readers of groups among them, who also care when the key goes
	ready   bool
}

// waiter is a session that waits. What is not said to be fixed is guarded by the lock of blocked.
type waiter struct {
	session *session // fixed, like the next
	nap     *nap
	what    command.Waiting
	call    fsm.Call // its own copy, when it has found nothing for the first time
	places  []place
	state   waiterState
	missed  bool       // it was its turn during its first try
	changed bool       // XREAD: one of its streams has
	late    bool       // it is answered with reply unless the try under way finds something
	reply   resp.Reply // when it has ended
}

type place struct {
	queue *queue
	at    *list.Element
}

type waiterState uint8

const (
	firstTry waiterState = iota
	waiting
	trying // again, together with others
	over   // it is in no queue any more
)

func newBlocked(s *Server) *blocked {
	b := &blocked{server: s, pushers: map[uint64]int{}, turned: make(chan struct{})}
	for i := range b.queues {
		b.queues[i] = map[string]*queue{}
	}
	context.AfterFunc(s.ctx, b.close)
	return b
}

// close ends all waits: the server closes.
func (b *blocked) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for db := range b.queues {
		for _, q := range b.queues[db] {
			b.endAll(q, command.ErrorReply(command.ErrClosed))
		}
	}
}

// endAll ends the waits in a queue of all who are not being tried just now.
func (b *blocked) endAll(q *queue, reply resp.Reply) {
	for at := q.waiters.Front(); at != nil; {
		w := at.Value.(*waiter)
		at = at.Next()
		if w.state == waiting {
			b.end(w, reply)
		}
	}
}

// enter puts a session into the queues of its keys. It is behind when somebody in them wants to take the same.
func (b *blocked) enter(s *session, db int, what command.Waiting) (w *waiter, behind bool) {
	w = &waiter{session: s, nap: newNap(s), what: what, places: make([]place, 0, len(what.Keys))}
	b.count.Add(1) // before the first try begins: see fsm.Observer
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range what.Keys {
		q := b.queues[db][string(key)]
		if q == nil {
			q = &queue{db: db, key: string(key)}
			b.queues[db][q.key] = q
		}
		if last := q.waiters.Back(); last != nil && last.Value == w {
			continue // the same key again
		}
		behind = behind || what.Kind != fsm.Stream && q.kinds[what.Kind] > 0
		w.places = append(w.places, place{q, q.waiters.PushBack(w)})
		q.kinds[what.Kind]++
		if what.Group != nil {
			q.groups++
		}
	}
	return w, behind
}

// leave takes a waiter out of its queues; the lock is held. Those behind it are looked at again: what it did not take may
// be for them.
func (b *blocked) leave(w *waiter) {
	if w.state == over {
		return
	}
	w.state = over
	b.count.Add(-1)
	for _, p := range w.places {
		q := p.queue
		q.waiters.Remove(p.at)
		q.kinds[w.what.Kind]--
		if w.what.Group != nil {
			q.groups--
		}
		if q.waiters.Len() == 0 {
			delete(b.queues[q.db], q.key)
		} else if w.what.Takes > 0 {
			b.mark(q)
		}
	}
	w.places = nil
}

// end is leave with an answer, which the session is woken for.
func (b *blocked) end(w *waiter, reply resp.Reply) {
	b.leave(w)
	w.reply = reply
	w.nap.wake()
}

// mark has a queue looked at; the lock is held.
func (b *blocked) mark(q *queue) {
	if q.ready || b.closed {
		return
	}
	q.ready = true
	b.ready = append(b.ready, q)
	if !b.serving {
		b.serving = true
		go b.serve()
	}
}

// markAll has all queues of a waiter looked at.
func (b *blocked) markAll(w *waiter) {
	for _, p := range w.places {
		b.mark(p.queue)
	}
}

// applied is told what entries of the log have changed.
func (b *blocked) applied(e *fsm.Effects) {
	if b.count.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range e.Changed {
		c := &e.Changed[i]
		q := b.queues[c.DB][string(c.Key)]
		if q != nil && (q.groups > 0 || int(c.Kind) < len(q.kinds) && q.kinds[c.Kind] > 0) {
			b.mark(q)
			if c.Client != 0 {
				b.pushers[c.Client] = turnsMax
				b.pushed.Store(int64(len(b.pushers)))
			}
		}
	}
	for db, replaced := range e.Replaced {
		if replaced {
			b.markDB(db)
		}
	}
}

// skipped is told that anything may have changed.
func (b *blocked) skipped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for db := range b.queues {
		b.markDB(db)
	}
}

func (b *blocked) markDB(db int) {
	for _, q := range b.queues[db] {
		b.mark(q)
	}
}

// keys counts the keys that somebody waits for, and those of them whose end is waited for, too.
func (b *blocked) keys() (all, ends int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for db := range b.queues {
		all += len(b.queues[db])
		for _, q := range b.queues[db] {
			if q.groups > 0 {
				ends++
			}
		}
	}
	return all, ends
}

var timedOut = resp.NilArray

// block executes a call that may have to wait. It is alone in its segment.
func (s *session) block(r *route, args [][]byte, what command.Waiting) {
	b := s.server.blocked
	s.flush()
	call := fsm.Call{DB: int(s.db.Load()), Args: args, Read: !r.write}
	begun := time.Now()
	if s.tracker != nil {
		s.track(&fsm.Request{Calls: []fsm.Call{call}})
		defer s.tracked(nil)
	}
	w, behind := b.enter(s, call.DB, what)
	var reply resp.Reply
	if behind {
		reply = w.lineUp(call)
	} else {
		reply = w.tryFirst(call)
	}
	if isNothing(&reply) {
		until := time.Time{}
		if what.Timeout > 0 {
			until = begun.Add(milliseconds(what.Timeout))
		}
		unblocks := s.blocks()
		asleep := s.server.clock()
		reply = w.await(until)
		s.mark += s.server.clock() - asleep // waiting is no work
		unblocks()
	}
	failed := reply.IsError()
	if failed {
		s.server.stats.countError(errorCode(reply.Text))
	}
	s.ran = append(s.ran, ranCall{r, failed})
	s.emit(&reply)
}

// isNothing says whether a reply is that of a call which found nothing.
func isNothing(reply *resp.Reply) bool {
	return reply.Kind == resp.Null || reply.Kind == resp.NullArray
}

// tryFirst tries the call for the first time, by the session itself. The waiter has ended unless nothing was found.
func (w *waiter) tryFirst(call fsm.Call) resp.Reply {
	b := w.session.server.blocked
	last := call.Read && command.AsksForLast(call.Args)
	var replies []resp.Reply
	var err error
	if last {
		replies, err = w.session.try(command.XReadFrom(call), call)
	} else {
		replies, err = w.session.try(call)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	reply := resp.Reply{}
	if err != nil {
		reply = b.server.engineError(err)
	} else {
		reply = replies[len(replies)-1]
	}
	if !isNothing(&reply) {
		b.leave(w)
		return reply
	}
	w.keep(call)
	if last {
		w.keepIDs(replies[0].Elems)
	}
	w.state = waiting
	if w.missed {
		b.markAll(w)
	}
	if b.closed {
		b.end(w, command.ErrorReply(command.ErrClosed))
	}
	return reply
}

// lineUp is in place of the first try when others wait for the same: it must not take what is for them. Only that a key
// has another type has to be found out at once.
func (w *waiter) lineUp(call fsm.Call) resp.Reply {
	s, b := w.session, w.session.server.blocked
	var peeks []fsm.Call
	for _, key := range w.what.Keys {
		peeks = append(peeks, command.PeekCall(call.DB, string(key), nil))
	}
	replies, err := s.try(peeks...)
	if err == nil {
		for i := range replies {
			kind, count := fsm.Kind(replies[i].Elems[0].Int), replies[i].Elems[1].Int
			if kind != 0 && kind != w.what.Kind {
				return w.tryFirst(call)
			}
			if count > 0 {
				break
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.leave(w)
		return b.server.engineError(err)
	}
	w.keep(call)
	w.state = waiting
	b.markAll(w)
	if b.closed {
		b.end(w, command.ErrorReply(command.ErrClosed))
	}
	return timedOut
}

// keep copies the call: the buffer that it came in is used again if the session leaves during a try.
func (w *waiter) keep(call fsm.Call) {
	args := make([][]byte, len(call.Args))
	for i, arg := range call.Args {
		args[i] = bytes.Clone(arg)
	}
	call.Args = args
	w.call = call
	w.what.Keys = nil
	w.what.Group = bytes.Clone(w.what.Group)
}

// keepIDs makes the last arguments of an XREAD the ids that they stood for when it was called.
func (w *waiter) keepIDs(ids []resp.Reply) {
	args := w.call.Args[len(w.call.Args)-len(ids):]
	for i := range ids {
		args[i] = append([]byte(ids[i].Text), ids[i].Bytes...)
	}
}

// try hands calls to the engine as one request.
func (s *session) try(calls ...fsm.Call) ([]resp.Reply, error) {
	req := &fsm.Request{Calls: calls, Local: s.readsLocally(), NoTouch: s.profile.noTouch, Client: uint64(s.id)}
	return s.server.try(req)
}

func (s *Server) try(req *fsm.Request) ([]resp.Reply, error) {
	if err := s.engine.Do(req); err != nil {
		return nil, err
	}
	if len(req.Replies) != len(req.Calls) {
		return nil, errWrongCount
	}
	return req.Replies, nil
}

var errWrongCount = errors.New("the engine answered another number of calls")

// await waits until the waiter has ended, and returns the answer.
func (w *waiter) await(until time.Time) resp.Reply {
	s, b := w.session, w.session.server.blocked
	s.setUnblock(func(reply resp.Reply) bool { return b.unblock(w, reply) })
	defer s.setUnblock(nil)
	var retry time.Time
	for {
		b.mu.Lock()
		if w.state == over {
			b.mu.Unlock()
			return w.reply
		}
		changed := w.changed && retry.IsZero()
		w.changed = w.changed && !changed
		b.mu.Unlock()
		if changed && !w.read() {
			retry = time.Now().Add(retryEvery)
		}
		if changed {
			continue
		}
		why := w.nap.sleep(sooner(until, retry))
		switch {
		case why == clientLeft:
			b.abandon(w)
		case why == timeIsUp && !retry.IsZero() && (until.IsZero() || retry.Before(until)):
			retry = time.Time{}
		case why == timeIsUp:
			until = time.Time{}
			b.unblock(w, timedOut)
		}
	}
}

// sooner is the earlier of two times, of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// read tries an XREAD again. It returns false when that could not be executed.
func (w *waiter) read() bool {
	s, b := w.session, w.session.server.blocked
	replies, err := s.try(w.call)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case w.state == over:
	case err != nil && mayPass(err):
		w.changed = true
		return false
	case err != nil:
		b.end(w, b.server.engineError(err))
	case !isNothing(&replies[0]):
		b.end(w, replies[0])
	}
	return true
}

// unblock ends a wait with a reply, or, if a try is under way, when that has found nothing.
func (b *blocked) unblock(w *waiter, reply resp.Reply) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case w.state == over || w.late:
		return false
	case w.state == trying:
		w.late, w.reply = true, reply
	default:
		b.end(w, reply)
	}
	return true
}

// abandon ends the wait of a client that has gone.
func (b *blocked) abandon(w *waiter) {
	w.session.leaving = true
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.state != over {
		b.leave(w)
		w.reply = resp.Reply{}
	}
}
