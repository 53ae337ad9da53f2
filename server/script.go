package server

import (
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
	"redoubt/script"
)

// busyDefault is Redis's busy-reply-threshold, in milliseconds.
const busyDefault = 5000

// watchScripts lets scripts have the time, for who asks how long one has been running, and the log.
func (s *Server) watchScripts() {
	s.busyAfter.Store(busyDefault)
	levels := map[int]func(string, ...zap.Field){script.LogDebug: s.log.Debug, script.LogVerbose: s.log.Debug,
		script.LogNotice: s.log.Info, script.LogWarning: s.log.Warn}
	s.table.Scripts().SetOutside(command.Outside{
		Now: func() int64 { return int64(s.clock() / time.Millisecond) },
		Log: func(level int, text string) {
			if write := levels[level]; write != nil {
				write("a script says", zap.String("text", text))
			}
		},
	})
}

// refusedAsBusy is the answer to a call that does not wait for a script that has been running in the log for long.
func (s *Server) refusedAsBusy(r *route) resp.Reply {
	busy := s.table.Scripts().Busy(s.busyAfter.Load())
	if busy.IsError() && r.spec.Flags&command.AllowBusy != 0 {
		return resp.Reply{}
	}
	return busy
}

// run hands a request to the engine. Scripts are run as reads first, off the log, if nothing else in the request writes, and
// they may turn out to be reads: then they were.
func (s *session) run(req *fsm.Request) error {
	if len(s.ran) != len(req.Calls) || !s.readsScripts(req) {
		return s.server.engine.Do(req)
	}
	if err := s.server.engine.Do(req); err != nil {
		return err
	}
	writes := false
	for i := range req.Replies {
		writes = writes || req.Replies[i].IsError() && req.Replies[i].Text == command.NeedsLog.Text
	}
	if !writes {
		s.rememberScripts(req)
		return nil
	}
	req.Discard()
	for i := range req.Calls {
		req.Calls[i].Read = !s.ran[i].route.write
	}
	return s.server.engine.Do(req)
}

// readsScripts marks the calls of scripts as reads, if the request may turn out to be one. It is false when there are none.
func (s *session) readsScripts(req *fsm.Request) bool {
	scripts := false
	for i := range req.Calls {
		switch c, r := &req.Calls[i], s.ran[i].route; {
		case r.script:
			if r.write && !s.server.table.Scripts().MayRead(c.Args) {
				return false
			}
			scripts = true
		case !c.Read:
			return false
		}
	}
	if scripts {
		for i := range req.Calls {
			req.Calls[i].Read = true
		}
	}
	return scripts
}

// rememberScripts stores the scripts that were run as reads and are new. Whether that works or not, they were run.
func (s *session) rememberScripts(req *fsm.Request) {
	store := &fsm.Request{}
	for i := range req.Calls {
		if call, ok := s.server.table.Scripts().Remember(req.Calls[i].Args); ok {
			store.Calls = append(store.Calls, call)
		}
	}
	if len(store.Calls) == 0 {
		return
	}
	if err := s.server.engine.Do(store); err != nil {
		s.server.log.Warn("a script that was run was not stored: EVALSHA may not find it", zap.Error(err))
	}
}

func scriptKill(s *session, _ [][]byte) resp.Reply { return s.server.table.Scripts().Kill(true) }

func functionKill(s *session, _ [][]byte) resp.Reply { return s.server.table.Scripts().Kill(false) }

// scriptDebug accepts what there is: no debugger.
func scriptDebug(_ *session, args [][]byte) resp.Reply {
	switch {
	case is(args[2], "NO"):
		return resp.OK
	case is(args[2], "YES"), is(args[2], "SYNC"):
		return errorf("there is no debugger of scripts")
	}
	return errorf("Use SCRIPT DEBUG YES/SYNC/NO")
}

func functionStats(s *session, _ [][]byte) resp.Reply {
	p, err := s.server.programs(s.readsLocally())
	if err != nil {
		return s.server.engineError(err)
	}
	return s.server.table.Scripts().Stats(p.Libraries, p.Functions)
}

// programs counts the scripts and libraries.
func (s *Server) programs(local bool) (fsm.Programs, error) {
	req := &fsm.Request{Calls: []fsm.Call{command.CountProgramsCall()}, Local: local}
	if err := s.engine.Do(req); err != nil || len(req.Replies) == 0 {
		return fsm.Programs{}, err
	}
	return command.ReadPrograms(req.Replies[0]), nil
}
