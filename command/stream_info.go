package command

import (
	"iter"

	"redoubt/fsm"
	"redoubt/resp"
)

var xinfoKey = Keys{{Flags: KeyRO | KeyAccess, First: 2, Step: 1}}

var xinfoSpec = Spec{Name: "XINFO", Arity: -2, Group: GroupStream, Since: "5.0.0",
	Complexity: "as the subcommand", Summary: "Describes streams, consumer groups and consumers.",
	Help: []string{
		"CONSUMERS <key> <group>", "    Describes the consumers of a group.",
		"GROUPS <key>", "    Describes the consumer groups of a stream.",
		"STREAM <key> [FULL [COUNT <count>]]", "    Describes a stream; in full, with its entries and groups.",
	},
	Sub: []Spec{
		{Name: "XINFO STREAM", Arity: -3, Flags: ReadOnly, Keys: xinfoKey,
			Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(log N), O(N) in full, N entries",
			Summary: "Describes a stream.", Run: cmdXInfoStream,
			Differs: "radix-tree-keys also counts blocks that XDEL emptied between others, and radix-tree-nodes is one more."},
		{Name: "XINFO GROUPS", Arity: 3, Flags: ReadOnly, Keys: xinfoKey,
			Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(N), N groups",
			Summary: "Describes the consumer groups of a stream.", Run: cmdXInfoGroups},
		{Name: "XINFO CONSUMERS", Arity: 4, Flags: ReadOnly, Keys: xinfoKey,
			Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(N), N consumers", Tips: tipsRandom,
			Summary: "Describes the consumers of a consumer group.", Run: cmdXInfoConsumers},
		{Name: "XINFO HELP", Arity: 2, Flags: Loading | Stale, Group: GroupStream, Categories: CatStream, Since: "5.0.0",
			Complexity: "O(1)", Summary: "Lists the subcommands."},
	}}

// xinfoCount is how many entries XINFO STREAM FULL shows of everything, by default.
const xinfoCount = 10

// lookupXInfo finds the stream that a subcommand of XINFO asks for.
func lookupXInfo(tx *fsm.Txn, key []byte) (*fsm.StreamValue, resp.Reply) {
	s, bad := lookupStream(tx, key)
	if s == nil && !bad.IsError() {
		return nil, errNoSuchKey
	}
	return s, bad
}

func cmdXInfoStream(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupXInfo(tx, args[2])
	if bad.IsError() {
		return bad
	}
	count := int64(xinfoCount)
	options := args[3:]
	switch {
	case len(options) == 0:
		return streamInfo(s)
	case len(options) != 1 && len(options) != 3 || !isOption(options[0], "FULL"),
		len(options) == 3 && !isOption(options[1], "COUNT"):
		return subcommandSyntax(args, "XINFO")
	case len(options) == 3:
		n, ok := parseInt(options[2])
		if !ok {
			return errNotInteger
		}
		if n >= 0 {
			count = n
		}
	}
	return streamInfoFull(s, count)
}

// streamFields are what both forms of XINFO STREAM begin with.
func streamFields(s *fsm.StreamValue) [][]resp.Reply {
	return [][]resp.Reply{
		field("length", resp.NewInt(s.Len())),
		field("radix-tree-keys", resp.NewInt(s.Blocks())),
		field("radix-tree-nodes", resp.NewInt(s.Blocks()+1)),
		field("last-generated-id", idReply(s.LastID)),
		field("max-deleted-entry-id", idReply(s.MaxDeleted)),
		field("entries-added", resp.NewInt(int64(s.Added))),
		field("recorded-first-entry-id", idReply(s.First())),
	}
}

func streamInfo(s *fsm.StreamValue) resp.Reply {
	return fields(append(streamFields(s),
		field("groups", resp.NewInt(s.GroupCount())),
		field("first-entry", firstReply(s.From(0, false))),
		field("last-entry", firstReply(s.From(s.Len()-1, true))))...)
}

