package command

import (
	"math"
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

var zsetCommands = []Spec{
	{Name: "ZADD", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Adds members to a sorted set, or gives them other scores.",
		Run:     cmdZAdd},
	{Name: "ZINCRBY", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(log N), N members",
		Summary: "Adds a number to the score of a member of a sorted set, which is 0 when it does not exist.",
		Run:     cmdZIncrBy},
	{Name: "ZREM", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Removes members of a sorted set, and the set with the last one, and returns how many there were.",
		Run:     cmdZRem},
	{Name: "ZCARD", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(1)",
		Summary: "Counts the members of a sorted set.",
		Run:     cmdZCard},
	{Name: "ZSCORE", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(log N), N members",
		Summary: "Returns the score of a member of a sorted set.",
		Run:     cmdZScore},
	{Name: "ZMSCORE", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Returns the scores of several members of a sorted set.",
		Run:     cmdZMScore},
	{Name: "ZRANK", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(log N), N members",
		Summary: "Returns the rank of a member of a sorted set, lowest score first.",
		Run:     cmdZRank},
	{Name: "ZREVRANK", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(log N), N members",
		Summary: "Returns the rank of a member of a sorted set, highest score first.",
		Run:     cmdZRevRank},
	{Name: "ZCOUNT", Arity: 4, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(log N), N members",
		Summary: "Counts the members of a sorted set with scores in a range.",
		Run:     cmdZCount},
	{Name: "ZLEXCOUNT", Arity: 4, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.8.9", Complexity: "O(log N), N members",
		Summary: "Counts the members of a sorted set, all of one score, in a range of names.",
		Run:     cmdZLexCount, Differs: differsLex},
	{Name: "ZRANGE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(log N + M), M members of N",
		Summary: "Returns the members of a sorted set in a range of ranks, scores or names.",
		Run:     cmdZRange},
	{Name: "ZRANGESTORE", Arity: -5, Flags: Write | DenyOOM, Keys: twoKeys(KeyOW|KeyUpdate, KeyRO|KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(log N + M log M), M members of N",
		Summary: "Stores the members of a sorted set in a range of ranks, scores or names as another one.",
		Run:     cmdZRangeStore},
	{Name: "ZRANGEBYSCORE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.0.5", Complexity: "O(log N + M), M members of N",
		Summary:         "Returns the members of a sorted set with scores in a range.",
		Run:             cmdZRangeByScore,
		DeprecatedSince: "6.2.0", ReplacedBy: "`ZRANGE` with the `BYSCORE` argument"},
	{Name: "ZREVRANGEBYSCORE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.2.0", Complexity: "O(log N + M), M members of N",
		Summary:         "Returns the members of a sorted set with scores in a range, highest first.",
		Run:             cmdZRevRangeByScore,
		DeprecatedSince: "6.2.0", ReplacedBy: "`ZRANGE` with the `REV` and `BYSCORE` arguments"},
	{Name: "ZRANGEBYLEX", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.8.9", Complexity: "O(log N + M), M members of N",
		Summary:         "Returns the members of a sorted set, all of one score, in a range of names.",
		Run:             cmdZRangeByLex,
		Differs:         differsLex,
		DeprecatedSince: "6.2.0", ReplacedBy: "`ZRANGE` with the `BYLEX` argument"},
	{Name: "ZREVRANGEBYLEX", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.8.9", Complexity: "O(log N + M), M members of N",
		Summary:         "Returns the members of a sorted set, all of one score, in a range of names, last first.",
		Run:             cmdZRevRangeByLex,
		Differs:         differsLex,
		DeprecatedSince: "6.2.0", ReplacedBy: "`ZRANGE` with the `REV` and `BYLEX` arguments"},
	{Name: "ZREVRANGE", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(log N + M), M members of N",
		Summary:         "Returns the members of a sorted set in a range of ranks, highest score first.",
		Run:             cmdZRevRange,
		DeprecatedSince: "6.2.0", ReplacedBy: "`ZRANGE` with the `REV` argument"},
	{Name: "ZREMRANGEBYRANK", Arity: 4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(M log N), M members of N",
		Summary: "Removes the members of a sorted set in a range of ranks.",
		Run:     cmdZRemRangeByRank},
	{Name: "ZREMRANGEBYSCORE", Arity: 4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "1.2.0", Complexity: "O(M log N), M members of N",
		Summary: "Removes the members of a sorted set with scores in a range.",
		Run:     cmdZRemRangeByScore},
	{Name: "ZREMRANGEBYLEX", Arity: 4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.8.9", Complexity: "O(M log N), M members of N",
		Summary: "Removes the members of a sorted set, all of one score, in a range of names.",
		Run:     cmdZRemRangeByLex, Differs: differsLex},
	{Name: "ZPOPMIN", Arity: -2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "5.0.0", Complexity: "O(M log N), M members of N",
		Summary: "Removes and returns the members of a sorted set with the lowest scores.",
		Run:     cmdZPopMin},
	{Name: "ZPOPMAX", Arity: -2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupZSet, Categories: CatSortedSet, Since: "5.0.0", Complexity: "O(M log N), M members of N",
		Summary: "Removes and returns the members of a sorted set with the highest scores.",
		Run:     cmdZPopMax},
	{Name: "ZMPOP", Arity: -4, Flags: Write, Keys: Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "7.0.0", Complexity: "O(K + M log N), K keys, M members of N",
		Summary: "Removes and returns members of the first of several sorted sets that is not empty.",
		Run:     cmdZMPop},
	{Name: "ZRANDMEMBER", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N log M), N members, M of the set",
		Tips:    []string{"nondeterministic_output"},
		Summary: "Returns random members of a sorted set.",
		Run:     cmdZRandMember,
		Differs: "At most a million members with repetitions at a time."},
	{Name: "ZSCAN", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.8.0", Complexity: "O(1) a call, O(N) for all, N members",
		Tips:    []string{"nondeterministic_output"},
		Summary: "Returns some members and scores of a sorted set, and the cursor to get the next ones with.",
		Run:     cmdZScan,
		Differs: "A cursor is good for ever and on every node, and no member is returned twice."},
	{Name: "ZUNION", Arity: -3, Flags: ReadOnly, Keys: Keys{{Flags: KeyRO | KeyAccess, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N + M log M), N members in all, M of the result",
		Summary: "Returns all members of several sorted sets, with their scores combined.",
		Run:     cmdZUnion},
	{Name: "ZINTER", Arity: -3, Flags: ReadOnly, Keys: Keys{{Flags: KeyRO | KeyAccess, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N K log N), N members of the smallest set, K sets",
		Summary: "Returns the members that several sorted sets have in common, with their scores combined.",
		Run:     cmdZInter},
	{Name: "ZDIFF", Arity: -3, Flags: ReadOnly, Keys: Keys{{Flags: KeyRO | KeyAccess, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N K log N), N members of the first set, K sets",
		Summary: "Returns the members of a sorted set that several others do not have.",
		Run:     cmdZDiff},
	{Name: "ZUNIONSTORE", Arity: -4, Flags: Write | DenyOOM, Keys: Keys{{Flags: KeyOW | KeyUpdate, First: 1, Step: 1}, {Flags: KeyRO | KeyAccess, First: 3, Step: 1, KeyNum: 2}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(N + M log M), N members in all, M of the result",
		Summary: "Stores all members of several sorted sets, with their scores combined.",
		Run:     cmdZUnionStore},
	{Name: "ZINTERSTORE", Arity: -4, Flags: Write | DenyOOM, Keys: Keys{{Flags: KeyOW | KeyUpdate, First: 1, Step: 1}, {Flags: KeyRO | KeyAccess, First: 3, Step: 1, KeyNum: 2}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "2.0.0", Complexity: "O(N K log N), N members of the smallest set, K sets",
		Summary: "Stores the members that several sorted sets have in common, with their scores combined.",
		Run:     cmdZInterStore},
	{Name: "ZDIFFSTORE", Arity: -4, Flags: Write | DenyOOM, Keys: Keys{{Flags: KeyOW | KeyUpdate, First: 1, Step: 1}, {Flags: KeyRO | KeyAccess, First: 3, Step: 1, KeyNum: 2}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "6.2.0", Complexity: "O(N K log N), N members of the first set, K sets",
		Summary: "Stores the members of a sorted set that several others do not have.",
		Run:     cmdZDiffStore},
	{Name: "ZINTERCARD", Arity: -3, Flags: ReadOnly, Keys: Keys{{Flags: KeyRO | KeyAccess, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "7.0.0", Complexity: "O(N K log N), N members of the smallest set, K sets",
		Summary: "Counts the members that several sorted sets have in common.",
		Run:     cmdZInterCard},
}

const differsLex = "In a large set whose members have several scores other members are found; Redis does not specify which."

// Errors of sorted sets.
var (
	errZAddNXXX = resp.NewError("ERR XX and NX options at the same time are not compatible")
	errZAddGTLT = resp.NewError("ERR GT, LT, and/or NX options at the same time are not compatible")
	errZAddIncr = resp.NewError("ERR INCR option supports a single increment-element pair")
	errScoreNaN = resp.NewError("ERR resulting score is not a number (NaN)")
)

// lookupZSet finds the sorted set at a key, which is empty without one. The reply is the error for a key of another type,
// and of kind None otherwise.
func lookupZSet(tx *fsm.Txn, key []byte) (*fsm.ZSetValue, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind != fsm.ZSet {
		return nil, errWrongType
	}
	return tx.ZSet(key, row), resp.Reply{}
}

// zaddOptions are those of ZADD.
type zaddOptions struct{ nx, xx, gt, lt, ch, incr bool }

// add takes an option, and says whether it is one.
func (o *zaddOptions) add(arg []byte) bool {
	for _, option := range []struct {
		name string
		set  *bool
	}{{"NX", &o.nx}, {"XX", &o.xx}, {"CH", &o.ch}, {"INCR", &o.incr}, {"GT", &o.gt}, {"LT", &o.lt}} {
		if isOption(arg, option.name) {
			*option.set = true
			return true
		}
	}
	return false
}

func cmdZAdd(tx *fsm.Txn, args [][]byte) resp.Reply { return zaddArgs(tx, args, zaddOptions{}) }

func cmdZIncrBy(tx *fsm.Txn, args [][]byte) resp.Reply {
	return zaddArgs(tx, args, zaddOptions{incr: true})
}

// zaddArgs reads the options, scores and members of ZADD or, as Redis does, of ZINCRBY.
func zaddArgs(tx *fsm.Txn, args [][]byte, o zaddOptions) resp.Reply {
	first := 2
	for first < len(args) && o.add(args[first]) {
		first++
	}
	words := args[first:]
	switch {
	case len(words) == 0 || len(words)%2 != 0:
		return errSyntax
	case o.nx && o.xx:
		return errZAddNXXX
	case o.gt && o.nx, o.lt && o.nx, o.gt && o.lt:
		return errZAddGTLT
	case o.incr && len(words) > 2:
		return errZAddIncr
	}
	members := make([]fsm.ScoredMember, 0, len(words)/2)
	for i := 0; i < len(words); i += 2 {
		score, ok := parseDouble(words[i])
		if !ok {
			return errNotFloat
		}
		members = append(members, fsm.ScoredMember{Member: words[i+1], Score: score})
	}
	return zadd(tx, args[1], members, o)
}

// zadd is ZADD of members with their scores, or with what is added to them.
func zadd(tx *fsm.Txn, key []byte, members []fsm.ScoredMember, o zaddOptions) resp.Reply {
	z, bad := lookupZSet(tx, key)
	if bad.IsError() {
		return bad
	}
	if z.Len() > 0 || !o.xx {
		z.Expect(len(members))
	}
	var added, updated int64
	reply := resp.Nil // to INCR
	for _, m := range members {
		z.Update(m.Member, func(old float64, found bool) (float64, bool) {
			score := m.Score
			if o.incr && found {
				score += old
			}
			switch {
			case found && o.nx || !found && o.xx:
				return 0, false
			case math.IsNaN(score):
				reply = errScoreNaN
				return 0, false
			case found && (o.lt && score >= old || o.gt && score <= old):
				return 0, false
			}
			reply = resp.NewDouble(score)
			if !found {
				added++
			} else if score != old {
				updated++
			}
			return score, true
		})
	}
	if reply.IsError() {
		return reply
	}
	z.Save()
	if added+updated > 0 {
		event := "zadd"
		if o.incr {
			event = "zincr"
		}
		tx.Notify(fsm.EventZSet, event, key)
	}
	switch {
	case o.incr:
		return reply
	case o.ch:
		return resp.NewInt(added + updated)
	}
	return resp.NewInt(added)
}

func cmdZRem(tx *fsm.Txn, args [][]byte) resp.Reply {
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return deleteElements(tx, fsm.EventZSet, "zrem", args[1], z, args[2:])
}

func cmdZCard(tx *fsm.Txn, args [][]byte) resp.Reply {
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(z.Len())
}

// scoreOr is a score that was found, or null.
func scoreOr(score float64, found bool) resp.Reply {
	if !found {
		return resp.Nil
	}
	return resp.NewDouble(score)
}

func cmdZScore(tx *fsm.Txn, args [][]byte) resp.Reply {
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return scoreOr(z.Score(args[2]))
}

func cmdZMScore(tx *fsm.Txn, args [][]byte) resp.Reply {
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	scores := make([]resp.Reply, 0, len(args)-2)
	for _, member := range args[2:] {
		scores = append(scores, scoreOr(z.Score(member)))
	}
	return resp.NewArray(scores)
}

func cmdZRank(tx *fsm.Txn, args [][]byte) resp.Reply { return zrank(tx, args, "zrank", false) }

func cmdZRevRank(tx *fsm.Txn, args [][]byte) resp.Reply { return zrank(tx, args, "zrevrank", true) }

func zrank(tx *fsm.Txn, args [][]byte, name string, reverse bool) resp.Reply {
	withScore, none := len(args) == 4, resp.Nil
	switch {
	case len(args) > 4:
		return wrongArity(name)
	case withScore && !isOption(args[3], "WITHSCORE"):
		return errSyntax
	case withScore:
		none = resp.NilArray
	}
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	rank, score, found := z.Rank(args[2])
	if !found {
		return none
	}
	if reverse {
		rank = z.Len() - 1 - rank
	}
	if withScore {
		return resp.ArrayOf(resp.NewInt(rank), resp.NewDouble(score))
	}
	return resp.NewInt(rank)
}

// appendScored shows an element of a sorted set at the end of a reply.
func appendScored(dst []resp.Reply, m fsm.ScoredMember, score bool) []resp.Reply {
	dst = append(dst, resp.NewBulk(m.Member))
	if score {
		dst = append(dst, resp.NewDouble(m.Score))
	}
	return dst
}

// scoredReply is a reply of members, with their scores if they are there.
func scoredReply(elems []resp.Reply, scores bool) resp.Reply {
	if scores {
		return resp.NewPairs(elems)
	}
	return resp.NewArray(elems)
}

func cmdZRandMember(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) == 2 {
		z, bad := lookupZSet(tx, args[1])
		switch {
		case bad.IsError():
			return bad
		case z.Len() == 0:
			return resp.Nil
		}
		return resp.NewBulk(scoredAt(z, int64(tx.Rand()%uint64(z.Len()))).Member)
	}
	count, ok := parseInt(args[2])
	switch {
	case !ok:
		return errNotInteger
	case count == math.MinInt64:
		return errCountRange
	case len(args) > 4 || len(args) == 4 && !isOption(args[3], "WITHSCORES"):
		return errSyntax
	case len(args) == 4 && (count < -math.MaxInt64/2 || count > math.MaxInt64/2):
		return errRange
	}
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return randomMembers(tx, z, count, len(args) == 4)
}

// scoredAt is the element of a rank, which is there.
func scoredAt(z *fsm.ZSetValue, rank int64) (at fsm.ScoredMember) {
	z.Ascend(rank, func(m fsm.ScoredMember) bool {
		at = m
		return false
	})
	return at
}

// randomMembers draws members: count different ones, or -count with repetitions.
func randomMembers(tx *fsm.Txn, z *fsm.ZSetValue, count int64, scores bool) resp.Reply {
	elems := []resp.Reply{}
	show := func(m fsm.ScoredMember) bool {
		elems = appendScored(elems, m, scores)
		return true
	}
	switch n := z.Len(); {
	case n == 0 || count == 0:
	case count < -randomRepeatsMax:
		return errRange
	case count < 0:
		for range -count {
			show(scoredAt(z, int64(tx.Rand()%uint64(n))))
		}
	case count >= n:
		z.Descend(n-1, show)
	default:
		for _, rank := range sample(tx, n, count) {
			show(scoredAt(z, rank))
		}
	}
	return scoredReply(elems, scores)
}

func cmdZScan(tx *fsm.Txn, args [][]byte) resp.Reply {
	return elementScan(tx, args, lookupZSet, func(z *fsm.ZSetValue, from uint64, show showElement) uint64 {
		return z.Scan(from, func(m fsm.ScoredMember) bool { return show(m.Member, scannedScore(z, m.Score)) })
	})
}

// scannedScore is a score as ZSCAN shows it: as a string, which for large sets has 17 digits.
func scannedScore(z *fsm.ZSetValue, score float64) resp.Reply {
	if z.Large() && !math.IsInf(score, 0) {
		return resp.NewBulk(strconv.AppendFloat(nil, score, 'g', 17, 64))
	}
	return resp.NewBulk(resp.AppendDouble(nil, score))
}

// zsetEncoding is Redis's name for how it would keep a sorted set.
func zsetEncoding(z *fsm.ZSetValue) string {
	if z.Large() {
		return "skiplist"
	}
	return "listpack"
}
