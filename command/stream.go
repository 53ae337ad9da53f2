package command

import (
	"bytes"
	"math"
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

var streamCommands = []Spec{
	{Name: "XADD", Arity: -5, Flags: Write | DenyOOM | Fast,
		Keys: Keys{{Flags: KeyRW | KeyUpdate, First: 1, Step: 1,
			Notes: "UPDATE instead of INSERT because of the optional trimming feature"}},
		Group: GroupStream, Categories: CatStream, Since: "5.0.0",
		Complexity: "O(log N + M), N entries of the stream, M that are trimmed", Tips: tipsRandom,
		Summary: "Appends an entry to a stream and returns its id.", Run: cmdXAdd},
	{Name: "XLEN", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(1)",
		Summary: "Counts the entries of a stream.", Run: cmdXLen},
	{Name: "XRANGE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0",
		Complexity: "O(log N + M), N entries of the stream, M returned",
		Summary:    "Returns the entries of a stream from an id to another one.", Run: cmdXRange},
	{Name: "XREVRANGE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0",
		Complexity: "O(log N + M), N entries of the stream, M returned",
		Summary:    "Returns the entries of a stream from an id to another one, last ones first.", Run: cmdXRevRange},
	{Name: "XDEL", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(M log N), M ids, N entries",
		Summary: "Deletes entries of a stream and returns how many there were.", Run: cmdXDel},
	{Name: "XTRIM", Arity: -4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0",
		Complexity: "O(log N + M), N entries of the stream, M removed", Tips: tipsRandom,
		Summary: "Deletes entries from the beginning of a stream and returns how many.", Run: cmdXTrim,
		Differs: "MINID ~ does not look at entries that XDEL took from the end of a block."},
	{Name: "XSETID", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(log N), N entries",
		Summary: "Sets the last id of a stream, and its counters.", Run: cmdXSetID},
	xreadSpec, xreadGroupSpec, xgroupSpec, xackSpec, xpendingSpec, xclaimSpec, xautoClaimSpec, xinfoSpec,
}

var tipsRandom = []string{"nondeterministic_output"}

var (
	errStreamID    = resp.NewError("ERR Invalid stream ID specified as stream command argument")
	errStreamStart = resp.NewError("ERR invalid start ID for the interval")
	errStreamEnd   = resp.NewError("ERR invalid end ID for the interval")
	errXAddZero    = resp.NewError("ERR The ID specified in XADD must be greater than 0-0")
	errXAddFull    = resp.NewError("ERR The stream has exhausted the last possible ID, unable to add more items")
	errXAddSmall   = resp.NewError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	errTrimBoth    = resp.NewError("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
	errTrimMaxLen  = resp.NewError("ERR The MAXLEN argument must be >= 0.")
	errTrimLimit   = resp.NewError("ERR The LIMIT argument must be >= 0.")
	errTrimNone    = resp.NewError("ERR syntax error, XTRIM must be called with a trimming strategy")
	errTrimOnly    = resp.NewError("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	errTrimExact   = resp.NewError("ERR syntax error, LIMIT cannot be used without the special ~ option")
	errXSetIDTop   = resp.NewError("ERR The ID specified in XSETID is smaller than the target stream top item")
	errXSetIDGiven = resp.NewError("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
	errXSetIDMax   = resp.NewError("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id")
	errXSetIDAdded = resp.NewError("ERR entries_added must be positive")
	errXSetIDLen   = resp.NewError("ERR The entries_added specified in XSETID is smaller than the target stream length")
)

// lookupStream finds the stream at a key, nil without one. The reply is the error for a key of another type, and of
// kind None otherwise.
func lookupStream(tx *fsm.Txn, key []byte) (*fsm.StreamValue, resp.Reply) {
	row := tx.Lookup(key)
	switch {
	case row == nil:
		return nil, resp.Reply{}
	case row.Kind != fsm.Stream:
		return nil, errWrongType
	}
	return tx.Stream(key, row), resp.Reply{}
}

// idForm says what may stand for an id of a stream.
type idForm uint8

const (
	idStrict idForm = iota
	idMinMax        // "-" and "+", too
	idAuto          // "<ms>-*", too
)

// streamIDBytesMax is the longest text that is taken for an id.
const streamIDBytesMax = 127

// parseStreamID reads an id. seq counts where only the milliseconds are given; auto says that it is to be chosen. The
// reply is the error.
func parseStreamID(arg []byte, form idForm, seq uint64) (id fsm.StreamID, auto bool, bad resp.Reply) {
	if len(arg) > streamIDBytesMax {
		return id, false, errStreamID
	}
	text := cString(arg)
	switch string(text) {
	case "-", "+":
		if form != idMinMax {
			return id, false, errStreamID
		}
		if text[0] == '+' {
			return fsm.MaxStreamID, false, resp.Reply{}
		}
		return id, false, resp.Reply{}
	}
	ms, rest, hasSeq := bytes.Cut(text, []byte("-"))
	var ok bool
	if id.MS, ok = parseUnsigned(ms); !ok {
		return id, false, errStreamID
	}
	id.Seq = seq
	if hasSeq {
		if form == idAuto && string(rest) == "*" {
			return id, true, resp.Reply{}
		}
		if id.Seq, ok = parseUnsigned(rest); !ok {
			return id, false, errStreamID
		}
	}
	return id, false, resp.Reply{}
}

// parseID is parseStreamID of a single id in full or in milliseconds.
func parseID(arg []byte) (fsm.StreamID, resp.Reply) {
	id, _, bad := parseStreamID(arg, idStrict, 0)
	return id, bad
}

func parseIDs(args [][]byte) ([]fsm.StreamID, resp.Reply) {
	ids := make([]fsm.StreamID, len(args))
	for i, arg := range args {
		id, bad := parseID(arg)
		if bad.IsError() {
			return nil, bad
		}
		ids[i] = id
	}
	return ids, resp.Reply{}
}

// parseUnsigned reads an unsigned integer as C's strtoull does, which allows spaces, zeros and a sign before it, but no
// negative one that is spelled well.
func parseUnsigned(b []byte) (uint64, bool) {
	if n, ok := parseInt(b); ok {
		return uint64(n), n >= 0
	}
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	for _, c := range b {
		if !isDigit(c, 10) {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if negative {
		n = -n
	}
	return n, err == nil
}

// parseInterval reads the ends of an interval of ids, either of which may be exclusive.
func parseInterval(from, to []byte) (first, last fsm.StreamID, bad resp.Reply) {
	if first, bad = parseIntervalStart(from); bad.IsError() {
		return first, last, bad
	}
	if len(to) > 1 && to[0] == '(' {
		if last, _, bad = parseStreamID(to[1:], idStrict, math.MaxUint64); bad.IsError() {
			return first, last, bad
		}
		var ok bool
		if last, ok = last.Prev(); !ok {
			return first, last, errStreamEnd
		}
		return first, last, resp.Reply{}
	}
	last, _, bad = parseStreamID(to, idMinMax, math.MaxUint64)
	return first, last, bad
}

func parseIntervalStart(from []byte) (first fsm.StreamID, bad resp.Reply) {
	if len(from) > 1 && from[0] == '(' {
		if first, bad = parseID(from[1:]); bad.IsError() {
			return first, bad
		}
		var ok bool
		if first, ok = first.Next(); !ok {
			return first, errStreamStart
		}
		return first, resp.Reply{}
	}
	first, _, bad = parseStreamID(from, idMinMax, 0)
	return first, bad
}

// idReply answers with an id.
func idReply(id fsm.StreamID) resp.Reply {
	b := strconv.AppendUint(make([]byte, 0, 24), id.MS, 10)
	return resp.NewBulk(strconv.AppendUint(append(b, '-'), id.Seq, 10))
}

// entryReply answers with an entry: its id, and its fields and values.
func entryReply(e fsm.StreamEntry) resp.Reply {
	fields := make([]resp.Reply, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = resp.NewBulk(f)
	}
	return resp.ArrayOf(idReply(e.ID), resp.NewArray(fields))
}

// trimStrategy says what is to be removed from the beginning of a stream.
type trimStrategy uint8

const (
	trimNone trimStrategy = iota
	trimMaxLen
	trimMinID
)

// xaddArgs are those of XADD and XTRIM.
type xaddArgs struct {
	strategy   trimStrategy
	maxLen     int64
	minID      fsm.StreamID
	about      bool // ~: whole blocks only
	limit      int64
	limited    bool // LIMIT was given
	noMkStream bool

	id      fsm.StreamID
	idGiven bool // not "*"
	idAuto  bool // "<ms>-*"
	fields  [][]byte
}

// trimLimit is how many entries are removed at a time with ~ when nothing else is said: a hundred blocks.
func trimLimit(p *fsm.Packing) int64 {
	const least, most = 10_000, 1_000_000
	limit := 100 * p.StreamEntries // which may wrap around, as Redis's does
	if limit <= 0 {
		return least
	}
	return min(limit, most)
}

// parseXAdd reads the options of XADD or XTRIM, and the id and the fields of XADD.
func parseXAdd(args [][]byte, xadd bool) (o xaddArgs, bad resp.Reply) {
	i := 2
options:
	for ; i < len(args); i++ {
		more, taken := len(args)-1-i, 0
		switch opt := args[i]; {
		case xadd && string(cString(opt)) == "*":
			break options
		case isOption(opt, "MAXLEN") && more > 0, isOption(opt, "MINID") && more > 0:
			if taken, bad = o.addTrim(args[i:]); bad.IsError() {
				return o, bad
			}
			i += taken
		case isOption(opt, "LIMIT") && more > 0:
			i++
			n, ok := parseInt(args[i])
			switch {
			case !ok:
				return o, errNotInteger
			case n < 0:
				return o, errTrimLimit
			}
			o.limit, o.limited = n, true
		case xadd && isOption(opt, "NOMKSTREAM"):
			o.noMkStream = true
		case xadd:
			if o.id, o.idAuto, bad = parseStreamID(opt, idAuto, 0); bad.IsError() {
				return o, bad
			}
			o.idGiven = true
			break options
		default:
			return o, errSyntax
		}
	}
	if i < len(args) {
		o.fields = args[i+1:]
	}
	return o, o.check(xadd)
}

// addTrim reads MAXLEN or MINID; taken counts the words beside.
func (o *xaddArgs) addTrim(args [][]byte) (taken int, bad resp.Reply) {
	if o.strategy != trimNone {
		return 0, errTrimBoth
	}
	taken = 1
	o.about = false
	if mark := string(cString(args[1])); len(args) > 2 && (mark == "~" || mark == "=") {
		o.about, taken = mark == "~", 2
	}
	if isOption(args[0], "MINID") {
		o.strategy = trimMinID
		o.minID, bad = parseID(args[taken])
		return taken, bad
	}
	o.strategy = trimMaxLen
	n, ok := parseInt(args[taken])
	switch {
	case !ok:
		return 0, errNotInteger
	case n < 0:
		return 0, errTrimMaxLen
	}
	o.maxLen = n
	return taken, resp.Reply{}
}

// check finds options that do not go together.
func (o *xaddArgs) check(xadd bool) resp.Reply {
	switch {
	case o.limit > 0 && o.strategy == trimNone:
		return errTrimOnly
	case !xadd && o.strategy == trimNone:
		return errTrimNone
	case o.limited && !o.about:
		return errTrimExact
	}
	return resp.Reply{}
}

// trim removes what is to be removed, and returns how much that was.
func (o *xaddArgs) trim(tx *fsm.Txn, s *fsm.StreamValue) int64 {
	length := int64(math.MaxInt64)
	switch o.strategy {
	case trimNone:
		return 0
	case trimMaxLen:
		length = o.maxLen
	}
	if o.about {
		limit := o.limit
		if !o.limited {
			limit = trimLimit(tx.Packing())
		}
		return s.TrimBlocks(o.minID, length, limit)
	}
	return s.Trim(o.minID, length)
}

func cmdXAdd(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseXAdd(args, true)
	switch {
	case bad.IsError():
		return bad
	case len(o.fields) < 2 || len(o.fields)%2 != 0:
		return wrongArity("xadd")
	case o.idGiven && !o.idAuto && o.id == fsm.StreamID{}:
		return errXAddZero
	}
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil && o.noMkStream:
		return resp.Nil
	case s == nil:
		s = tx.Stream(args[1], nil)
	}
	if s.LastID == fsm.MaxStreamID {
		return errXAddFull
	}
	id := o.newID(tx, s)
	if id.Compare(s.LastID) <= 0 {
		return errXAddSmall
	}
	s.Add(id, o.fields)
	trimmed := o.trim(tx, s)
	s.Save()
	tx.Notify(fsm.EventStream, "xadd", args[1])
	if trimmed > 0 {
		tx.Notify(fsm.EventStream, "xtrim", args[1])
	}
	return idReply(id)
}

// newID is the id of the entry to add, which may turn out not to be above the last one.
func (o *xaddArgs) newID(tx *fsm.Txn, s *fsm.StreamValue) fsm.StreamID {
	switch {
	case o.idGiven && o.idAuto && o.id.MS == s.LastID.MS:
		if s.LastID.Seq == math.MaxUint64 {
			return s.LastID
		}
		return fsm.StreamID{MS: o.id.MS, Seq: s.LastID.Seq + 1}
	case o.idGiven:
		return o.id
	}
	if now := uint64(tx.Now()); now > s.LastID.MS {
		return fsm.StreamID{MS: now}
	}
	next, _ := s.LastID.Next()
	return next
}

func cmdXLen(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil:
		return resp.NewInt(0)
	}
	return resp.NewInt(s.Len())
}

func cmdXRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	return xrange(tx, args, args[2], args[3], false)
}

func cmdXRevRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	return xrange(tx, args, args[3], args[2], true)
}

func xrange(tx *fsm.Txn, args [][]byte, from, to []byte, reverse bool) resp.Reply {
	first, last, bad := parseInterval(from, to)
	if bad.IsError() {
		return bad
	}
	count := int64(-1)
	for i := 4; i < len(args); i += 2 {
		if !isOption(args[i], "COUNT") || i+1 == len(args) {
			return errSyntax
		}
		n, ok := parseInt(args[i+1])
		if !ok {
			return errNotInteger
		}
		count = max(n, 0)
	}
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil:
		return resp.ArrayOf()
	case count == 0:
		return resp.NilArray
	}
	if count > 0 && count <= xrangeAtOnce {
		return resp.NewArray(someEntries(s, first, last, count, reverse))
	}
	begin, end := s.Ranks(first, last)
	if count >= 0 && count < end-begin {
		if reverse {
			begin = end - count
		} else {
			end = begin + count
		}
	}
	return entriesReply(tx, bytes.Clone(args[1]), begin, end, reverse)
}

// xrangeAtOnce is how many entries a client may ask for without that their number is found first, as a reply needs it that
// is made while it is written.
const xrangeAtOnce = 1000

// someEntries are the first or the last entries from an id to another one, up to a number.
func someEntries(s *fsm.StreamValue, first, last fsm.StreamID, count int64, reverse bool) []resp.Reply {
	elems := []resp.Reply{}
	entries := s.Range(first, last)
	if reverse {
		entries = s.Backward(first, last)
	}
	for e := range entries {
		if elems = append(elems, entryReply(e)); int64(len(elems)) == count {
			break
		}
	}
	return elems
}

// entriesReply shows the entries of a stream from one rank to before another, or back.
func entriesReply(tx *fsm.Txn, key []byte, from, to int64, reverse bool) resp.Reply {
	return tx.Long(resp.Array, to-from, func(tx *fsm.Txn, rank int64, yield func(resp.Reply) bool) {
		left := to - from - rank
		if left == 0 {
			return
		}
		at := from + rank
		if reverse {
			at = to - 1 - rank
		}
		s, _ := lookupStream(tx, key)
		for e := range s.From(at, reverse) {
			if left--; !yield(entryReply(e)) || left == 0 {
				return
			}
		}
	})
}

func cmdXDel(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil:
		return resp.NewInt(0)
	}
	ids, bad := parseIDs(args[2:])
	if bad.IsError() {
		return bad
	}
	deleted := int64(0)
	for _, id := range ids {
		if s.Delete(id) {
			deleted++
		}
	}
	if deleted > 0 {
		s.Save()
		tx.Notify(fsm.EventStream, "xdel", args[1])
	}
	return resp.NewInt(deleted)
}

