package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/redcon"
	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/failpoint"
	"redoubt/fsm"
	"redoubt/resp"
)

// Bounds of what goes to the engine as one request, so that it makes a log entry of bearable size.
// A single call may be longer.
const (
	requestCallsMax = 4096
	requestBytesMax = 1 << 20
)

// handler executes a command of the connection or of the node.
type handler func(s *session, args [][]byte) resp.Reply

// route is where the calls of a command go.
type route struct {
	spec    *command.Spec
	handler handler // nil for the commands of the keyspace
	word    string  // what clients call it by, in upper and in lower case; none if the name alone does not tell that a call is right
	lower   string
	write   bool
	script  bool // see scriptCalls
	alone   bool // takes long: no other call shares its segment
	atOnce  bool // executed, not queued, between MULTI and EXEC
	stats   commandStats
}

// newRoutes finds the handler of each command that has no function of its own.
func newRoutes(table *command.Table) map[*command.Spec]*route {
	routes := map[*command.Spec]*route{}
	add := func(spec *command.Spec) *route {
		r := &route{spec: spec, write: spec.Flags.IsWrite(), script: spec.Flags&command.Scripted != 0, atOnce: neverQueued[spec.Name]}
		if spec.Run == nil {
			r.handler, r.alone = handlerOf(spec.Name)
		} else {
			r.alone = spec.Flags&command.Scan != 0
		}
		routes[spec] = r
		return r
	}
	for _, spec := range table.All() {
		if r := add(spec); spec.Sub == nil && spec.Inner == nil {
			r.word, r.lower = spec.Name, spec.FullName()
		}
		for i := range spec.Sub {
			add(&spec.Sub[i])
		}
	}
	return routes
}

// handlers are the commands of connection.go, clients.go, config.go, info.go, memory.go, multi.go, node.go, pubsub.go and
// tracking_commands.go by the names in the table. Those of the Cluster and the Sentinel face are in their files.
var handlers = map[string]handler{
	"PING": ping, "ECHO": echo, "SELECT": selectDB, "HELLO": hello, "AUTH": auth, "QUIT": quit,
	"RESET": reset,

	"CLIENT CACHING": clientCaching, "CLIENT GETNAME": clientGetName, "CLIENT GETREDIR": clientGetRedir, "CLIENT ID": clientID, "CLIENT INFO": clientInfo,
	"CLIENT KILL": clientKill, "CLIENT LIST": clientList, "CLIENT NO-EVICT": clientNoEvict,
	"CLIENT NO-TOUCH": clientNoTouch, "CLIENT PAUSE": clientPause, "CLIENT REPLY": clientReply,
	"CLIENT SETINFO": clientSetInfo, "CLIENT SETNAME": clientSetName,
	"CLIENT TRACKING": clientTracking, "CLIENT TRACKINGINFO": clientTrackingInfo,
	"CLIENT UNBLOCK": clientUnblock, "CLIENT UNPAUSE": clientUnpause,

	"CONFIG GET": configGet, "CONFIG RESETSTAT": configResetStat, "CONFIG REWRITE": configRewrite,
	"CONFIG SET": configSet,

	"MEMORY DOCTOR": memoryDoctor, "MEMORY MALLOC-STATS": memoryMallocStats, "MEMORY PURGE": memoryPurge,
	"MEMORY STATS": memoryStats,

	"INFO": info, "ROLE": role, "TIME": serverTime, "WAIT": wait, "LASTSAVE": lastSave,
	"SAVE": save, "BGSAVE": backgroundSave, "SHUTDOWN": shutdown, "DEBUG": debug,
	"WAITAOF": waitAOF, "ASKING": clustered(asking), "READONLY": readOnly, "READWRITE": readWrite,
	"MIGRATE": migrate, "PFSELFTEST": hllSelfTest,

	"SCRIPT DEBUG": scriptDebug, "SCRIPT KILL": scriptKill, "FUNCTION KILL": functionKill, "FUNCTION STATS": functionStats,

	"SUBSCRIBE": subscriber(toChannels, "subscribe"), "UNSUBSCRIBE": unsubscriber(toChannels, "unsubscribe"),
	"PSUBSCRIBE": subscriber(toPatterns, "psubscribe"), "PUNSUBSCRIBE": unsubscriber(toPatterns, "punsubscribe"),
	"SSUBSCRIBE": subscriber(toShards, "ssubscribe"), "SUNSUBSCRIBE": unsubscriber(toShards, "sunsubscribe"),
	"PUBLISH": publish, "SPUBLISH": shardPublish,
	"PUBSUB CHANNELS": pubSubChannels(toChannels), "PUBSUB SHARDCHANNELS": pubSubChannels(toShards),
	"PUBSUB NUMSUB": pubSubSubscribers(toChannels), "PUBSUB SHARDNUMSUB": pubSubSubscribers(toShards),
	"PUBSUB NUMPAT": pubSubPatterns,

	"MULTI": multi, "EXEC": execQueued, "DISCARD": discard, "WATCH": watchKeys, "UNWATCH": unwatch,
}

