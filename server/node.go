package server

import (
	"context"
	"math"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/failpoint"
	"redoubt/resp"
)

// roleLeader is command.Status.Role of the node that leads.
const roleLeader = "leader"

// role answers as Redis does: the leader is the master, all other nodes are its replicas.
func role(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	applied := resp.NewInt(int64(s.server.engine.Status().Applied))
	if view.Role == roleLeader {
		list := []resp.Reply{}
		for _, p := range replicas(nodes) {
			if !p.down {
				list = append(list, resp.BulkArray([]string{p.host, strconv.Itoa(p.port),
					strconv.FormatUint(p.Match, 10)}))
			}
		}
		return resp.ArrayOf(resp.NewBulkString("master"), applied, resp.NewArray(list))
	}
	host, port := splitAddr(view.LeaderAddr)
	state := "connected"
	if view.Leader == 0 {
		state = "connect"
	}
	return resp.ArrayOf(resp.NewBulkString("slave"), resp.NewBulkString(host), resp.NewInt(int64(port)),
		resp.NewBulkString(state), applied)
}

// splitAddr returns the parts of host:port, zero values for what is none.
func splitAddr(addr string) (host string, port int) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(portText)
	return host, port
}

func serverTime(*session, [][]byte) resp.Reply {
	us := time.Now().UnixMicro()
	return resp.BulkArray([]string{strconv.FormatInt(us/1e6, 10), strconv.FormatInt(us%1e6, 10)})
}

// wait is WAIT numreplicas timeout.
func wait(s *session, args [][]byte) resp.Reply {
	n, ok := parseInt(args[1])
	if !ok {
		return errNotInteger
	}
	return s.awaitReplicas(n, args[2])
}

// waitAOF is WAITAOF numlocal numreplicas timeout. A node applies, and answers, only what its own log
// has on disk.
func waitAOF(s *session, args [][]byte) resp.Reply {
	local, localOK := parseInt(args[1])
	n, ok := parseInt(args[2])
	switch {
	case !localOK:
		return errNotInteger
	case local < 0 || local > 1:
		return errLocalRange
	case !ok:
		return errNotInteger
	case n < 0:
		return errNegative
	}
	others := s.awaitReplicas(n, args[3])
	if others.IsError() {
		return others
	}
	return resp.ArrayOf(resp.NewInt(1), others)
}

// awaitReplicas waits until n other nodes have on disk what was acknowledged so far, and returns how many
// do. The time limit is in milliseconds, 0 is none.
func (s *session) awaitReplicas(n int64, timeout []byte) resp.Reply {
	limit, refusal := parseTimeout(timeout)
	if refusal.IsError() {
		return refusal
	}
	ctx := s.ctx
	if s.multi.executing {
		limit = time.Millisecond // a transaction does not wait
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	defer s.blocks()()
	ctx, end := s.whileWanted(ctx)
	have, err := s.server.engine.WaitReplicas(ctx, int(max(0, min(n, math.MaxInt32))))
	failed := err != nil && ctx.Err() == nil
	switch refusal := end(); {
	case refusal.IsError():
		return refusal
	case failed:
		return s.server.engineError(err)
	}
	return resp.NewInt(int64(have))
}

// blocks counts this client as blocked until the returned function is called.
func (s *session) blocks() func() {
	s.server.stats.blocked.Add(1)
	s.blocked.Add(1)
	return func() {
		s.server.stats.blocked.Add(-1)
		s.blocked.Add(-1)
	}
}

func lastSave(s *session, _ [][]byte) resp.Reply {
	return resp.NewInt(s.server.engine.Status().LastSave)
}

func save(s *session, _ [][]byte) resp.Reply {
	if !s.server.saving.CompareAndSwap(false, true) {
		return errSaving
	}
	defer s.server.saving.Store(false)
	defer s.blocks()()
	if err := s.server.engine.Snapshot(s.ctx); err != nil {
		return s.server.engineError(err)
	}
	return resp.OK
}

func backgroundSave(s *session, args [][]byte) resp.Reply {
	if len(args) > 2 || len(args) == 2 && !is(args[1], "SCHEDULE") {
		return errSyntax
	}
	srv := s.server
	if !srv.saving.CompareAndSwap(false, true) {
		return errSaving
	}
	go func() {
		defer srv.saving.Store(false)
		if err := srv.engine.Snapshot(srv.ctx); err != nil && srv.ctx.Err() == nil {
			srv.log.Error("BGSAVE failed", zap.Error(err))
		}
	}()
	return resp.NewSimple("Background saving started")
}

// shutdown stops the process and does not answer. What SAVE and NOSAVE choose in Redis is no
// choice here: nothing that was acknowledged is lost either way.
func shutdown(s *session, args [][]byte) resp.Reply {
	var save, nosave, abort, other bool
	for _, arg := range args[1:] {
		switch {
		case is(arg, "NOSAVE"):
			nosave = true
		case is(arg, "SAVE"):
			save = true
		case is(arg, "NOW"), is(arg, "FORCE"):
			other = true
		case is(arg, "ABORT"):
			abort = true
		default:
			return errSyntax
		}
	}
	if abort && (save || nosave || other) || save && nosave {
		return errSyntax
	}
	if abort {
		return errNoShutdown
	}
	s.leaving = true
	s.server.log.Info("a client asks this node to shut down",
		zap.Stringer("client", s.guard.RemoteAddr()))
	if s.server.cfg.Shutdown != nil {
		go s.server.cfg.Shutdown()
	}
	return resp.Reply{}
}

// debug has SLEEP, which stops this connection only, and what needs no access to the store.
func debug(s *session, args [][]byte) resp.Reply {
	switch {
	case is(args[1], "HELP") && len(args) == 2:
		return resp.NewArray([]resp.Reply{
			resp.NewSimple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"),
			resp.NewSimple("ERROR <string>"),
			resp.NewSimple("    Answers with <string> as an error."),
			resp.NewSimple("SLEEP <seconds>"),
			resp.NewSimple("    Stops this connection for <seconds>. Decimals allowed."),
			resp.NewSimple("HELP"), resp.NewSimple("    Prints this help."),
		})
	case is(args[1], "ERROR") && len(args) == 3:
		return resp.NewError(string(args[2]))
	case failpoint.Enabled && is(args[1], "FAILPOINT"):
		return failpoints(args[2:])
	case is(args[1], "SLEEP") && len(args) == 3:
		seconds, err := strconv.ParseFloat(string(args[2]), 64)
		if err != nil || math.IsNaN(seconds) {
			seconds = 0 // as in Redis
		}
		return s.sleep(seconds)
	}
	return errorf("unknown subcommand or wrong number of arguments for '%.128s'. Try DEBUG HELP.",
		args[1])
}

func (s *session) sleep(seconds float64) resp.Reply {
	defer s.blocks()()
	timer := time.NewTimer(time.Duration(min(max(seconds, 0), math.MaxInt32) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return resp.OK
	case <-s.ctx.Done():
		return command.ErrorReply(command.ErrClosed)
	}
}

func raft(s *session, args [][]byte) resp.Reply {
	defer s.blocks()()
	return s.server.engine.Raft(s.ctx, args)
}
