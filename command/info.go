package command

import (
	"bytes"
	"slices"
	"strings"

	"redoubt/resp"
)

// HelpReply answers the HELP subcommand of a container, or of a command with Help lines.
func (s *Spec) HelpReply() resp.Reply {
	lines := []resp.Reply{resp.NewSimple(s.Name +
		" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")}
	for _, line := range s.Help {
		lines = append(lines, resp.NewSimple(line))
	}
	lines = append(lines, resp.NewSimple("HELP"), resp.NewSimple("    Prints this help."))
	return resp.NewArray(lines)
}

// CommandReply executes COMMAND and its subcommands. The call must have passed Resolve.
func (t *Table) CommandReply(args [][]byte) resp.Reply {
	if len(args) == 1 {
		return t.infoAll()
	}
	rest := args[2:]
	switch string(bytes.ToUpper(args[1])) {
	case "COUNT":
		return resp.NewInt(int64(len(t.public)))
	case "DOCS":
		return t.docs(rest)
	case "GETKEYS":
		return t.getKeys(rest, false)
	case "GETKEYSANDFLAGS":
		return t.getKeys(rest, true)
	case "INFO":
		return t.info(rest)
	case "LIST":
		return t.list(rest)
	}
	return t.Lookup(args[0]).HelpReply()
}

// byFullName finds a public command by the name that COMMAND LIST prints: "object|freq".
func (t *Table) byFullName(name []byte) *Spec {
	name, subName, isSub := bytes.Cut(name, []byte("|"))
	spec := t.Lookup(name)
	switch {
	case spec == nil || spec.Flags&Internal != 0:
		return nil
	case isSub:
		return spec.sub(subName)
	}
	return spec
}

func (t *Table) info(wanted [][]byte) resp.Reply {
	if len(wanted) == 0 {
		return t.infoAll()
	}
	replies := make([]resp.Reply, len(wanted))
	for i, name := range wanted {
		replies[i] = resp.Nil
		if spec := t.byFullName(name); spec != nil {
			replies[i] = spec.InfoReply()
		}
	}
	return resp.NewArray(replies)
}

func (t *Table) infoAll() resp.Reply {
	replies := make([]resp.Reply, len(t.public))
	for i, spec := range t.public {
		replies[i] = spec.InfoReply()
	}
	return resp.NewArray(replies)
}

// InfoReply is the command's row in the reply of COMMAND INFO.
func (s *Spec) InfoReply() resp.Reply {
	legacy, _ := s.Keys.legacyRange()
	keys := make([]resp.Reply, len(s.Keys))
	for i, k := range s.Keys {
		keys[i] = k.reply()
	}
	subs := resp.NewSet(nil)
	if s.Sub != nil {
		rows := make([]resp.Reply, len(s.Sub))
		for i := range s.Sub {
			rows[i] = s.Sub[i].InfoReply()
		}
		subs = resp.NewArray(rows)
	}
	categories := s.categories().Names()
	for i, name := range categories {
		categories[i] = "@" + name
	}
	tips := make([]resp.Reply, len(s.Tips))
	for i, tip := range s.Tips {
		tips[i] = resp.NewBulkString(tip)
	}
	return resp.ArrayOf(resp.NewBulkString(s.fullName), resp.NewInt(int64(s.Arity)),
		simpleSet(s.Flags.Names()), resp.NewInt(legacy[0]), resp.NewInt(legacy[1]), resp.NewInt(legacy[2]),
		simpleSet(categories), resp.NewSet(tips), resp.NewSet(keys), subs)
}

func simpleSet(names []string) resp.Reply {
	elems := make([]resp.Reply, len(names))
	for i, name := range names {
		elems[i] = resp.NewSimple(name)
	}
	return resp.NewSet(elems)
}

// field is one entry of a map reply.
func field(name string, value resp.Reply) []resp.Reply {
	return []resp.Reply{resp.NewBulkString(name), value}
}

func fields(all ...[]resp.Reply) resp.Reply {
	var elems []resp.Reply
	for _, f := range all {
		elems = append(elems, f...)
	}
	return resp.NewMap(elems)
}

func (k KeySpec) reply() resp.Reply {
	var notes []resp.Reply
	if k.Notes != "" {
		notes = field("notes", resp.NewBulkString(k.Notes))
	}
	return fields(notes, field("flags", simpleSet(k.Flags.Names())),
		field("begin_search", k.search()), field("find_keys", k.find()))
}

// search is where the run begins, in the words of COMMAND INFO.
func (k KeySpec) search() resp.Reply {
	switch {
	case k.Unknown:
		return specReply("unknown")
	case k.Keyword != "":
		return specReply("keyword", field("keyword", resp.NewBulkString(k.Keyword)),
			field("startfrom", resp.NewInt(int64(k.First))))
	case k.KeyNum > 0:
		return specReply("index", field("index", resp.NewInt(int64(k.KeyNum))))
	}
	return specReply("index", field("index", resp.NewInt(int64(k.First))))
}

