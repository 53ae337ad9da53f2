package server

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/tidwall/redcon"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// transaction is what a session has between MULTI and EXEC, and the keys that it watches. It is the session's alone, but
// for what is marked as shared.
type transaction struct {
	open      bool // MULTI was called: calls are queued
	failed    bool // one was refused: EXEC will execute none
	executing bool // EXEC is at work; handlers must not wait for anything
	queue     []queued
	writes    bool  // one of them is a write
	bytes     int64 // of the calls and the watched keys, about
	charged   int64 // bytes that the server's budget has given

	watched []fsm.Watched
	known   map[watchedKey]bool
	absence absence // of those that were missing

	// Shared.
	calls atomic.Int32 // one more than there are in the queue; 0: MULTI was not called
	held  atomic.Int64 // bytes
}

// queued is a call that waits for EXEC.
type queued struct {
	route *route
	args  [][]byte
}

type watchedKey struct {
	db  int
	key string
}

const (
	// queuedBytes is about what a queued call takes beside its words, and wordBytes what a word does beside its text.
	queuedBytes = 160
	wordBytes   = 32
	// freeQueue is how much of a transaction does not count in the budget for large requests.
	freeQueue = 64 << 10
	// queueStep is how much is asked of it at a time.
	queueStep = 1 << 20
	// keptQueue is how many calls a session keeps room for.
	keptQueue = 64
)

// neverQueued are the commands that are executed at once between MULTI and EXEC.
var neverQueued = map[string]bool{"MULTI": true, "EXEC": true, "DISCARD": true, "WATCH": true, "QUIT": true, "RESET": true}

var (
	queuedReply = resp.NewSimple("QUEUED")

	errNestedMulti  = resp.NewError("ERR MULTI calls can not be nested")
	errWatchInMulti = resp.NewError("ERR WATCH inside MULTI is not allowed")
	errExecAlone    = resp.NewError("ERR EXEC without MULTI")
	errDiscardAlone = resp.NewError("ERR DISCARD without MULTI")
	errNoMulti      = resp.NewError("ERR Command not allowed inside a transaction")
	errExecAborted  = resp.NewError("EXECABORT Transaction discarded because of previous errors.")
	errQueueTooLong = resp.NewError("ERR the transaction is larger than a request may be")
	errQueueBudget  = resp.NewError(tooBusy)
)

func multi(s *session, _ [][]byte) resp.Reply {
	if s.multi.open {
		return errNestedMulti
	}
	s.multi.open = true
	s.multi.calls.Store(1)
	return resp.OK
}

func discard(s *session, _ [][]byte) resp.Reply {
	if !s.multi.open {
		return errDiscardAlone
	}
	s.endTransaction()
	return resp.OK
}

// endTransaction forgets the queue and the watched keys.
func (s *session) endTransaction() {
	m := &s.multi
	s.dropQueue()
	m.open, m.failed, m.executing = false, false, false
	m.calls.Store(0)
	s.forgetWatched()
}

// dropQueue gives back the memory of the queued calls.
func (s *session) dropQueue() {
	m := &s.multi
	clear(m.queue)
	if m.queue = m.queue[:0]; cap(m.queue) > keptQueue {
		m.queue = nil
	}
	s.server.limits.budget.give(m.charged)
	m.writes, m.bytes, m.charged = false, 0, 0
	m.held.Store(0)
}

// flagTransaction has EXEC fail after a call was refused. When EXEC itself is, that ends the transaction.
func (s *session) flagTransaction(args [][]byte, refusal resp.Reply) resp.Reply {
	if spec := s.server.table.Lookup(args[0]); spec != nil && spec.Name == "EXEC" {
		s.endTransaction()
		return aborted(refusal)
	}
	if s.multi.open {
		s.multi.failed = true
		s.dropQueue() // it will not be needed
	}
	return refusal
}

// aborted tells why a transaction was not executed.
func aborted(why resp.Reply) resp.Reply {
	return resp.NewError("EXECABORT Transaction discarded because of: " + strings.TrimPrefix(why.Text, "ERR "))
}