func cmdXTrim(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseXAdd(args, false)
	if bad.IsError() {
		return bad
	}
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil:
		return resp.NewInt(0)
	}
	removed := o.trim(tx, s)
	if removed > 0 {
		s.Save()
		tx.Notify(fsm.EventStream, "xtrim", args[1])
	}
	return resp.NewInt(removed)
}

func cmdXSetID(tx *fsm.Txn, args [][]byte) resp.Reply {
	id, bad := parseID(args[2])
	if bad.IsError() {
		return bad
	}
	added, maxDeleted := int64(-1), fsm.StreamID{}
	for i := 3; i < len(args); i += 2 {
		last := i+1 == len(args)
		switch {
		case isOption(args[i], "ENTRIESADDED") && !last:
			var ok bool
			if added, ok = parseInt(args[i+1]); !ok {
				return errNotInteger
			}
			if added < 0 {
				return errXSetIDAdded
			}
		case isOption(args[i], "MAXDELETEDID") && !last:
			if maxDeleted, bad = parseID(args[i+1]); bad.IsError() {
				return bad
			}
			if id.Compare(maxDeleted) < 0 {
				return errXSetIDGiven
			}
		default:
			return errSyntax
		}
	}
	s, bad := lookupStream(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case s == nil:
		return errNoSuchKey
	case id.Compare(s.MaxDeleted) < 0:
		return errXSetIDMax
	case id.Compare(s.Last()) < 0:
		return errXSetIDTop
	case s.Len() > 0 && added >= 0 && s.Len() > added:
		return errXSetIDLen
	}
	s.LastID = id
	if added >= 0 {
		s.Added = uint64(added)
	}
	if maxDeleted != (fsm.StreamID{}) {
		s.MaxDeleted = maxDeleted
	}
	s.Save()
	tx.Notify(fsm.EventStream, "xsetid", args[1])
	return resp.OK
}
