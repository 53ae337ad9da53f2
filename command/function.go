package command

import (
	"bytes"
	"errors"
	"strings"

	"redoubt/fsm"
	"redoubt/rdb"
	"redoubt/resp"
	"redoubt/script"
)

// functionCommands are those of libraries and their functions.
func (s *Scripts) functionCommands() []Spec {
	return []Spec{
		scriptCallSpec("FCALL", Logged|Scripted, worstCase, "7.0.0", "Calls a function of a library.", s.fcall(false)),
		scriptCallSpec("FCALL_RO", ReadOnly|Scripted, worstCaseRO, "7.0.0", "Calls a function of a library that does not write.", s.fcall(true)),
		{Name: "FUNCTION", Arity: -2, Group: GroupScripting, Since: "7.0.0", Complexity: "as the subcommand",
			Summary: "Looks after the libraries of functions.",
			Help: []string{
				"LOAD [REPLACE] <FUNCTION CODE>", "    Makes a library known to all nodes.",
				"DELETE <LIBRARY NAME>", "    Removes a library.",
				"LIST [LIBRARYNAME PATTERN] [WITHCODE]", "    Describes the libraries and their functions.",
				"STATS", "    Returns the function that is running on this node, and how many there are.",
				"KILL", "    Ends the functions that run on this node and have not written.",
				"FLUSH [ASYNC|SYNC]", "    Removes all libraries.",
				"DUMP", "    Returns all libraries in a form that RESTORE takes, here and in Redis.",
				"RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
				"    Makes libraries of what DUMP returned: in place of all that are there, beside them, or in place of those",
				"    with the same names. APPEND is the default, and fails if there is one with the same name.",
			},
			Sub: []Spec{
				functionSub("DELETE", 3, Write, shardTips, "Removes a library.", cmdFunctionDelete),
				functionSub("DUMP", 2, Looks, nil, "Returns all libraries in a serialised form.", cmdFunctionDump),
				functionSub("FLUSH", -2, Write, shardTips, "Removes all libraries.", cmdFunctionFlush),
				functionSub("HELP", 2, Loading|Stale, nil, "Lists the subcommands.", nil),
				functionSub("KILL", 2, AllowBusy, killTips, "Ends a function that has not written.", nil),
				functionSub("LIST", -2, Looks, []string{"nondeterministic_output_order"}, "Describes the libraries.", s.cmdFunctionList),
				functionSub("LOAD", -3, Write|DenyOOM, shardTips, "Makes a library known.", s.cmdFunctionLoad),
				functionSub("RESTORE", -3, Write|DenyOOM, shardTips, "Makes libraries of what DUMP returned.", s.cmdFunctionRestore),
				functionSub("STATS", 2, AllowBusy, []string{"nondeterministic_output", "request_policy:all_shards",
					"response_policy:special"}, "Returns what is running, and how many functions there are.", nil),
			}},
	}
}

func functionSub(name string, arity int, flags Flags, tips []string, summary string, run func(*fsm.Txn, [][]byte) resp.Reply) Spec {
	if name != "HELP" {
		flags |= NoScript
	}
	s := Spec{Name: "FUNCTION " + name, Arity: arity, Flags: flags, Group: GroupScripting, Categories: CatScripting, Since: "7.0.0",
		Complexity: "O(N), N functions", Tips: tips, Summary: summary, Run: run}
	switch name {
	case "HELP", "KILL", "STATS", "LOAD", "DELETE":
		s.Complexity = "O(1)"
	}
	if name == "KILL" {
		s.Differs = "Ends what runs on this node. Functions that have begun to write can't be ended, and are bounded."
	}
	return s
}

