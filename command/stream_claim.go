package command

import (
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var xpendingSpec = Spec{Name: "XPENDING", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
	Group: GroupStream, Categories: CatStream, Since: "5.0.0",
	Complexity: "O(log N + M), N pending, M of them or of the consumers looked at", Tips: tipsRandom,
	Summary: "Describes what is pending in a consumer group.", Run: cmdXPending}

var xclaimSpec = Spec{Name: "XCLAIM", Arity: -6, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
	Group: GroupStream, Categories: CatStream, Since: "5.0.0", Complexity: "O(M log N), M ids, N pending", Tips: tipsRandom,
	Summary: "Gives entries that are pending too long to another consumer, and returns them.", Run: cmdXClaim}

var xautoClaimSpec = Spec{Name: "XAUTOCLAIM", Arity: -6, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyDelete),
	Group: GroupStream, Categories: CatStream, Since: "6.2.0", Complexity: "O(M log N), M looked at, N pending", Tips: tipsRandom,
	Summary: "Looks for entries that are pending too long, gives them to another consumer, and returns them.", Run: cmdXAutoClaim}

var (
	errXClaimIdle     = resp.NewError("ERR Invalid min-idle-time argument for XCLAIM")
	errXClaimIdleOpt  = resp.NewError("ERR Invalid IDLE option argument for XCLAIM")
	errXClaimTime     = resp.NewError("ERR Invalid TIME option argument for XCLAIM")
	errXClaimRetry    = resp.NewError("ERR Invalid RETRYCOUNT option argument for XCLAIM")
	errXAutoClaimIdle = resp.NewError("ERR Invalid min-idle-time argument for XAUTOCLAIM")
	errXAutoClaimMany = resp.NewError("ERR COUNT must be > 0")
)

// xpendingArgs are those of XPENDING with a range.
type xpendingArgs struct {
	minIdle, count int64
	first, last    fsm.StreamID
	consumer       []byte // nil: of all
}

func parseXPending(args [][]byte) (o xpendingArgs, bad resp.Reply) {
	var ok bool
	at := 3
	if isOption(args[3], "IDLE") {
		if o.minIdle, ok = parseInt(args[4]); !ok {
			return o, errNotInteger
		}
		if len(args) < 8 {
			return o, errSyntax
		}
		at = 5
	}
	if o.count, ok = parseInt(args[at+2]); !ok {
		return o, errNotInteger
	}
	if o.first, o.last, bad = parseInterval(args[at], args[at+1]); bad.IsError() {
		return o, bad
	}
	if at+3 < len(args) {
		o.consumer = args[at+3]
	}
	return o, resp.Reply{}
}

func cmdXPending(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) != 3 && (len(args) < 6 || len(args) > 9) {
		return errSyntax
	}
	var o xpendingArgs
	if len(args) > 3 {
		var bad resp.Reply
		if o, bad = parseXPending(args); bad.IsError() {
			return bad
		}
	}
	_, g, bad := lookupGroup(tx, args[1], args[2])
	switch {
	case bad.IsError():
		return bad
	case g == nil:
		return noKeyOrGroup(args[1], args[2])
	case len(args) == 3:
		return pendingSummary(g)
	}
	pending := g.Pending(o.first)
	if o.consumer != nil {
		c := g.Consumer(o.consumer)
		if c == nil {
			return resp.ArrayOf()
		}
		pending = c.Pending(o.first)
	}
	elems := []resp.Reply{}
	for p := range pending {
		if int64(len(elems)) >= o.count || p.ID.Compare(o.last) > 0 {
			break
		}
		idle := tx.Now() - p.Time
		if o.minIdle != 0 && idle < o.minIdle {
			continue
		}
		elems = append(elems, resp.ArrayOf(idReply(p.ID), resp.NewBulk(g.Owner(p)), resp.NewInt(max(idle, 0)),
			resp.NewInt(int64(p.Count))))
	}
	return resp.NewArray(elems)
}

// pendingSummary says how much is pending in a group, from where to where, and with whom.
func pendingSummary(g *fsm.StreamGroup) resp.Reply {
	count := g.PendingCount()
	if count == 0 {
		return resp.ArrayOf(resp.NewInt(0), resp.Nil, resp.Nil, resp.NilArray)
	}
	var first fsm.StreamID
	for p := range g.Pending(first) {
		first = p.ID
		break
	}
	consumers := []resp.Reply{}
	for c := range g.Consumers() {
		if n := c.PendingCount(); n > 0 {
			consumers = append(consumers, resp.ArrayOf(resp.NewBulk(c.Name), resp.NewBulk(formatInt(n))))
		}
	}
	return resp.ArrayOf(resp.NewInt(count), idReply(first), idReply(g.LastPending()), resp.NewArray(consumers))
}

// xclaimArgs are those of XCLAIM.
type xclaimArgs struct {
	minIdle       int64
	ids           []fsm.StreamID
	time          int64 // of the delivery
	retries       int64 // -1: one more than before
	force, justID bool
	lastID        fsm.StreamID
}