// find is how far the run goes, in the words of COMMAND INFO.
func (k KeySpec) find() resp.Reply {
	switch {
	case k.Unknown:
		return specReply("unknown")
	case k.KeyNum > 0:
		return specReply("keynum", field("keynumidx", resp.NewInt(0)),
			field("firstkey", resp.NewInt(int64(k.First-k.KeyNum))), field("keystep", resp.NewInt(int64(k.Step))))
	}
	return specReply("range", field("lastkey", resp.NewInt(int64(k.Last))),
		field("keystep", resp.NewInt(int64(k.Step))), field("limit", resp.NewInt(int64(k.Limit))))
}

func specReply(kind string, spec ...[]resp.Reply) resp.Reply {
	return fields(field("type", resp.NewBulkString(kind)), field("spec", fields(spec...)))
}

func (t *Table) docs(wanted [][]byte) resp.Reply {
	elems := []resp.Reply{}
	add := func(spec *Spec) {
		elems = append(elems, resp.NewBulkString(spec.fullName), spec.DocsReply())
	}
	for _, name := range wanted {
		if spec := t.byFullName(name); spec != nil {
			add(spec)
		}
	}
	if len(wanted) == 0 {
		for _, spec := range t.public {
			add(spec)
		}
	}
	return resp.NewMap(elems)
}

// DocsReply is the command's value in the reply of COMMAND DOCS.
func (s *Spec) DocsReply() resp.Reply {
	all := [][]resp.Reply{
		field("summary", resp.NewBulkString(s.Summary)),
		field("since", resp.NewBulkString(s.Since)),
		field("group", resp.NewBulkString(string(s.Group))),
		field("complexity", resp.NewBulkString(s.Complexity)),
	}
	if s.DeprecatedSince != "" {
		all = append(all, field("doc_flags", simpleSet([]string{"deprecated"})),
			field("deprecated_since", resp.NewBulkString(s.DeprecatedSince)),
			field("replaced_by", resp.NewBulkString(s.ReplacedBy)))
	}
	if s.Sub != nil {
		var subs []resp.Reply
		for i := range s.Sub {
			subs = append(subs, field(s.Sub[i].fullName, s.Sub[i].DocsReply())...)
		}
		all = append(all, field("subcommands", resp.NewMap(subs)))
	}
	return fields(all...)
}

// list answers COMMAND LIST [FILTERBY type value].
func (t *Table) list(args [][]byte) resp.Reply {
	accept := func(*Spec) bool { return true }
	if len(args) > 0 {
		if len(args) != 3 || !isOption(args[0], "FILTERBY") {
			return errSyntax
		}
		if accept = listFilter(args[1], args[2]); accept == nil {
			return errSyntax
		}
	}
	accepted := []string{}
	for _, spec := range t.public {
		if accept(spec) {
			accepted = append(accepted, spec.fullName)
		}
		for i := range spec.Sub {
			if accept(&spec.Sub[i]) {
				accepted = append(accepted, spec.Sub[i].fullName)
			}
		}
	}
	return resp.BulkArray(accepted)
}

// listFilter returns nil for a filter that does not exist.
func listFilter(kind, value []byte) func(*Spec) bool {
	switch {
	case isOption(kind, "MODULE"):
		return func(*Spec) bool { return false } // there are no modules
	case isOption(kind, "ACLCAT"):
		wanted := categoryByName(string(cString(value)))
		return func(s *Spec) bool { return s.categories()&wanted != 0 }
	case isOption(kind, "PATTERN"):
		return func(s *Spec) bool { return Match(value, []byte(s.fullName), true) }
	}
	return nil
}

// categoryByName returns 0 for an unknown one.
func categoryByName(name string) Categories {
	for i, known := range categoryNames {
		if strings.EqualFold(name, known) {
			return 1 << i
		}
	}
	return 0
}

func (t *Table) getKeys(call [][]byte, withFlags bool) resp.Reply {
	spec := t.Find(call)
	switch {
	case spec == nil || spec.Flags&Internal != 0:
		return errGetKeysCommand
	case !slices.ContainsFunc(spec.Keys, func(k KeySpec) bool { return k.Flags&NotKey == 0 }):
		return errGetKeysNone
	case !spec.arityFits(len(call)):
		return errGetKeysArity
	}
	keys := spec.CallKeys(call)
	if len(keys) == 0 && spec.Flags&NoMandatoryKeys == 0 {
		return errGetKeysArgs
	}
	replies := make([]resp.Reply, len(keys))
	for i, key := range keys {
		replies[i] = resp.NewBulk(call[key.Index])
		if withFlags {
			replies[i] = resp.ArrayOf(replies[i], simpleSet(key.Flags.Names()))
		}
	}
	return resp.NewArray(replies)
}