// fcall makes the function of FCALL and FCALL_RO.
func (s *Scripts) fcall(ro bool) func(tx *fsm.Txn, args [][]byte) resp.Reply {
	return func(tx *fsm.Txn, args [][]byte) resp.Reply {
		name := tx.LibraryOf(args[1])
		text, _, ok := tx.Library(name)
		if name == "" || !ok {
			return errNoMoreFunction
		}
		keys, rest, bad := splitKeys(args, errKeysBad)
		if bad.IsError() {
			return bad
		}
		l, err := s.load(name, text)
		if err != nil {
			return errorf("%s", err)
		}
		f := l.function(args[1])
		if f == nil {
			return errNoMoreFunction
		}
		c := scriptCall{scripts: s, tx: tx, flags: f.Flags, run: scriptRun{name: f.Name, args: args}}
		reply := c.start(ro, func(o script.Options) resp.Reply { return l.Call(f.Name, &c, keys, rest, o) })
		if !ro {
			s.noteWriter(strings.ToLower(f.Name), c.wrote || c.needsLog)
		}
		return reply
	}
}

// noteWriter notes whether a function wrote.
func (s *Scripts) noteWriter(name string, writes bool) {
	_, before := s.writers.Load(name)
	switch {
	case writes && !before:
		s.writers.Store(name, nil)
	case !writes && before:
		s.writers.Delete(name)
	}
}

func (l *library) function(name []byte) *script.Function {
	for i := range l.Functions {
		if f := &l.Functions[i]; strings.EqualFold(f.Name, string(name)) {
			return f
		}
	}
	return nil
}

// names are those of the functions.
func (l *library) names() []string {
	names := make([]string, len(l.Functions))
	for i := range l.Functions {
		names[i] = l.Functions[i].Name
	}
	return names
}

func (s *Scripts) cmdFunctionLoad(tx *fsm.Txn, args [][]byte) resp.Reply {
	replace := false
	for _, option := range args[2 : len(args)-1] {
		if !isOption(option, "REPLACE") {
			return errorf("Unknown option given: %s", cString(option))
		}
		replace = true
	}
	text := args[len(args)-1]
	l, err := s.parse(text)
	if err != nil {
		return errorf("%s", err)
	}
	_, _, exists := tx.Library(l.Name)
	if exists && !replace {
		return errorf("Library '%s' already exists", l.Name)
	}
	for i := range l.Functions {
		if other := tx.LibraryOf([]byte(l.Functions[i].Name)); other != "" && other != l.Name {
			return errorf("Function %s already exists", l.Functions[i].Name)
		}
	}
	tx.DropLibrary(l.Name)
	tx.SetLibrary(l.Name, text, l.names())
	return resp.NewBulkString(l.Name)
}

// parse compiles a library that is not in the state yet.
func (s *Scripts) parse(text []byte) (*library, error) {
	compiled, err := loadLibrary(text)
	if err != nil {
		return nil, err
	}
	if len(compiled.Functions) == 0 {
		//lint:ignore ST1005 the text of Redis
		return nil, errors.New("No functions registered")
	}
	return &library{compiled, text}, nil
}

func cmdFunctionDelete(tx *fsm.Txn, args [][]byte) resp.Reply {
	if !tx.DropLibrary(string(args[2])) {
		return errorf("Library not found")
	}
	return resp.OK
}

func cmdFunctionFlush(tx *fsm.Txn, args [][]byte) resp.Reply {
	switch {
	case len(args) > 3:
		return badSubcommand(args)
	case len(args) == 3 && !isOption(args[2], "SYNC") && !isOption(args[2], "ASYNC"):
		return errorf("FUNCTION FLUSH only supports SYNC|ASYNC option")
	}
	tx.ClearLibraries()
	return resp.OK
}

// badSubcommand answers a subcommand with too many arguments, where Redis finds that out itself.
func badSubcommand(args [][]byte) resp.Reply {
	return errorf("unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.",
		clip(cString(args[1]), quotedMax), bytes.ToUpper(args[0]))
}

func (s *Scripts) cmdFunctionList(tx *fsm.Txn, args [][]byte) resp.Reply {
	var pattern []byte
	given, withCode := false, false
	for i := 2; i < len(args); i++ {
		switch {
		case !withCode && isOption(args[i], "WITHCODE"):
			withCode = true
		case !given && isOption(args[i], "LIBRARYNAME"):
			if i == len(args)-1 {
				return errorf("library name argument was not given")
			}
			i++
			pattern, given = args[i], true
		default:
			return errorf("Unknown argument %s", cString(args[i]))
		}
	}
	all := []resp.Reply{}
	for _, name := range tx.Libraries() {
		if given && !Match(pattern, []byte(name), true) {
			continue
		}
		text, _, _ := tx.Library(name)
		l, err := s.load(name, text)
		if err != nil {
			return errorf("%s", err)
		}
		all = append(all, l.describe(withCode))
	}
	return resp.NewArray(all)
}