func parseXClaim(tx *fsm.Txn, args [][]byte) (o xclaimArgs, bad resp.Reply) {
	var ok bool
	if o.minIdle, ok = parseInt(args[4]); !ok {
		return o, errXClaimIdle
	}
	i := 5
	for ; i < len(args); i++ {
		id, bad := parseID(args[i])
		if bad.IsError() {
			break
		}
		o.ids = append(o.ids, id)
	}
	o.time, o.retries = tx.Now(), -1
	for ; i < len(args); i++ {
		more := i+1 < len(args)
		switch opt := args[i]; {
		case isOption(opt, "FORCE"):
			o.force = true
			continue
		case isOption(opt, "JUSTID"):
			o.justID = true
			continue
		case isOption(opt, "IDLE") && more:
			if o.time, ok = parseInt(args[i+1]); !ok {
				return o, errXClaimIdleOpt
			}
			o.time = tx.Now() - o.time
		case isOption(opt, "TIME") && more:
			if o.time, ok = parseInt(args[i+1]); !ok {
				return o, errXClaimTime
			}
		case isOption(opt, "RETRYCOUNT") && more:
			if o.retries, ok = parseInt(args[i+1]); !ok {
				return o, errXClaimRetry
			}
		case isOption(opt, "LASTID") && more:
			if o.lastID, bad = parseID(args[i+1]); bad.IsError() {
				return o, bad
			}
		default:
			return o, errorf("Unrecognized XCLAIM option '%s'", cString(opt))
		}
		i++
	}
	if o.time < 0 || o.time > tx.Now() {
		o.time = tx.Now()
	}
	return o, resp.Reply{}
}

func cmdXClaim(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, g, bad := lookupGroup(tx, args[1], args[2])
	switch {
	case bad.IsError():
		return bad
	case g == nil:
		return noKeyOrGroup(args[1], args[2])
	}
	o, bad := parseXClaim(tx, args)
	if bad.IsError() {
		return bad
	}
	if o.lastID.Compare(g.LastID) > 0 {
		g.LastID = o.lastID
		g.Save()
	}
	c := seenConsumer(tx, args[1], g, args[3])
	elems := []resp.Reply{}
	for _, id := range o.ids {
		p, pending := g.FindPending(id)
		e, found := s.Get(id)
		switch {
		case !found:
			g.Forget(id)
			continue
		case !pending && !o.force:
			continue
		case !pending:
			p = fsm.StreamPending{ID: id, Count: 1}
		case o.minIdle > 0 && tx.Now()-p.Time < o.minIdle:
			continue
		}
		p.Time = o.time
		if o.retries >= 0 {
			p.Count = uint64(o.retries)
		} else if !o.justID {
			p.Count++
		}
		c.Give(p)
		c.Active = tx.Now()
		elems = append(elems, claimedReply(e, o.justID))
	}
	c.Save()
	s.Save()
	return resp.NewArray(elems)
}

func claimedReply(e fsm.StreamEntry, justID bool) resp.Reply {
	if justID {
		return idReply(e.ID)
	}
	return entryReply(e)
}

// xautoClaimArgs are those of XAUTOCLAIM.
type xautoClaimArgs struct {
	minIdle int64
	from    fsm.StreamID
	count   int64 // of entries in the reply
	justID  bool
}

const (
	autoClaimCount    = 100 // by default
	autoClaimAttempts = 10  // entries that are looked at for each of the count
	autoClaimMax      = math.MaxInt64 / 16
)

func parseXAutoClaim(args [][]byte) (o xautoClaimArgs, bad resp.Reply) {
	var ok bool
	if o.minIdle, ok = parseInt(args[4]); !ok {
		return o, errXAutoClaimIdle
	}
	if o.from, bad = parseIntervalStart(args[5]); bad.IsError() {
		return o, bad
	}
	o.count = autoClaimCount
	for i := 6; i < len(args); i++ {
		switch {
		case isOption(args[i], "COUNT") && i+1 < len(args):
			i++
			if o.count, ok = parseInt(args[i]); !ok || o.count < 1 || o.count > autoClaimMax {
				return o, errXAutoClaimMany
			}
		case isOption(args[i], "JUSTID"):
			o.justID = true
		default:
			return o, errSyntax
		}
	}
	return o, resp.Reply{}
}

func cmdXAutoClaim(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseXAutoClaim(args)
	if bad.IsError() {
		return bad
	}
	s, g, bad := lookupGroup(tx, args[1], args[2])
	switch {
	case bad.IsError():
		return bad
	case g == nil:
		return noKeyOrGroup(args[1], args[2])
	}
	c := seenConsumer(tx, args[1], g, args[3])
	claimed, deleted, next := o.claim(tx, s, g, c)
	c.Save()
	s.Save()
	return resp.ArrayOf(idReply(next), resp.NewArray(claimed), resp.NewArray(deleted))
}

// claim gives a consumer what is pending too long, and forgets what is not in the stream any more. It returns both, and the
// id to go on from, 0-0 at the end.
func (o *xautoClaimArgs) claim(tx *fsm.Txn, s *fsm.StreamValue, g *fsm.StreamGroup,
	c *fsm.StreamConsumer) (claimed, deleted []resp.Reply, next fsm.StreamID) {
	claimed, deleted = []resp.Reply{}, []resp.Reply{}
	attempts := o.count * autoClaimAttempts
	var give []fsm.StreamPending
	var forget []fsm.StreamID
	for p := range g.Pending(o.from) {
		if attempts == 0 || o.count == 0 {
			next = p.ID
			break
		}
		attempts--
		e, found := s.Get(p.ID)
		switch {
		case !found:
			forget = append(forget, p.ID)
			deleted = append(deleted, idReply(p.ID))
		case o.minIdle > 0 && tx.Now()-p.Time < o.minIdle:
			continue
		default:
			p.Time = tx.Now()
			if !o.justID {
				p.Count++
			}
			give = append(give, p)
			claimed = append(claimed, claimedReply(e, o.justID))
			c.Active = tx.Now()
		}
		o.count--
	}
	for _, p := range give {
		c.Give(p)
	}
	for _, id := range forget {
		g.Forget(id)
	}
	return claimed, deleted, next
}
