package command

import (
	"crypto/sha1"
	"encoding/hex"

	"redoubt/fsm"
	"redoubt/resp"
	"redoubt/script"
)

const (
	scriptFlags = NoScript | SkipMonitor | Stale | NoMandatoryKeys

	tipsDiffersScript = "A script that writes is run by all nodes, at its place in the log, and ends with an error after " +
		"`lua-instruction-limit` instructions. One that only reads is run by this node alone and holds up nobody."
)

var (
	scriptTips = []string{"request_policy:all_nodes", "response_policy:all_succeeded"}
	shardTips  = []string{"request_policy:all_shards", "response_policy:all_succeeded"}
	killTips   = []string{"request_policy:all_shards", "response_policy:one_succeeded"}
)

// numberedKeys are those of EVAL and the like: how many, then they themselves.
func numberedKeys(flags KeyFlags, notes string) Keys {
	return Keys{{Flags: flags, First: 3, KeyNum: 2, Step: 1, Notes: notes}}
}

const (
	worstCase   = "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE"
	worstCaseRO = "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS"
)

func scriptCallSpec(name string, flags Flags, notes, since, summary string, run func(*fsm.Txn, [][]byte) resp.Reply) Spec {
	keys := numberedKeys(KeyRW|KeyAccess|KeyUpdate, notes)
	if flags&ReadOnly != 0 {
		keys = numberedKeys(KeyRO|KeyAccess, notes)
	}
	return Spec{Name: name, Arity: -3, Flags: scriptFlags | flags, Keys: keys, Group: GroupScripting, Categories: CatScripting,
		Since: since, Complexity: "as the script", Summary: summary, Differs: tipsDiffersScript, Run: run}
}

// commands are those of scripts.
func (s *Scripts) commands() []Spec {
	return []Spec{
		scriptCallSpec("EVAL", Logged|Scripted, worstCase, "2.6.0", "Runs a Lua script.", s.eval(false, false)),
		scriptCallSpec("EVAL_RO", ReadOnly|Scripted, worstCaseRO, "7.0.0", "Runs a Lua script that does not write.", s.eval(false, true)),
		scriptCallSpec("EVALSHA", Logged|Scripted, "", "2.6.0", "Runs a Lua script that the server knows, by its SHA-1.", s.eval(true, false)),
		scriptCallSpec("EVALSHA_RO", ReadOnly|Scripted, "", "7.0.0", "Runs a Lua script that the server knows, by its SHA-1, and that does not write.",
			s.eval(true, true)),
		{Name: "REMEMBERSCRIPT", Arity: 2, Flags: Write | Internal, Group: GroupScripting, Since: "0.1.0",
			Summary: "Stores a script that was run as a read.", Run: s.cmdRemember},
		{Name: "COUNTPROGRAMS", Arity: 1, Flags: ReadOnly | Internal, Group: GroupScripting, Since: "0.1.0",
			Summary: "Counts scripts, libraries and functions.", Run: cmdCountPrograms},
		{Name: "SCRIPT", Arity: -2, Group: GroupScripting, Since: "2.6.0", Complexity: "as the subcommand",
			Summary: "Looks after the scripts that the server knows.",
			Help: []string{
				"DEBUG (YES|SYNC|NO)", "    There is no debugger: only NO.",
				"EXISTS <sha1> [<sha1> ...]", "    Tells which scripts are known.",
				"FLUSH [ASYNC|SYNC]", "    Forgets all scripts, on all nodes.",
				"KILL", "    Ends the scripts that run on this node and have not written.",
				"LOAD <script>", "    Makes a script known to all nodes without running it.",
			},
			Sub: []Spec{
				scriptSub("DEBUG", 3, NoScript, "3.2.0", "O(1)", nil, "Would set the debug mode.", nil),
				scriptSub("EXISTS", -3, NoScript|Looks, "2.6.0", "O(N), N scripts",
					[]string{"request_policy:all_shards", "response_policy:agg_logical_and"}, "Tells which scripts are known.", cmdScriptExists),
				scriptSub("FLUSH", -2, NoScript|Logged, "2.6.0", "O(1)", scriptTips, "Forgets all scripts.", cmdScriptFlush),
				scriptSub("HELP", 2, Loading|Stale, "5.0.0", "O(1)", nil, "Lists the subcommands.", nil),
				scriptSub("KILL", 2, NoScript|AllowBusy, "2.6.0", "O(1)", killTips, "Ends a script that has not written.", nil),
				scriptSub("LOAD", 3, NoScript|Stale|Logged, "2.6.0", "O(N), N bytes", scriptTips, "Makes a script known.", s.cmdScriptLoad),
			}},
	}
}

func scriptSub(name string, arity int, flags Flags, since, complexity string, tips []string, summary string,
	run func(*fsm.Txn, [][]byte) resp.Reply) Spec {
	s := Spec{Name: "SCRIPT " + name, Arity: arity, Flags: flags, Group: GroupScripting, Categories: CatScripting, Since: since,
		Complexity: complexity, Tips: tips, Summary: summary, Run: run}
	switch name {
	case "DEBUG":
		s.Differs = "There is no debugger."
	case "KILL":
		s.Differs = "Ends what runs on this node. Scripts that have begun to write can't be ended, and are bounded."
	}
	return s
}

var (
	errNoScript       = resp.NewError("NOSCRIPT No matching script. Please use EVAL.")
	errKeysTooMany    = resp.NewError("ERR Number of keys can't be greater than number of args")
	errKeysNegative   = resp.NewError("ERR Number of keys can't be negative")
	errKeysBad        = resp.NewError("ERR Bad number of keys provided")
	errScriptFlush    = resp.NewError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
	errNoMoreFunction = resp.NewError("ERR Function not found")
)

