package command

import (
	"fmt"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var xreadSpec = Spec{Name: "XREAD", Arity: -4, Flags: ReadOnly | Blocking,
	Keys:  Keys{{Flags: KeyRO | KeyAccess, Keyword: "STREAMS", First: 1, Last: -1, Step: 1, Limit: 2}},
	Group: GroupStream, Categories: CatStream, Since: "5.0.0",
	Complexity: "O(log N + M), N entries of a stream, M returned",
	Summary:    "Returns the entries of streams after an id each.", Run: cmdXRead, Wait: waitXRead}

var xreadGroupSpec = Spec{Name: "XREADGROUP", Arity: -7, Flags: Write | Blocking,
	Keys:  Keys{{Flags: KeyRO | KeyAccess, Keyword: "STREAMS", First: 4, Last: -1, Step: 1, Limit: 2}},
	Group: GroupStream, Categories: CatStream, Since: "5.0.0",
	Complexity: "O(M log N), N entries of a stream, M returned",
	Summary:    "Returns entries of streams that no consumer of the group got before, or what is pending with the consumer.",
	Run:        cmdXReadGroup, Wait: waitXRead}

var (
	errXReadGroup    = resp.NewError("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
	errXReadNoAck    = resp.NewError("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
	errXReadNew      = resp.NewError("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
	errXGroupMissing = resp.NewError("ERR Missing GROUP option for XREADGROUP")
	errXGroupLast    = resp.NewError("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history " +
		"of this consumer by specifying a proper ID, or use the > ID to get new messages. " +
		"The $ ID would just return an empty result set.")
	errTimeoutInt   = resp.NewError("ERR timeout is not an integer or out of range")
	errTimeoutRange = resp.NewError("ERR timeout is out of range")
	errTimeoutMinus = resp.NewError("ERR timeout is negative")
)

// newEntries stands for the id ">", as in Redis: what comes after the last id that the group has delivered.
var newEntries = fsm.MaxStreamID

// xreadArgs are those of XREAD and XREADGROUP. The ids are those after which to begin.
type xreadArgs struct {
	group, consumer []byte // nil for XREAD
	noAck           bool
	count           int64 // 0: all
	keys, idArgs    [][]byte
	ids             []fsm.StreamID
}

// parseXRead reads everything but the ids, whose meaning depends on the streams.
func parseXRead(tx *fsm.Txn, args [][]byte, grouped bool) (o xreadArgs, bad resp.Reply) {
	name, symbol := "xread", '$'
	if grouped {
		name, symbol = "xreadgroup", '>'
	}
	for i := 1; i < len(args) && o.keys == nil; i++ {
		more := len(args) - 1 - i
		switch opt := args[i]; {
		case isOption(opt, "BLOCK") && more > 0:
			i++
			bad = checkTimeout(tx, args[i])
		case isOption(opt, "COUNT") && more > 0:
			i++
			n, ok := parseInt(args[i])
			if !ok {
				return o, errNotInteger
			}
			o.count = max(n, 0)
		case isOption(opt, "STREAMS") && more > 0:
			if more%2 != 0 {
				return o, errorf("Unbalanced '%s' list of streams: for each stream key an ID or '%c' must be specified.",
					name, symbol)
			}
			middle := i + 1 + more/2
			o.keys, o.idArgs = args[i+1:middle], args[middle:]
		case isOption(opt, "GROUP") && more > 1 && !grouped:
			return o, errXReadGroup
		case isOption(opt, "GROUP") && more > 1:
			o.group, o.consumer = args[i+1], args[i+2]
			i += 2
		case isOption(opt, "NOACK") && !grouped:
			return o, errXReadNoAck
		case isOption(opt, "NOACK"):
			o.noAck = true
		default:
			return o, errSyntax
		}
		if bad.IsError() {
			return o, bad
		}
	}
	switch {
	case o.keys == nil:
		return o, errSyntax
	case grouped && o.group == nil:
		return o, errXGroupMissing
	}
	return o, resp.Reply{}
}

// checkTimeout finds what is wrong with a time in milliseconds for which to wait.
func checkTimeout(tx *fsm.Txn, arg []byte) resp.Reply {
	n, ok := parseInt(arg)
	switch {
	case !ok:
		return errTimeoutInt
	case n < 0:
		return errTimeoutMinus
	case n > math.MaxInt64-tx.Now():
		return errTimeoutRange
	}
	return resp.Reply{}
}

// resolve finds the ids, and whether all streams and groups are there that must be.
func (o *xreadArgs) resolve(tx *fsm.Txn) resp.Reply {
	o.ids = make([]fsm.StreamID, len(o.keys))
	for i, key := range o.keys {
		s, bad := lookupStream(tx, key)
		switch {
		case bad.IsError():
			return bad
		case o.group != nil && (s == nil || s.Group(o.group) == nil):
			return resp.NewError(fmt.Sprintf("NOGROUP No such key '%s' or consumer group '%s' in XREADGROUP with GROUP option",
				cString(key), cString(o.group)))
		}
		switch arg := string(cString(o.idArgs[i])); {
		case arg == "$" && o.group != nil:
			return errXGroupLast
		case arg == "$":
			if s != nil {
				o.ids[i] = s.LastID
			}
		case arg == ">" && o.group == nil:
			return errXReadNew
		case arg == ">":
			o.ids[i] = newEntries
		default:
			if o.ids[i], bad = parseID(o.idArgs[i]); bad.IsError() {
				return bad
			}
		}
	}
	return resp.Reply{}
}

func cmdXRead(tx *fsm.Txn, args [][]byte) resp.Reply {
	return xread(tx, args, false, (*xreadArgs).read)
}

func cmdXReadGroup(tx *fsm.Txn, args [][]byte) resp.Reply {
	return xread(tx, args, true, (*xreadArgs).readGroup)
}

// xread answers with what read returns of each stream: nil means that the stream has nothing to show.
func xread(tx *fsm.Txn, args [][]byte, grouped bool,
	read func(o *xreadArgs, tx *fsm.Txn, s *fsm.StreamValue, after fsm.StreamID) []resp.Reply) resp.Reply {
	o, bad := parseXRead(tx, args, grouped)
	if bad.IsError() {
		return bad
	}
	if bad := o.resolve(tx); bad.IsError() {
		return bad
	}
	var streams []resp.Reply
	for i, key := range o.keys {
		s, _ := lookupStream(tx, key)
		if s == nil {
			continue
		}
		if entries := read(&o, tx, s, o.ids[i]); entries != nil {
			streams = append(streams, resp.NewBulk(key), resp.NewArray(entries))
		}
	}
	if streams == nil {
		return resp.NilArray
	}
	return resp.NewPairMap(streams)
}

// read is XREAD of one stream.
func (o *xreadArgs) read(_ *fsm.Txn, s *fsm.StreamValue, after fsm.StreamID) (entries []resp.Reply) {
	from, ok := after.Next()
	if !ok {
		return nil
	}
	for e := range s.Range(from, fsm.MaxStreamID) {
		entries = append(entries, entryReply(e))
		if int64(len(entries)) == o.count {
			break
		}
	}
	return entries
}

// readGroup is XREADGROUP of one stream.
func (o *xreadArgs) readGroup(tx *fsm.Txn, s *fsm.StreamValue, after fsm.StreamID) (entries []resp.Reply) {
	g := s.Group(o.group)
	c := seenConsumer(tx, s.Key(), g, o.consumer)
	switch {
	case after != newEntries:
		entries = o.history(tx, s, g, c, after)
	case s.Last().Compare(g.LastID) > 0:
		entries = o.deliver(tx, s, g, c)
	}
	c.Save()
	s.Save()
	return entries
}

// seenConsumer returns the consumer with a name, which is made if there is none, and notes that it was here.
func seenConsumer(tx *fsm.Txn, key []byte, g *fsm.StreamGroup, name []byte) *fsm.StreamConsumer {
	c := g.Consumer(name)
	if c == nil {
		c = g.CreateConsumer(name, tx.Now())
		tx.Notify(fsm.EventStream, "xgroup-createconsumer", key)
	}
	c.Seen = tx.Now()
	return c
}

// deliver gives new entries to a consumer.
func (o *xreadArgs) deliver(tx *fsm.Txn, s *fsm.StreamValue, g *fsm.StreamGroup, c *fsm.StreamConsumer) []resp.Reply {
	var entries []resp.Reply
	from, _ := g.LastID.Next()
	first := s.First()
	for e := range s.Range(from, fsm.MaxStreamID) {
		switch {
		case g.Read != readUnknown && !hasTombstone(s, first, e.ID):
			g.Read++
		case s.Added > 0:
			g.Read = readUpTo(s, first, e.ID)
		}
		g.LastID = e.ID
		if !o.noAck {
			c.Give(fsm.StreamPending{ID: e.ID, Time: tx.Now(), Count: 1})
			c.Active = tx.Now()
		}
		entries = append(entries, entryReply(e))
		if int64(len(entries)) == o.count {
			break
		}
	}
	g.Save()
	return entries
}

// history shows a consumer what is pending with it, which counts as a delivery of what is still in the stream.
func (o *xreadArgs) history(tx *fsm.Txn, s *fsm.StreamValue, g *fsm.StreamGroup, c *fsm.StreamConsumer,
	after fsm.StreamID) []resp.Reply {
	entries := []resp.Reply{}
	var shown []fsm.StreamPending
	from, _ := after.Next()
	for p := range c.Pending(from) {
		e, found := s.Get(p.ID)
		if found {
			p.Time = tx.Now()
			p.Count++
			shown = append(shown, p)
			entries = append(entries, entryReply(e))
		} else {
			entries = append(entries, resp.ArrayOf(idReply(p.ID), resp.NilArray))
		}
		if int64(len(entries)) == o.count {
			break
		}
	}
	for _, p := range shown {
		c.Give(p)
	}
	return entries
}

// hasTombstone says whether an entry after an id may have been deleted from the middle of a stream, whose first
// entry is first.
func hasTombstone(s *fsm.StreamValue, first, after fsm.StreamID) bool {
	if s.Len() == 0 || s.MaxDeleted == (fsm.StreamID{}) || first.Compare(s.MaxDeleted) > 0 {
		return false
	}
	return after.Compare(s.MaxDeleted) <= 0
}

// readUnknown is what Redis has for a count of entries that can't be told.
const readUnknown = -1

// readUpTo is how many of the entries that a stream ever had are up to an id, or readUnknown.
func readUpTo(s *fsm.StreamValue, first, id fsm.StreamID) int64 {
	added, atEnd := int64(s.Added), id.Compare(s.LastID)
	switch {
	case added == 0:
		return 0
	case s.Len() == 0 && atEnd <= 0, atEnd == 0:
		return added
	case atEnd > 0:
		return readUnknown
	}
	if s.MaxDeleted == (fsm.StreamID{}) || s.MaxDeleted.Compare(first) < 0 {
		switch at := id.Compare(first); {
		case at < 0:
			return added - s.Len()
		case at == 0:
			return added - s.Len() + 1
		}
	}
	return readUnknown
}

// lagReply is how many entries a group has not read yet, or null if that can't be told.
func lagReply(s *fsm.StreamValue, g *fsm.StreamGroup) resp.Reply {
	first := s.First()
	read := g.Read
	switch {
	case s.Added == 0:
		return resp.NewInt(0)
	case read == readUnknown || hasTombstone(s, first, g.LastID):
		if read = readUpTo(s, first, g.LastID); read == readUnknown {
			return resp.Nil
		}
	}
	return resp.NewInt(int64(s.Added) - read)
}