// slow are the commands that may take their time, beside those of RAFT.
var slow = map[string]bool{"WAIT": true, "WAITAOF": true, "SAVE": true, "DEBUG": true, "SHUTDOWN": true,
	"MIGRATE": true, "PFSELFTEST": true, "CLUSTER COUNTKEYSINSLOT": true, "CLUSTER FAILOVER": true, "CLUSTER GETKEYSINSLOT": true,
	"SENTINEL FAILOVER": true}

// handlerOf finds what executes a command that has no function in the table.
func handlerOf(name string) (h handler, isSlow bool) {
	switch h = handlers[name]; {
	case h != nil:
		return h, slow[name]
	case strings.HasPrefix(name, "CLUSTER "):
		return clusterHandler(name), slow[name]
	case sentinelHandlers[name] != nil:
		return sentinelHandlers[name], slow[name]
	case strings.HasSuffix(name, " HELP"):
		return help, false
	case name == "COMMAND", strings.HasPrefix(name, "COMMAND "):
		return describe, false
	case strings.HasPrefix(name, "RAFT "):
		return raft, true
	}
	return notHere, false
}

// describe is in the table itself, since it is about nothing else.
func describe(s *session, args [][]byte) resp.Reply { return s.server.table.CommandReply(args) }

// notHere answers for a spec without a function that no handler was written for.
func notHere(*session, [][]byte) resp.Reply { return errNotHere }

func help(s *session, args [][]byte) resp.Reply {
	return s.server.table.Lookup(args[0]).HelpReply()
}

// segment executes the first commands of a pipeline that can be executed together, and appends
// their replies: calls of the keyspace up to a bound, or short commands of the connection, or
// one command that takes its time; or queues those of a transaction. It returns how many they were, at least one.
func (s *session) segment(commands []redcon.Command) int {
	first, refusal := s.resolve(commands[0].Args)
	if first == nil {
		s.refuse(commands[0].Args, refusal)
		return 1
	}
	if s.server.blocked.pushed.Load() > 0 {
		s.letServe()
	}
	if s.held(first) && !s.awaitPause(first) {
		s.leaving = true
		return 1
	}
	if s.multi.open && !first.atOnce {
		return s.enqueue(first, commands)
	}
	n := 1
	if what, waits := first.waits(commands[0].Args); waits {
		s.block(first, commands[0].Args, what)
	} else {
		n = s.executeSegment(first, commands)
	}
	s.account()
	return n
}

// executeSegment executes the first calls of a segment, which do not wait.
func (s *session) executeSegment(first *route, commands []redcon.Command) int {
	if s.subs.count() > 0 && !first.alone {
		s.holdMessages()
		defer s.letMessages()
	}
	if first.handler == nil {
		n := s.collect(first, commands)
		s.do()
		return n
	}
	n := 1
	s.runHandler(first, commands[0].Args)
	for ; !first.alone && n < len(commands) && !s.leaving && !s.multi.open; n++ {
		next, _ := s.resolve(commands[n].Args)
		if next == nil || next.handler == nil || next.alone || s.held(next) {
			break
		}
		s.runHandler(next, commands[n].Args)
	}
	return n
}

// waits says what a call waits for if it finds nothing, and whether it does.
func (r *route) waits(args [][]byte) (what command.Waiting, ok bool) {
	if r.spec.Wait == nil || r.handler != nil {
		return what, false
	}
	return r.spec.Wait(args)
}

func (r *route) mayWait(args [][]byte) bool {
	_, ok := r.waits(args)
	return ok
}

// resolve finds the route of a call, or the error for it.
func (s *session) resolve(args [][]byte) (*route, resp.Reply) {
	r, refusal := s.find(args)
	if r == nil {
		return nil, refusal
	}
	refusal = s.server.refusedAsBusy(r)
	switch {
	case refusal.IsError():
	case s.subs.count() > 0:
		refusal = s.subscribedOnly(r)
	case s.server.clusterFace.Load() && r.handler == nil:
		refusal = s.redirect(r, args)
	}
	if refusal.IsError() {
		return nil, refusal
	}
	return r, refusal
}

// find looks a call's command up. Most calls are of the same command as the one before.
func (s *session) find(args [][]byte) (*route, resp.Reply) {
	last := s.last.Load()
	if last != nil && last.word != "" && (string(args[0]) == last.word || string(args[0]) == last.lower) &&
		(len(args) == last.spec.Arity || last.spec.Arity < 0 && len(args) >= -last.spec.Arity) {
		return last, resp.Reply{}
	}
	spec, refusal := s.server.table.Resolve(args)
	if spec == nil {
		return nil, refusal
	}
	if v := spec.NeedsVersion(args); v > 1 && v > s.server.engine.Version() {
		return nil, errTooNew(spec)
	}
	r := s.server.routes[spec]
	s.last.Store(r)
	return r, refusal
}