// parseSHA reads the SHA-1 of a script.
func parseSHA(digits []byte) (sha [shaBytes]byte, ok bool) {
	if len(digits) != 2*shaBytes {
		return sha, false
	}
	_, err := hex.Decode(sha[:], digits)
	return sha, err == nil
}

func hexSHA(sha [shaBytes]byte) string { return hex.EncodeToString(sha[:]) }

// splitKeys divides what follows the number of keys. bad is the error if that is no number.
func splitKeys(args [][]byte, bad resp.Reply) (keys, rest [][]byte, refusal resp.Reply) {
	n, ok := parseInt(args[2])
	switch {
	case !ok:
		return nil, nil, bad
	case n > int64(len(args)-3):
		return nil, nil, errKeysTooMany
	case n < 0:
		return nil, nil, errKeysNegative
	}
	return args[3 : 3+n], args[3+n:], refusal
}

// eval makes the function of EVAL and its like.
func (s *Scripts) eval(bySHA, ro bool) func(tx *fsm.Txn, args [][]byte) resp.Reply {
	return func(tx *fsm.Txn, args [][]byte) resp.Reply {
		if bySHA && len(args[1]) != 2*shaBytes {
			return errNoScript
		}
		keys, rest, bad := splitKeys(args, errNotInteger)
		if bad.IsError() {
			return bad
		}
		var p *program
		if bySHA {
			p, bad = s.find(tx, args[1])
		} else {
			p, bad = s.learn(tx, args[1])
		}
		if bad.IsError() {
			return bad
		}
		c := scriptCall{scripts: s, tx: tx, flags: p.Flags, run: scriptRun{eval: true, name: p.name, args: args}}
		reply := c.start(ro, func(o script.Options) resp.Reply { return p.Run(&c, keys, rest, o) })
		if !ro && p.writes.Load() != (c.wrote || c.needsLog) {
			p.writes.Store(c.wrote || c.needsLog)
		}
		return reply
	}
}

// find returns the program with a SHA-1 that the state has.
func (s *Scripts) find(tx *fsm.Txn, digits []byte) (*program, resp.Reply) {
	sha, ok := parseSHA(digits)
	if !ok {
		return nil, errNoScript
	}
	text, ok := tx.Script(sha[:])
	if !ok {
		return nil, errNoScript
	}
	p := s.known(nil, &sha)
	if p == nil {
		var err error
		if p, err = s.compile(text, sha); err != nil {
			return nil, errorf("%s", err)
		}
	}
	p.note(true)
	return p, resp.Reply{}
}

// learn returns the program of a text, and stores it, unless this is a read.
func (s *Scripts) learn(tx *fsm.Txn, text []byte) (*program, resp.Reply) {
	p := s.known(text, nil)
	if p == nil {
		var err error
		if p, err = s.compile(text, sha1.Sum(text)); err != nil {
			return nil, errorf("%s", err)
		}
	}
	_, stored := tx.Script(p.sha[:])
	if !stored && tx.Writes() {
		tx.AddScript(p.sha[:], text, false)
		stored = true
	}
	p.note(stored)
	return p, resp.Reply{}
}

// note notes whether the state has the program.
func (p *program) note(stored bool) {
	if p.stored.Load() != stored {
		p.stored.Store(stored)
	}
}

func (s *Scripts) cmdRemember(tx *fsm.Txn, args [][]byte) resp.Reply {
	_, bad := s.learn(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return resp.OK
}

func (s *Scripts) cmdScriptLoad(tx *fsm.Txn, args [][]byte) resp.Reply {
	sha := sha1.Sum(args[2])
	p := s.known(nil, &sha)
	if p == nil {
		var err error
		if p, err = s.compile(args[2], sha); err != nil {
			return errorf("%s", err)
		}
	}
	tx.AddScript(sha[:], args[2], true)
	p.note(true)
	return resp.NewBulkString(p.name)
}

func cmdScriptExists(tx *fsm.Txn, args [][]byte) resp.Reply {
	found := make([]resp.Reply, len(args)-2)
	for i, digits := range args[2:] {
		n := int64(0)
		if sha, ok := parseSHA(digits); ok {
			if _, ok := tx.Script(sha[:]); ok {
				n = 1
			}
		}
		found[i] = resp.NewInt(n)
	}
	return resp.NewArray(found)
}

func cmdScriptFlush(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) > 2 && (len(args) > 3 || !isOption(args[2], "SYNC") && !isOption(args[2], "ASYNC")) {
		return errScriptFlush
	}
	tx.ClearScripts()
	return resp.OK
}

func cmdCountPrograms(tx *fsm.Txn, _ [][]byte) resp.Reply {
	p := tx.Programs()
	return resp.ArrayOf(resp.NewInt(p.Scripts), resp.NewInt(p.Libraries), resp.NewInt(p.Functions), resp.NewInt(p.ScriptBytes),
		resp.NewInt(p.LibraryBytes))
}

// CountProgramsCall is the call that counts scripts and libraries; see ReadPrograms.
func CountProgramsCall() fsm.Call {
	return fsm.Call{Args: [][]byte{[]byte("COUNTPROGRAMS")}, Read: true}
}

// ReadPrograms reads the reply to CountProgramsCall.
func ReadPrograms(r resp.Reply) (p fsm.Programs) {
	if len(r.Elems) == 5 {
		p = fsm.Programs{Scripts: r.Elems[0].Int, Libraries: r.Elems[1].Int, Functions: r.Elems[2].Int,
			ScriptBytes: r.Elems[3].Int, LibraryBytes: r.Elems[4].Int}
	}
	return p
}