// firstReply answers with the first of some entries, or null.
func firstReply(entries iter.Seq[fsm.StreamEntry]) resp.Reply {
	for e := range entries {
		return entryReply(e)
	}
	return resp.Nil
}

// streamInfoFull shows so many entries of everything, all of them if count is 0.
func streamInfoFull(s *fsm.StreamValue, count int64) resp.Reply {
	groups := []resp.Reply{}
	for g := range s.Groups() {
		consumers := []resp.Reply{}
		for c := range g.Consumers() {
			consumers = append(consumers, fields(
				field("name", resp.NewBulk(c.Name)),
				field("seen-time", resp.NewInt(c.Seen)),
				field("active-time", resp.NewInt(c.Active)),
				field("pel-count", resp.NewInt(c.PendingCount())),
				field("pending", firstReplies(c.Pending(fsm.StreamID{}), count, func(p fsm.StreamPending) resp.Reply {
					return resp.ArrayOf(idReply(p.ID), resp.NewInt(p.Time), resp.NewInt(int64(p.Count)))
				}))))
		}
		groups = append(groups, fields(
			field("name", resp.NewBulk(g.Name)),
			field("last-delivered-id", idReply(g.LastID)),
			field("entries-read", readReply(g)),
			field("lag", lagReply(s, g)),
			field("pel-count", resp.NewInt(g.PendingCount())),
			field("pending", firstReplies(g.Pending(fsm.StreamID{}), count, func(p fsm.StreamPending) resp.Reply {
				return resp.ArrayOf(idReply(p.ID), resp.NewBulk(g.Owner(p)), resp.NewInt(p.Time), resp.NewInt(int64(p.Count)))
			})),
			field("consumers", resp.NewArray(consumers))))
	}
	return fields(append(streamFields(s),
		field("entries", firstReplies(s.From(0, false), count, entryReply)),
		field("groups", resp.NewArray(groups)))...)
}

// firstReplies shows so many of all, or all if count is 0.
func firstReplies[T any](all iter.Seq[T], count int64, show func(T) resp.Reply) resp.Reply {
	elems := []resp.Reply{}
	for one := range all {
		elems = append(elems, show(one))
		if int64(len(elems)) == count {
			break
		}
	}
	return resp.NewArray(elems)
}

// readReply is how many entries a group has read, or null if that is not known.
func readReply(g *fsm.StreamGroup) resp.Reply {
	if g.Read == readUnknown {
		return resp.Nil
	}
	return resp.NewInt(g.Read)
}

func cmdXInfoGroups(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupXInfo(tx, args[2])
	if bad.IsError() {
		return bad
	}
	groups := []resp.Reply{}
	for g := range s.Groups() {
		groups = append(groups, fields(
			field("name", resp.NewBulk(g.Name)),
			field("consumers", resp.NewInt(g.ConsumerCount())),
			field("pending", resp.NewInt(g.PendingCount())),
			field("last-delivered-id", idReply(g.LastID)),
			field("entries-read", readReply(g)),
			field("lag", lagReply(s, g))))
	}
	return resp.NewArray(groups)
}

func cmdXInfoConsumers(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupXInfo(tx, args[2])
	if bad.IsError() {
		return bad
	}
	g := s.Group(args[3])
	if g == nil {
		return noGroup(args[2], args[3])
	}
	consumers := []resp.Reply{}
	for c := range g.Consumers() {
		inactive := int64(-1)
		if c.Active >= 0 {
			inactive = max(tx.Now()-c.Active, 0)
		}
		consumers = append(consumers, fields(
			field("name", resp.NewBulk(c.Name)),
			field("pending", resp.NewInt(c.PendingCount())),
			field("idle", resp.NewInt(max(tx.Now()-c.Seen, 0))),
			field("inactive", resp.NewInt(inactive))))
	}
	return resp.NewArray(consumers)
}
