package command

import (
	"bytes"
	"errors"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
	"redoubt/script"
)

// Redis's errors of calls from scripts.
var (
	errScriptUnknown  = resp.NewError("ERR Unknown Redis command called from script")
	errScriptArity    = resp.NewError("ERR Wrong number of args calling Redis command from script")
	errScriptForbids  = resp.NewError("ERR This Redis command is not allowed from script")
	errScriptReadOnly = resp.NewError("ERR Write commands are not allowed from read-only scripts.")
	errScriptRO       = resp.NewError("ERR Can not execute a script with write flag using *_ro command.")
	errScriptOOM      = resp.NewError("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'")
)

const (
	// defaultInstructions is what a script in the log may run, while lua-instruction-limit was not set.
	defaultInstructions = 20_000_000
	// stopsAttached is how often a script that is a read is asked to stop until it no longer holds up what is applied.
	stopsAttached = 4
)

// call is one run of a script or a function.
type scriptCall struct {
	scripts *Scripts
	tx      *fsm.Txn
	flags   script.Flags
	run     scriptRun

	readOnly bool // commands that write are refused
	full     bool // commands that need room are refused, until something was written
	wrote    bool
	needsLog bool // it is run as a read, and was about to write
	stops    int
	listed   bool // in Scripts.runs
	calling  bool // a command is running
}

var errScriptEnds = errors.New("the script has to end")

// start runs a script or function, whose flags are known.
func (c *scriptCall) start(ro bool, do func(o script.Options) resp.Reply) resp.Reply {
	compat := c.flags&script.Compat != 0
	c.readOnly = ro || !compat && c.flags&script.NoWrites != 0
	full := c.tx.Full()
	switch {
	case compat:
	case ro && c.flags&script.NoWrites == 0:
		return errScriptRO
	case full && c.flags&(script.AllowOOM|script.NoWrites) == 0:
		return errScriptOOM
	}
	c.full = full && (compat || c.flags&script.AllowOOM == 0)
	o := script.Options{Name: c.run.name, Stop: c.stop, Limits: script.Limits{Instructions: math.MaxInt64}}
	c.run.start = c.scripts.now()
	if c.tx.InLog() {
		o.Limits.Instructions = instructionLimit(c.tx.Settings())
		c.scripts.inLog.Store(&c.run)
		defer c.scripts.inLog.Store(nil)
	}
	db := c.tx.DB()
	c.tx.Whole(true)
	reply := c.guarded(func() resp.Reply { return do(o) })
	c.tx.Whole(false)
	c.tx.Use(db)
	if c.listed {
		c.scripts.runs.Delete(&c.run)
	}
	if c.needsLog {
		return NeedsLog
	}
	return reply
}

// guarded runs the script. A panic of the interpreter is a mistake of it, and the same one on all nodes: it becomes an error.
func (c *scriptCall) guarded(do func() resp.Reply) (reply resp.Reply) {
	defer func() {
		if c.calling {
			return // the panic of a command goes on
		}
		if r := recover(); r != nil {
			reply = errorf("internal error: the script was ended")
		}
	}()
	return do()
}

func instructionLimit(s fsm.Settings) int64 {
	if s.Instructions == 0 {
		return defaultInstructions
	}
	return s.Instructions
}

// stop is asked by the script whether it has to end. In the log it never has to: nodes would not agree about when.
func (c *scriptCall) stop() error {
	c.stops++
	switch {
	case c.tx.Over(), c.needsLog:
		return errScriptEnds
	case c.tx.InLog() || c.stops < stopsAttached:
		return nil
	case c.run.killed.Load():
		return script.ErrKilled
	}
	if !c.listed {
		args := make([][]byte, len(c.run.args))
		for i := range args {
			args[i] = bytes.Clone(c.run.args[i])
		}
		c.run.args, c.listed = args, true
		c.scripts.runs.Store(&c.run, nil)
	}
	if !c.tx.Yield() {
		return errScriptEnds
	}
	return nil
}