// enqueue queues the first calls of a pipeline, up to one that is not queued, and returns how many they were.
func (s *session) enqueue(first *route, commands []redcon.Command) (n int) {
	for r := first; ; {
		args := commands[n].Args
		if refusal := s.queue(r, args, len(commands[n].Raw)); refusal.IsError() {
			s.refuse(args, refusal)
		} else {
			s.emit(&queuedReply)
		}
		if n++; n == len(commands) {
			return n
		}
		if r, _ = s.resolve(commands[n].Args); r == nil || r.atOnce || s.held(r) {
			return n
		}
	}
}

// queue notes a call for EXEC, or says why not.
func (s *session) queue(r *route, args [][]byte, size int) resp.Reply {
	m := &s.multi
	switch memory := s.server.engine.Memory(); {
	case r.spec.Flags&command.NoMulti != 0, r.handler != nil && r.spec.Flags&command.AtNode != 0:
		return errNoMulti
	case memory.Over() && !memory.Evictable:
		return command.OutOfMemory
	case m.failed:
		return resp.Reply{}
	}
	if refusal := s.hold(int64(size + queuedBytes + wordBytes*len(args))); refusal.IsError() {
		return refusal
	}
	m.queue = append(m.queue, queued{r, args})
	m.writes = m.writes || r.write
	m.calls.Store(int32(len(m.queue)) + 1)
	return resp.Reply{}
}

// hold makes sure of the memory for what a transaction keeps.
func (s *session) hold(size int64) resp.Reply {
	m := &s.multi
	budget := s.server.limits.budget
	m.bytes += size
	m.held.Store(m.bytes)
	if m.bytes > s.server.limits.bulkMax.Load()+requestSlack {
		return errQueueTooLong
	}
	if need := min(m.bytes, budget.limit) - m.charged; m.bytes > freeQueue && need > 0 {
		need = min(max(need, queueStep), budget.limit-m.charged)
		if !budget.take(need) {
			return errQueueBudget
		}
		m.charged += need
	}
	return resp.Reply{}
}

// watchKeys is WATCH. The keys are read by a request of their own, see fsm.Watched. One that is watched already stays as
// it was first seen.
func watchKeys(s *session, args [][]byte) resp.Reply {
	m := &s.multi
	if m.open {
		return errWatchInMulti
	}
	if s.server.clusterFace.Load() {
		if refusal := s.redirect(s.server.routes[s.server.table.Lookup(args[0])], args); refusal.IsError() {
			return refusal
		}
	}
	db, size := int(s.db.Load()), int64(0)
	var keys [][]byte
	for _, key := range args[1:] {
		if at := (watchedKey{db, string(key)}); !m.known[at] {
			keys = append(keys, key)
			size += int64(2*len(key)) + queuedBytes
			if m.known == nil {
				m.known = map[watchedKey]bool{}
			}
			m.known[at] = true
		}
	}
	if len(keys) == 0 {
		return resp.OK
	}
	refusal := s.hold(size)
	if !refusal.IsError() {
		refusal = s.lookAt(db, keys)
	}
	if refusal.IsError() {
		m.bytes -= size
		for _, key := range keys {
			delete(m.known, watchedKey{db, string(key)})
		}
		return refusal
	}
	return resp.OK
}

// lookAt notes how keys are now.
func (s *session) lookAt(db int, keys [][]byte) (refusal resp.Reply) {
	call := command.WatchCall(db, keys)
	req := &fsm.Request{Calls: []fsm.Call{call}, Local: s.readsLocally(), NoTouch: true}
	m, missing := &s.multi, &s.server.missing
	missing.expect(&m.absence, db, keys)
	err := s.server.engine.Do(req)
	if err != nil {
		refusal = s.server.engineError(err)
	} else if req.Replies[0].IsError() {
		refusal = req.Replies[0]
	}
	if refusal.IsError() {
		for _, key := range keys {
			missing.drop(&m.absence, watchedKey{db, string(key)})
		}
		return refusal
	}
	for _, w := range command.WatchedKeys(&call, &req.Replies[0]) {
		if w.Version != 0 {
			missing.drop(&m.absence, watchedKey{db, string(w.Key)})
		}
		m.watched = append(m.watched, w)
	}
	return refusal
}

func unwatch(s *session, _ [][]byte) resp.Reply {
	s.forgetWatched()
	return resp.OK
}

