package command

import (
	"fmt"

	"redoubt/fsm"
	"redoubt/resp"
)

var xgroupSpec = Spec{Name: "XGROUP", Arity: -2, Group: GroupStream, Since: "5.0.0",
	Complexity: "as the subcommand", Summary: "Makes and changes consumer groups.",
	Help: []string{
		"CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <count>]",
		"    Makes a group that reads what comes after the id, $ being the last one.",
		"CREATECONSUMER <key> <group> <consumer>", "    Makes a consumer.",
		"DELCONSUMER <key> <group> <consumer>", "    Deletes a consumer and what is pending with it.",
		"DESTROY <key> <group>", "    Deletes a group.",
		"SETID <key> <group> <id|$> [ENTRIESREAD <count>]", "    Sets the id that the group has read up to.",
	},
	Sub: []Spec{
		xgroupSub("CREATE", -5, DenyOOM, KeyInsert, "5.0.0", "O(log N), N groups",
			"Makes a consumer group.", cmdXGroupCreate),
		xgroupSub("SETID", -5, 0, KeyUpdate, "5.0.0", "O(log N), N groups",
			"Sets the id that a consumer group has read up to.", cmdXGroupSetID),
		xgroupSub("DESTROY", 4, 0, KeyDelete, "5.0.0", "O(N), N entries that are pending in the group",
			"Deletes a consumer group.", cmdXGroupDestroy),
		xgroupSub("CREATECONSUMER", 5, DenyOOM, KeyInsert, "6.2.0", "O(log N), N consumers",
			"Makes a consumer in a consumer group.", cmdXGroupCreateConsumer),
		xgroupSub("DELCONSUMER", 5, 0, KeyDelete, "5.0.0", "O(N log M), N entries pending with the consumer, M in the group",
			"Deletes a consumer, and returns how many entries were pending with it.", cmdXGroupDelConsumer),
		{Name: "XGROUP HELP", Arity: 2, Flags: Loading | Stale, Group: GroupStream, Categories: CatStream, Since: "5.0.0",
			Complexity: "O(1)", Summary: "Lists the subcommands."},
	}}

func xgroupSub(name string, arity int, flags Flags, key KeyFlags, since, complexity, summary string,
	run func(tx *fsm.Txn, args [][]byte) resp.Reply) Spec {
	return Spec{Name: "XGROUP " + name, Arity: arity, Flags: Write | flags, Keys: Keys{{Flags: KeyRW | key, First: 2, Step: 1}},
		Group: GroupStream, Categories: CatStream, Since: since, Complexity: complexity, Summary: summary, Run: run}
}

var xackSpec = Spec{Name: "XACK", Arity: -4, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
	Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(M log N), M ids, N pending",
	Summary: "Acknowledges entries, which are not pending any more, and returns how many were.", Run: cmdXAck}

var (
	errXGroupKey = resp.NewError("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want " +
		"to use the MKSTREAM option to create an empty stream automatically.")
	errXGroupBusy = resp.NewError("BUSYGROUP Consumer Group name already exists")
	errXGroupRead = resp.NewError("ERR value for ENTRIESREAD must be positive or -1")
)

// noGroup is the error for a group that a subcommand of XGROUP or XINFO needs.
func noGroup(key, group []byte) resp.Reply {
	return resp.NewError(fmt.Sprintf("NOGROUP No such consumer group '%s' for key name '%s'", cString(group), cString(key)))
}

// noKeyOrGroup is the same for other commands.
func noKeyOrGroup(key, group []byte) resp.Reply {
	return resp.NewError(fmt.Sprintf("NOGROUP No such key '%s' or consumer group '%s'", cString(key), cString(group)))
}

// subcommandSyntax is the error for a call of a subcommand that it does not understand.
func subcommandSyntax(args [][]byte, container string) resp.Reply {
	return errorf("unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.",
		clip(cString(args[1]), quotedMax), container)
}

// xgroupOptions are those of XGROUP CREATE and SETID.
type xgroupOptions struct {
	mkStream bool
	read     int64
}

func parseXGroup(args [][]byte, create bool) (o xgroupOptions, bad resp.Reply) {
	o.read = readUnknown
	for i := 5; i < len(args); i++ {
		switch {
		case create && isOption(args[i], "MKSTREAM"):
			o.mkStream = true
		case isOption(args[i], "ENTRIESREAD") && i+1 < len(args):
			i++
			var ok bool
			if o.read, ok = parseInt(args[i]); !ok {
				return o, errNotInteger
			}
			if o.read < 0 && o.read != readUnknown {
				return o, errXGroupRead
			}
		default:
			return o, subcommandSyntax(args, "XGROUP")
		}
	}
	return o, resp.Reply{}
}

