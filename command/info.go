package command

import (
	"bytes"
	"strings"

	"redoubt/fsm"
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
	first, last, step := s.Keys.legacyRange()
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
		simpleSet(s.Flags.Names()), resp.NewInt(first), resp.NewInt(last), resp.NewInt(step),
		simpleSet(categories), resp.NewSet(tips), resp.NewSet(keys), subs)
}

// legacyRange puts all the keys into one range, as clients older than key specs expect:
// first and last index, where a negative one counts from the end, and step.
func (k Keys) legacyRange() (first, last, step int64) {
	for i, spec := range k {
		end := int64(spec.Last)
		if end >= 0 {
			end += int64(spec.First)
		}
		if i == 0 {
			first, last, step = int64(spec.First), end, int64(spec.Step)
			continue
		}
		first, last = min(first, int64(spec.First)), max(last, end)
	}
	return first, last, step
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
	begin := fields(field("type", resp.NewBulkString("index")),
		field("spec", fields(field("index", resp.NewInt(int64(k.First))))))
	find := fields(field("type", resp.NewBulkString("range")),
		field("spec", fields(
			field("lastkey", resp.NewInt(int64(k.Last))),
			field("keystep", resp.NewInt(int64(k.Step))),
			field("limit", resp.NewInt(0)))))
	return fields(notes, field("flags", simpleSet(k.Flags.Names())),
		field("begin_search", begin), field("find_keys", find))
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

// Key is the place of one key in a call.
type Key struct {
	Index int
	Flags KeyFlags
}

// bounds returns the indexes of the first and the last key of the run in a call with this many words.
// It is false when the words can't be those of the command.
func (k *KeySpec) bounds(words int) (first, last int, ok bool) {
	last = k.First + k.Last
	if k.Last < 0 {
		last = words + k.Last
	}
	return k.First, last, last < words && last >= k.First
}

// CallKeys returns the places of the keys of a call, whose arity must be right. It is false when the
// arguments can't be those of this command.
func (s *Spec) CallKeys(args [][]byte) ([]Key, bool) {
	var keys []Key
	for _, k := range s.Keys {
		first, last, ok := k.bounds(len(args))
		if !ok {
			return nil, false
		}
		flags := k.Flags
		if flags&KeyVariable != 0 {
			flags = setKeyFlags(args)
		}
		for i := first; i <= last; i += k.Step {
			keys = append(keys, Key{Index: i, Flags: flags})
		}
	}
	return keys, true
}

// CallSlot returns the hash slot of the keys of a call. keyed is false when it has none, or can't be a
// call of this command; same is false when the keys are in several slots. It does not allocate.
func (s *Spec) CallSlot(args [][]byte) (slot uint16, keyed, same bool) {
	for i := range s.Keys {
		k := &s.Keys[i]
		first, last, ok := k.bounds(len(args))
		if !ok {
			return 0, false, true
		}
		for at := first; at <= last; at += k.Step {
			switch own := fsm.Slot(args[at]); {
			case !keyed:
				slot, keyed = own, true
			case own != slot:
				return slot, true, false
			}
		}
	}
	return slot, keyed, true
}

// setKeyFlags says what this call of SET does with its key: only with GET it reads it.
func setKeyFlags(args [][]byte) KeyFlags {
	for _, arg := range args[3:] {
		if isOption(arg, "GET") {
			return KeyRW | KeyAccess | KeyUpdate
		}
	}
	return KeyOW | KeyUpdate
}

func (t *Table) getKeys(call [][]byte, withFlags bool) resp.Reply {
	spec := t.find(call)
	switch {
	case spec == nil || spec.Flags&Internal != 0:
		return errGetKeysCommand
	case len(spec.Keys) == 0:
		return errGetKeysNone
	case !spec.arityFits(len(call)):
		return errGetKeysArity
	}
	keys, ok := spec.CallKeys(call)
	if !ok {
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