// refuse answers a call that is not executed.
func (s *session) refuse(args [][]byte, refusal resp.Reply) {
	if isWebRequest(args[0]) {
		s.server.log.Warn("a web browser was disconnected: its page sends requests to this port",
			zap.Stringer("client", s.guard.RemoteAddr()))
		s.out = s.out[:0]
		s.leaving = true
		return
	}
	if spec := s.server.table.Lookup(args[0]); spec != nil {
		if r := s.server.routes[spec]; r != nil {
			r.stats.rejected.Add(1)
		}
	}
	refusal = s.flagTransaction(args, refusal)
	s.server.stats.countError(errorCode(refusal.Text))
	s.emit(&refusal)
}

// isWebRequest recognises the start of HTTP requests, with which a web page could make the
// browser of someone inside the network send commands.
func isWebRequest(name []byte) bool {
	return bytes.EqualFold(name, []byte("POST")) || bytes.EqualFold(name, []byte("Host:"))
}

func (s *session) runHandler(r *route, args [][]byte) {
	if r.alone {
		s.flush() // it may take its time
	}
	reply := r.handler(s, args)
	failed := reply.IsError()
	if failed {
		s.server.stats.countError(errorCode(reply.Text))
	}
	s.ran = append(s.ran, ranCall{r, failed})
	if s.tracker != nil {
		s.tracker.used(r.spec.Name)
	}
	s.emit(&reply)
}

// collect makes the engine's request of the calls at the start of a pipeline.
func (s *session) collect(first *route, commands []redcon.Command) (n int) {
	db := int(s.db.Load())
	req := s.request
	size := 0
	for r := first; ; {
		req.Calls = append(req.Calls, fsm.Call{DB: db, Args: commands[n].Args, Read: !r.write})
		s.ran = append(s.ran, ranCall{route: r})
		size += len(commands[n].Raw)
		if n++; n == len(commands) || n == requestCallsMax || first.alone {
			return n
		}
		next, _ := s.resolve(commands[n].Args)
		if next == nil || next.handler != nil || next.alone || s.held(next) || next.mayWait(commands[n].Args) ||
			size+len(commands[n].Raw) > requestBytesMax {
			return n
		}
		r = next
	}
}

// do hands the request to the engine and emits the replies.
func (s *session) do() {
	req := s.request
	err := s.ask(req)
	if err != nil {
		s.fail(s.server.engineError(err))
	} else {
		for i := range req.Replies {
			if req.Replies[i].IsError() {
				s.ran[i].failed = true
				s.server.stats.countError(errorCode(req.Replies[i].Text))
			}
			s.emit(&req.Replies[i])
		}
	}
	s.done(req, err)
}

// ask hands a request of this client to the engine.
func (s *session) ask(req *fsm.Request) error {
	req.Local, req.NoTouch, req.Client = s.readsLocally(), s.profile.noTouch, uint64(s.id)
	if s.tracker != nil {
		s.track(req)
	}
	run := s.server.engine.Do
	if !req.Atomic { // else it goes as it is
		run = s.run
	}
	err := run(req)
	failpoint.ReplyBefore.Hit()
	if err == nil && len(req.Replies) != len(req.Calls) && !req.Stale {
		err = fmt.Errorf("the engine answered %d of %d calls", len(req.Replies), len(req.Calls))
	}
	if err != nil && !errors.Is(err, command.ErrUncertain) { // reads alone have streams, and they are never uncertain
		req.Discard()
	}
	return err
}

// done makes the session's request ready for its next use, when its replies were emitted.
func (s *session) done(req *fsm.Request, err error) {
	if s.tracker != nil {
		s.tracked(err)
	}
	if errors.Is(err, command.ErrUncertain) || cap(req.Calls) > keptCalls {
		s.request = &fsm.Request{} // after ErrUncertain the engine may still use the other one
		return
	}
	clear(req.Calls)
	clear(req.Replies)
	*req = fsm.Request{Calls: req.Calls[:0], Replies: req.Replies[:0]}
}

// fail gives each call of the request the same error.
func (s *session) fail(refusal resp.Reply) {
	for i := range s.ran {
		s.ran[i].failed = true
		s.server.stats.countError(errorCode(refusal.Text))
		s.emit(&refusal)
	}
}

// account adds the calls of a segment to the statistics; they share its time evenly.
func (s *session) account() {
	end := s.server.clock()
	share := (end - s.mark) / time.Duration(len(s.ran))
	s.mark = end
	s.server.stats.commands.Add(int64(len(s.ran)))
	for i := 0; i < len(s.ran); {
		r := s.ran[i].route
		var calls, failed int64
		for ; i < len(s.ran) && s.ran[i].route == r; i++ {
			calls++
			if s.ran[i].failed {
				failed++
			}
		}
		r.stats.calls.Add(calls)
		r.stats.nanoseconds.Add(calls * int64(share))
		if failed > 0 {
			r.stats.failed.Add(failed)
		}
	}
	clear(s.ran)
	s.ran = s.ran[:0]
}

func hllSelfTest(*session, [][]byte) resp.Reply { return command.HLLSelfTest() }
