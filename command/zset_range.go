package command

import (
	"bytes"

	"redoubt/fsm"
	"redoubt/resp"
)

// Errors of ranges of sorted sets.
var (
	errScoreRange    = resp.NewError("ERR min or max is not a float")
	errLexRange      = resp.NewError("ERR min or max not valid string range item")
	errRankLimit     = resp.NewError("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
	errLexWithScores = resp.NewError("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
)

// rangeBy is what the ends of a range are.
type rangeBy uint8

const (
	byAuto rangeBy = iota // an option says it; ranks without one
	byRank
	byScore
	byLex
)

// zrange is a range of a sorted set: of ranks, or of those elements for which both low and high are true. low is false
// for those below the range, high for those above.
type zrange struct {
	by          rangeBy
	start, stop int64 // of ranks, as in the call
	low, high   func(m fsm.ScoredMember) bool
	empty       bool // no element can be in it
}

// parseZRange reads the ends of a range. The reply is the error, of kind None if there is none.
func parseZRange(by rangeBy, from, to []byte) (zrange, resp.Reply) {
	r := zrange{by: by}
	ok := true
	switch by {
	case byScore:
		ok = r.parseScores(from, to)
		return r, unless(ok, errScoreRange)
	case byLex:
		ok = r.parseLex(from, to)
		return r, unless(ok, errLexRange)
	}
	if r.start, ok = parseInt(from); ok {
		r.stop, ok = parseInt(to)
	}
	return r, unless(ok, errNotInteger)
}

// unless is a reply of kind None if all is well.
func unless(ok bool, bad resp.Reply) resp.Reply {
	if ok {
		return resp.Reply{}
	}
	return bad
}

func (r *zrange) parseScores(from, to []byte) bool {
	low, above, lowOK := parseScoreBound(from)
	high, below, highOK := parseScoreBound(to)
	r.low = func(m fsm.ScoredMember) bool { return m.Score > low || m.Score == low && !above }
	r.high = func(m fsm.ScoredMember) bool { return m.Score < high || m.Score == high && !below }
	r.empty = low > high || low == high && (above || below)
	return lowOK && highOK
}

// lexBound is an end of a range of names. infinite is -1 or 1 for what is before or after all names.
type lexBound struct {
	name     []byte
	open     bool
	infinite int
}

func parseLexBound(arg []byte) (b lexBound, ok bool) {
	if len(arg) == 0 {
		return b, false
	}
	switch arg[0] {
	case '+', '-':
		if b.infinite = 1; arg[0] == '-' {
			b.infinite = -1
		}
		b.open = true
		return b, len(cString(arg)) == 1
	case '(', '[':
		return lexBound{name: arg[1:], open: arg[0] == '('}, true
	}
	return b, false
}

// compare is that of the end with a name or, with infinite, with what is beyond all names.
func (b lexBound) compare(name []byte, infinite int) int {
	if b.infinite != 0 || infinite != 0 {
		return b.infinite - infinite
	}
	return bytes.Compare(b.name, name)
}

func (r *zrange) parseLex(from, to []byte) bool {
	low, lowOK := parseLexBound(from)
	high, highOK := parseLexBound(to)
	r.low = func(m fsm.ScoredMember) bool {
		c := low.compare(m.Member, 0)
		return c < 0 || c == 0 && !low.open
	}
	r.high = func(m fsm.ScoredMember) bool {
		c := high.compare(m.Member, 0)
		return c > 0 || c == 0 && !high.open
	}
	c := low.compare(high.name, high.infinite)
	r.empty = c > 0 || c == 0 && (low.open || high.open)
	return lowOK && highOK
}

// ranks returns the ranks of a range, the second one not being in it. Names are looked for from the end from which they
// are wanted: in a small set in which not all have one score, that makes a difference, and it is Redis's.
func (r *zrange) ranks(z *fsm.ZSetValue, reverse bool) (from, to int64) {
	n := z.Len()
	if n == 0 || r.empty {
		return 0, 0
	}
	if r.by == byRank {
		return r.byRank(n, reverse)
	}
	not := func(is func(fsm.ScoredMember) bool) func(fsm.ScoredMember) bool {
		return func(m fsm.ScoredMember) bool { return !is(m) }
	}
	if !r.low(scoredAt(z, n-1)) || !r.high(scoredAt(z, 0)) {
		return 0, 0
	}
	if reverse {
		last := z.Last(n, r.high)
		if last < 0 || !r.low(scoredAt(z, last)) {
			return 0, 0
		}
		return z.Last(last, not(r.low)) + 1, last + 1
	}
	first := z.First(0, r.low)
	if first == n || !r.high(scoredAt(z, first)) {
		return 0, 0
	}
	return first, z.First(first, not(r.high))
}

// byRank is ranks of a range that is given as such; negative ones count from the end.
func (r *zrange) byRank(n int64, reverse bool) (from, to int64) {
	start, stop := r.start, r.stop
	if start < 0 {
		start = max(start+n, 0)
	}
	if stop < 0 {
		stop += n
	}
	stop = min(stop, n-1)
	switch {
	case start > stop:
		return 0, 0
	case reverse:
		return n - 1 - stop, n - start
	}
	return start, stop + 1
}

// zrangeCall is a call of ZRANGE or of one of its relatives.
type zrangeCall struct {
	zrange
	reverse       bool
	auto          bool // an option may say that it is reverse
	withScores    bool
	store         bool
	offset, limit int64 // a negative limit is none
}

// parse reads what stands after the key. The reply is the error, of kind None if there is none.
func (c *zrangeCall) parse(args [][]byte) resp.Reply {
	if bad := c.parseOptions(args[2:]); bad.IsError() {
		return bad
	}
	if c.by == byAuto {
		c.by = byRank
	}
	switch {
	case c.limit != -1 && c.by == byRank:
		return errRankLimit
	case c.withScores && c.by == byLex:
		return errLexWithScores
	}
	from, to := args[0], args[1]
	if c.reverse && c.by != byRank {
		from, to = to, from
	}
	var bad resp.Reply
	c.zrange, bad = parseZRange(c.by, from, to)
	return bad
}

func (c *zrangeCall) parseOptions(args [][]byte) resp.Reply {
	c.limit = -1
	autoBy := c.by == byAuto
	for i := 0; i < len(args); i++ {
		switch {
		case !c.store && isOption(args[i], "WITHSCORES"):
			c.withScores = true
		case isOption(args[i], "LIMIT") && i+2 < len(args):
			var ok bool
			if c.offset, ok = parseInt(args[i+1]); !ok {
				return errNotInteger
			}
			if c.limit, ok = parseInt(args[i+2]); !ok {
				return errNotInteger
			}
			i += 2
		case c.auto && !c.reverse && isOption(args[i], "REV"):
			c.reverse = true
		case autoBy && c.by == byAuto && isOption(args[i], "BYLEX"):
			c.by = byLex
		case autoBy && c.by == byAuto && isOption(args[i], "BYSCORE"):
			c.by = byScore
		default:
			return errSyntax
		}
	}
	return resp.Reply{}
}

// wanted returns the ranks of the elements that the call asks for, the second one not being in it.
func (c *zrangeCall) wanted(z *fsm.ZSetValue) (from, to int64) {
	from, to = c.ranks(z, c.reverse)
	if c.by != byRank {
		from, to = c.limited(from, to)
	}
	return from, max(from, to)
}

// eachRank goes over the elements from one rank to before another, or back, until fn returns false.
func eachRank(z *fsm.ZSetValue, from, to int64, reverse bool, fn func(m fsm.ScoredMember) bool) {
	left := to - from
	next := func(m fsm.ScoredMember) bool {
		left--
		return fn(m) && left > 0
	}
	switch {
	case left == 0:
	case reverse:
		z.Descend(to-1, next)
	default:
		z.Ascend(from, next)
	}
}

// limited applies LIMIT to ranks. A negative offset leaves nothing.
func (c *zrangeCall) limited(from, to int64) (int64, int64) {
	if c.offset < 0 || c.offset >= to-from {
		return 0, 0
	}
	size := to - from - c.offset
	if c.limit >= 0 {
		size = min(size, c.limit)
	}
	if c.reverse {
		to -= c.offset
		return to - size, to
	}
	from += c.offset
	return from, from + size
}

func cmdZRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{auto: true})
}

func cmdZRevRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{zrange: zrange{by: byRank}, reverse: true})
}

func cmdZRangeByScore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{zrange: zrange{by: byScore}})
}

func cmdZRevRangeByScore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{zrange: zrange{by: byScore}, reverse: true})
}

func cmdZRangeByLex(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{zrange: zrange{by: byLex}})
}

func cmdZRevRangeByLex(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zrangeReply(tx, args, zrangeCall{zrange: zrange{by: byLex}, reverse: true})
}

func zrangeReply(tx *fsm.Txn, args [][]byte, c zrangeCall) resp.Reply {
	if bad := c.parse(args[2:]); bad.IsError() {
		return bad
	}
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	key, reverse, scores, kind := bytes.Clone(args[1]), c.reverse, c.withScores, resp.Array
	if scores {
		kind = resp.Pairs
	}
	from, to := c.wanted(z)
	return tx.Long(kind, to-from, func(at *fsm.Txn, rank int64, yield func(resp.Reply) bool) {
		z := z
		if at != tx {
			z, _ = lookupZSet(at, key)
		}
		first, last := from+rank, to
		if reverse {
			first, last = from, to-rank
		}
		eachRank(z, first, last, reverse, func(m fsm.ScoredMember) bool {
			more := yield(resp.NewBulk(m.Member))
			if scores {
				more = yield(resp.NewDouble(m.Score))
			}
			return more
		})
	})
}

func cmdZRangeStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	c := zrangeCall{auto: true, store: true}
	if bad := c.parse(args[3:]); bad.IsError() {
		return bad
	}
	z, bad := lookupZSet(tx, args[2])
	if bad.IsError() {
		return bad
	}
	var members []fsm.ScoredMember
	from, to := c.wanted(z)
	eachRank(z, from, to, c.reverse, func(m fsm.ScoredMember) bool {
		members = append(members, m)
		return true
	})
	if len(members) == 0 {
		remove(tx, args[1])
		return resp.NewInt(0)
	}
	out := tx.ZSet(args[1], nil)
	if c.by == byRank { // Redis knows before how many there are
		out.Expect(len(members))
	}
	for _, m := range members {
		out.Set(m.Member, m.Score)
	}
	out.Save()
	tx.Notify(fsm.EventZSet, "zrangestore", args[1])
	return resp.NewInt(int64(len(members)))
}

func cmdZCount(tx *fsm.Txn, args [][]byte) resp.Reply { return zcount(tx, args, byScore) }

func cmdZLexCount(tx *fsm.Txn, args [][]byte) resp.Reply { return zcount(tx, args, byLex) }

func zcount(tx *fsm.Txn, args [][]byte, by rangeBy) resp.Reply {
	_, from, to, bad := findZRange(tx, args, by)
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(to - from)
}

// findZRange finds a sorted set and the ranks of a range in it.
func findZRange(tx *fsm.Txn, args [][]byte, by rangeBy) (z *fsm.ZSetValue, from, to int64, bad resp.Reply) {
	r, bad := parseZRange(by, args[2], args[3])
	if bad.IsError() {
		return nil, 0, 0, bad
	}
	if z, bad = lookupZSet(tx, args[1]); bad.IsError() {
		return nil, 0, 0, bad
	}
	from, to = r.ranks(z, false)
	return z, from, to, bad
}

func cmdZRemRangeByRank(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zremRange(tx, args, byRank, "zremrangebyrank")
}

func cmdZRemRangeByScore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zremRange(tx, args, byScore, "zremrangebyscore")
}

func cmdZRemRangeByLex(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zremRange(tx, args, byLex, "zremrangebylex")
}

func zremRange(tx *fsm.Txn, args [][]byte, by rangeBy, event string) resp.Reply {
	z, from, to, bad := findZRange(tx, args, by)
	if bad.IsError() {
		return bad
	}
	z.DeleteRange(from, to)
	z.Save()
	if to > from {
		shrunk(tx, fsm.EventZSet, event, args[1], z.Len())
	}
	return resp.NewInt(to - from)
}