func (s *session) forgetWatched() {
	s.multi.watched, s.multi.known = nil, nil
	s.server.missing.dropAll(&s.multi.absence)
	if len(s.multi.queue) == 0 {
		s.dropQueue() // with it goes the memory that the keys took
	}
}

// execQueued, EXEC, hands the queued calls of the keyspace to the engine as one request, then executes the others and emits all replies.
// When the engine has refused the request, nothing is executed.
func execQueued(s *session, _ [][]byte) resp.Reply {
	m := &s.multi
	if !m.open {
		return errExecAlone
	}
	defer s.endTransaction()
	if m.failed {
		return errExecAborted
	}
	if refusal := s.redirectTransaction(); refusal.IsError() {
		return refusal
	}
	if s.server.missing.came(&m.absence) {
		return resp.NilArray
	}
	m.executing = true
	req := s.request
	s.gather(req)
	var err error
	if len(req.Calls)+len(req.Watched) > 0 {
		err = s.ask(req)
	}
	stale := req.Stale && err == nil
	if err == nil && !stale {
		s.emitTransaction(req.Replies)
	}
	s.done(req, err)
	switch refused := (command.Refusal{}); {
	case errors.As(err, &refused):
		return aborted(refused.Reply)
	case err != nil:
		return s.server.engineError(err)
	case stale:
		return resp.NilArray
	}
	return resp.Reply{}
}

// gather makes the request of the queued calls of the keyspace. SELECT goes with them, as far as it says where they
// belong; it is executed with the others.
func (s *session) gather(req *fsm.Request) {
	db := s.db.Load()
	for i := range s.multi.queue {
		switch q := &s.multi.queue[i]; {
		case q.route.handler == nil:
			req.Calls = append(req.Calls, fsm.Call{DB: int(s.db.Load()), Args: q.args, Read: !q.route.write})
		case q.route.spec.Name == "SELECT":
			selectDB(s, q.args)
		case q.route.spec.Name == "CLIENT CACHING":
			s.cacheTransaction(q.args)
		}
	}
	s.db.Store(db)
	req.Atomic, req.Watched = true, s.multi.watched
}

// emitTransaction emits the replies of a transaction as one, those of the keyspace and, where they were queued, those of
// the handlers, which it runs. As in Redis one that answers in messages, or not at all, is in the way of
// clients that count.
func (s *session) emitTransaction(replies []resp.Reply) {
	quiet := s.skip // CLIENT REPLY SKIP was before EXEC: it counts for all of it
	s.skip = false
	s.beginReply()
	defer s.endReply()
	emit := func(reply *resp.Reply) {
		if quiet || s.replies == repliesOff {
			if reply.Stream != nil {
				reply.Stream.Close()
			}
		} else if reply.Kind != resp.None {
			s.write(reply)
		}
	}
	if !quiet && s.replies == repliesOn {
		head := resp.Stream{Kind: resp.Array, Len: int64(len(s.multi.queue))}
		s.out = head.AppendHead(s.out, int(s.proto.Load()))
	}
	for i := range s.multi.queue {
		q := &s.multi.queue[i]
		var reply resp.Reply
		if q.route.handler != nil {
			reply = q.route.handler(s, q.args)
		} else {
			reply, replies = replies[0], replies[1:]
		}
		if reply.IsError() {
			s.server.stats.countError(errorCode(reply.Text))
		}
		s.ran = append(s.ran, ranCall{q.route, reply.IsError()})
		emit(&reply)
	}
}

// redirectTransaction sends a client of the Cluster face to the leader if the queued calls are to be executed there, and
// refuses keys of several slots, as Redis does.
func (s *session) redirectTransaction() resp.Reply {
	if !s.server.clusterFace.Load() {
		return resp.Reply{}
	}
	var first uint16
	any := false
	for i := range s.multi.queue {
		q := &s.multi.queue[i]
		if q.route.handler != nil {
			continue
		}
		if refusal := s.redirect(q.route, q.args); refusal.IsError() {
			return refusal
		}
		if slot, keyed, _ := q.route.spec.CallSlot(q.args); keyed {
			if any && slot != first {
				return errCrossSlot
			}
			first, any = slot, true
		}
	}
	return resp.Reply{}
}