// lookupXGroup finds the stream of a subcommand of XGROUP, which must be there, and its group, which may not.
func lookupXGroup(tx *fsm.Txn, args [][]byte) (*fsm.StreamValue, *fsm.StreamGroup, resp.Reply) {
	s, bad := lookupStream(tx, args[2])
	switch {
	case bad.IsError():
		return nil, nil, bad
	case s == nil:
		return nil, nil, errXGroupKey
	}
	return s, s.Group(args[3]), resp.Reply{}
}

// needXGroup is lookupXGroup of a subcommand whose group must be there, too.
func needXGroup(tx *fsm.Txn, args [][]byte) (*fsm.StreamValue, *fsm.StreamGroup, resp.Reply) {
	s, g, bad := lookupXGroup(tx, args)
	if g == nil && !bad.IsError() {
		bad = noGroup(args[2], args[3])
	}
	return s, g, bad
}

func cmdXGroupCreate(tx *fsm.Txn, args [][]byte) resp.Reply {
	const most = 8 // words
	o, bad := parseXGroup(args, true)
	if bad.IsError() {
		return bad
	}
	s, bad := lookupStream(tx, args[2])
	switch {
	case bad.IsError():
		return bad
	case s == nil && !o.mkStream:
		return errXGroupKey
	case len(args) > most:
		return subcommandSyntax(args, "XGROUP")
	case s == nil:
		s = tx.Stream(args[2], nil)
	}
	last := s.LastID
	if string(cString(args[4])) != "$" {
		if last, bad = parseID(args[4]); bad.IsError() {
			return bad
		}
	}
	if s.Group(args[3]) != nil {
		return errXGroupBusy
	}
	s.CreateGroup(args[3], last, o.read)
	s.Save()
	tx.Notify(fsm.EventStream, "xgroup-create", args[2])
	return resp.OK
}

func cmdXGroupSetID(tx *fsm.Txn, args [][]byte) resp.Reply {
	const most = 7 // words
	o, bad := parseXGroup(args, false)
	if bad.IsError() {
		return bad
	}
	s, g, bad := needXGroup(tx, args)
	switch {
	case bad.IsError():
		return bad
	case len(args) > most:
		return subcommandSyntax(args, "XGROUP")
	}
	last := s.LastID
	if string(cString(args[4])) != "$" {
		if last, _, bad = parseStreamID(args[4], idMinMax, 0); bad.IsError() {
			return bad
		}
	}
	g.LastID, g.Read = last, o.read
	g.Save()
	s.Save()
	tx.Notify(fsm.EventStream, "xgroup-setid", args[2])
	return resp.OK
}

func cmdXGroupDestroy(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, g, bad := lookupXGroup(tx, args)
	switch {
	case bad.IsError():
		return bad
	case g == nil:
		return resp.NewInt(0)
	}
	g.Destroy()
	s.Save()
	tx.Notify(fsm.EventStream, "xgroup-destroy", args[2])
	return resp.NewInt(1)
}

func cmdXGroupCreateConsumer(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, g, bad := needXGroup(tx, args)
	switch {
	case bad.IsError():
		return bad
	case g.Consumer(args[4]) != nil:
		return resp.NewInt(0)
	}
	g.CreateConsumer(args[4], tx.Now())
	s.Save()
	tx.Notify(fsm.EventStream, "xgroup-createconsumer", args[2])
	return resp.NewInt(1)
}

func cmdXGroupDelConsumer(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, g, bad := needXGroup(tx, args)
	if bad.IsError() {
		return bad
	}
	c := g.Consumer(args[4])
	if c == nil {
		return resp.NewInt(0)
	}
	pending := c.PendingCount()
	c.Delete()
	s.Save()
	tx.Notify(fsm.EventStream, "xgroup-delconsumer", args[2])
	return resp.NewInt(pending)
}

// lookupGroup finds a stream and its group, nil if one of them is not there.
func lookupGroup(tx *fsm.Txn, key, group []byte) (*fsm.StreamValue, *fsm.StreamGroup, resp.Reply) {
	s, bad := lookupStream(tx, key)
	if s == nil {
		return nil, nil, bad
	}
	return s, s.Group(group), resp.Reply{}
}

func cmdXAck(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, g, bad := lookupGroup(tx, args[1], args[2])
	switch {
	case bad.IsError():
		return bad
	case g == nil:
		return resp.NewInt(0)
	}
	ids, bad := parseIDs(args[3:])
	if bad.IsError() {
		return bad
	}
	acknowledged := int64(0)
	for _, id := range ids {
		if g.Forget(id) {
			acknowledged++
		}
	}
	if acknowledged > 0 {
		s.Save()
	}
	return resp.NewInt(acknowledged)
}