func (l *library) describe(withCode bool) resp.Reply {
	functions := make([]resp.Reply, len(l.Functions))
	for i := range l.Functions {
		f := &l.Functions[i]
		description := resp.Nil
		if f.HasDesc {
			description = resp.NewBulkString(f.Description)
		}
		flags := []resp.Reply{}
		for _, name := range f.Flags.Names() {
			flags = append(flags, resp.NewSimple(name))
		}
		functions[i] = resp.NewMap([]resp.Reply{resp.NewBulkString("name"), resp.NewBulkString(f.Name),
			resp.NewBulkString("description"), description, resp.NewBulkString("flags"), resp.NewSet(flags)})
	}
	fields := []resp.Reply{resp.NewBulkString("library_name"), resp.NewBulkString(l.Name),
		resp.NewBulkString("engine"), resp.NewBulkString("LUA"), resp.NewBulkString("functions"), resp.NewArray(functions)}
	if withCode {
		fields = append(fields, resp.NewBulkString("library_code"), resp.NewBulk(l.text))
	}
	return resp.NewMap(fields)
}

func cmdFunctionDump(tx *fsm.Txn, _ [][]byte) resp.Reply {
	payload := []byte{}
	for _, name := range tx.Libraries() {
		text, _, _ := tx.Library(name)
		payload = rdb.AppendFunction(payload, text)
	}
	return resp.NewBulk(rdb.Seal(payload))
}

func (s *Scripts) cmdFunctionRestore(tx *fsm.Txn, args [][]byte) resp.Reply {
	replace, flush := false, false
	switch {
	case len(args) > 4:
		return badSubcommand(args)
	case len(args) < 4 || isOption(args[3], "APPEND"):
	case isOption(args[3], "REPLACE"):
		replace = true
	case isOption(args[3], "FLUSH"):
		flush = true
	default:
		return errorf("Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
	}
	all, bad := s.parsePayload(args[2])
	if bad.IsError() {
		return bad
	}
	if flush {
		tx.ClearLibraries()
	} else if bad := collide(tx, all, replace); bad.IsError() {
		return bad
	}
	for _, l := range all {
		tx.DropLibrary(l.Name)
		tx.SetLibrary(l.Name, l.text, l.names())
	}
	return resp.OK
}

// parsePayload compiles the libraries of a payload, which must not contradict each other.
func (s *Scripts) parsePayload(payload []byte) (all []*library, bad resp.Reply) {
	texts, err := rdb.Functions(payload)
	if errors.Is(err, rdb.ErrFooter) {
		return nil, errDumpFooter
	}
	if err != nil {
		return nil, errorf("%s", err)
	}
	libraries, functions := map[string]bool{}, map[string]bool{}
	for _, text := range texts {
		l, err := s.parse(text)
		if err != nil {
			return nil, errorf("%s", err)
		}
		if libraries[l.Name] {
			return nil, errorf("Library '%s' already exists", l.Name)
		}
		libraries[l.Name] = true
		for _, name := range l.names() {
			if functions[strings.ToLower(name)] {
				return nil, errorf("Function %s already exists", name)
			}
			functions[strings.ToLower(name)] = true
		}
		all = append(all, l)
	}
	return all, resp.Reply{}
}

// collide refuses libraries and functions whose names are taken, if they do not replace what has them.
func collide(tx *fsm.Txn, all []*library, replace bool) resp.Reply {
	replaced := map[string]bool{}
	for _, l := range all {
		if _, _, exists := tx.Library(l.Name); exists && !replace {
			return errorf("Library %s already exists", l.Name)
		}
		replaced[l.Name] = true
	}
	for _, l := range all {
		for _, name := range l.names() {
			if other := tx.LibraryOf([]byte(name)); other != "" && !replaced[other] {
				return errorf("Function %s already exists", name)
			}
		}
	}
	return resp.Reply{}
}