// mayReplicate are the commands that Redis refuses in scripts that do not write, though they have no flag that clients see.
var mayReplicate = map[string]bool{"PUBLISH": true, "SPUBLISH": true, "PFCOUNT": true}

// Call is part of script.Host.
func (c *scriptCall) Call(args [][]byte) resp.Reply {
	if c.needsLog || c.tx.Over() {
		return NeedsLog
	}
	spec := c.scripts.table.Find(args)
	if spec == nil || spec.Flags&Internal != 0 {
		return errScriptUnknown
	}
	writes := spec.Flags.IsWrite()
	switch {
	case !spec.arityFits(len(args)):
		return errScriptArity
	case spec.Flags&NoScript != 0:
		return errScriptForbids
	case c.readOnly && (writes || mayReplicate[spec.Name]):
		return errScriptReadOnly
	case !c.tx.Writes() && (writes || spec.Name == "PUBLISH" || spec.Name == "SPUBLISH"):
		c.needsLog = true
		return NeedsLog
	case waits(spec, args):
		return errorf("%s command is not allowed with BLOCK option from scripts", spec.FullName())
	case c.full && !c.wrote && spec.Flags&DenyOOM != 0:
		return OutOfMemory
	}
	c.wrote = c.wrote || writes
	if spec.Run == nil {
		return c.atNode(spec, args)
	}
	if spec.Flags&ReadOnly != 0 && c.tx.ToldReads() {
		for _, key := range spec.CallKeys(args) {
			c.tx.Reads(args[key.Index])
		}
	}
	c.calling = true // until the command has returned: a panic of it is not one of the script
	reply := spec.Run(c.tx, args)
	c.calling = false
	return reply
}

// waits says whether a call is one of XREAD or XREADGROUP that is to wait.
func waits(spec *Spec, args [][]byte) bool {
	if spec.Name != "XREAD" && spec.Name != "XREADGROUP" {
		return false
	}
	for _, arg := range args[1:] {
		switch {
		case isOption(arg, "STREAMS"):
			return false
		case isOption(arg, "BLOCK"):
			return true
		}
	}
	return false
}

// atNode answers a command that the server executes for clients, where that does not depend on the node.
func (c *scriptCall) atNode(spec *Spec, args [][]byte) resp.Reply {
	switch spec.Name {
	case "SELECT":
		db, bad := ParseDB(args[1])
		if bad.IsError() {
			return bad
		}
		c.tx.Use(db)
		return resp.OK
	case "PING":
		switch len(args) {
		case 1:
			return resp.NewSimple("PONG")
		case 2:
			return resp.NewBulk(args[1])
		}
		return wrongArity("ping")
	case "PUBLISH": // to the subscribers on all nodes; who they are is no part of the state
		c.tx.Publish(bytes.Clone(args[1]), bytes.Clone(args[2]))
		return resp.NewInt(0)
	case "SPUBLISH":
		c.tx.PublishShard(bytes.Clone(args[1]), bytes.Clone(args[2]))
		return resp.NewInt(0)
	case "ECHO":
		return resp.NewBulk(args[1])
	case "TIME":
		now := c.tx.Now()
		return resp.ArrayOf(resp.NewBulk(formatInt(now/1000)), resp.NewBulk(formatInt(now%1000*1000)))
	case "COMMAND", "COMMAND COUNT", "COMMAND DOCS", "COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS", "COMMAND INFO", "COMMAND LIST":
		return c.scripts.table.CommandReply(args)
	case "WAIT", "WAITAOF":
		return resp.NewInt(0)
	}
	return errScriptForbids
}

// Allowed is part of script.Host: there is one user, who may do everything.
func (c *scriptCall) Allowed(args [][]byte) (allowed, known bool) {
	spec := c.scripts.table.Find(args)
	known = spec != nil && spec.Flags&Internal == 0
	return known, known
}

// Log is part of script.Host.
func (c *scriptCall) Log(level int, text string) { c.scripts.log(level, text) }

// SetRESP is part of script.Host. Replies are the same for both versions until they are written.
func (c *scriptCall) SetRESP(int) {}
