package command

import (
	"cmp"
	"math"
	"slices"

	"redoubt/fsm"
	"redoubt/resp"
)

// Errors of the commands that combine sorted sets.
var (
	errWeight = resp.NewError("ERR weight value is not a float")
)

// scoredSet is an input of ZUNION and the like: a sorted set, or a set, whose members all have the score 1.
type scoredSet interface {
	Len() int64
	Score(member []byte) (float64, bool)
	// Ascend goes over the members from a rank on until fn returns false.
	Ascend(from int64, fn func(m fsm.ScoredMember) bool)
}

// equalScores is a set as a scoredSet.
type equalScores struct{ *fsm.SetValue }

func (s equalScores) Score(member []byte) (float64, bool) { return 1, s.Has(member) }

func (s equalScores) Ascend(from int64, fn func(m fsm.ScoredMember) bool) {
	s.From(from, func(member []byte) bool { return fn(fsm.ScoredMember{Member: member, Score: 1}) })
}

// lookupScoredSet finds an input, which is empty if there is no such key.
func lookupScoredSet(tx *fsm.Txn, key []byte) (scoredSet, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind == fsm.Set {
		return equalScores{tx.Set(key, row)}, resp.Reply{}
	}
	return lookupZSet(tx, key)
}

// setOperation is what is done to the inputs.
type setOperation uint8

const (
	opUnion setOperation = iota
	opInter
	opDiff
)

// weighted is an input with its weight.
type weighted struct {
	scoredSet
	weight float64
}

// combination is a call of ZUNION or of one of its relatives.
type combination struct {
	name       string
	op         setOperation
	store      bool // the result is not returned
	count      bool // only the size of the result is
	inputs     []weighted
	aggregate  func(a, b float64) float64
	withScores bool
	limit      int64 // of what is counted; 0: none
}

// parse reads the call from the number of keys on.
func (c *combination) parse(tx *fsm.Txn, args [][]byte) resp.Reply {
	n, ok := parseInt(args[0])
	switch {
	case !ok:
		return errNotInteger
	case n < 1:
		return errorf("at least 1 input key is needed for '%s' command", c.name)
	case n > int64(len(args)-1):
		return errSyntax
	}
	for _, key := range args[1 : 1+n] {
		set, bad := lookupScoredSet(tx, key)
		if bad.IsError() {
			return bad
		}
		c.inputs = append(c.inputs, weighted{set, 1})
	}
	c.aggregate = aggregateSum
	return c.parseOptions(args[1+n:])
}

func (c *combination) parseOptions(args [][]byte) resp.Reply {
	scores := c.op != opDiff && !c.count
	for len(args) > 0 {
		taken, bad := 2, resp.Reply{}
		switch {
		case scores && len(args) > len(c.inputs) && isOption(args[0], "WEIGHTS"):
			taken = 1 + len(c.inputs)
			bad = c.parseWeights(args[1:taken])
		case scores && len(args) > 1 && isOption(args[0], "AGGREGATE"):
			bad = c.parseAggregate(args[1])
		case !c.store && !c.count && isOption(args[0], "WITHSCORES"):
			taken, c.withScores = 1, true
		case c.count && len(args) > 1 && isOption(args[0], "LIMIT"):
			var ok bool
			c.limit, ok = parseInt(args[1])
			bad = unless(ok && c.limit >= 0, errLimit)
		default:
			return errSyntax
		}
		if bad.IsError() {
			return bad
		}
		args = args[taken:]
	}
	return resp.Reply{}
}

func (c *combination) parseWeights(args [][]byte) resp.Reply {
	for i, arg := range args {
		var ok bool
		if c.inputs[i].weight, ok = parseDouble(arg); !ok {
			return errWeight
		}
	}
	return resp.Reply{}
}

func (c *combination) parseAggregate(arg []byte) resp.Reply {
	switch {
	case isOption(arg, "SUM"):
		c.aggregate = aggregateSum
	case isOption(arg, "MIN"):
		c.aggregate = func(a, b float64) float64 {
			if b < a {
				return b
			}
			return a
		}
	case isOption(arg, "MAX"):
		c.aggregate = func(a, b float64) float64 {
			if b > a {
				return b
			}
			return a
		}
	default:
		return errSyntax
	}
	return resp.Reply{}
}

// aggregateSum adds scores; opposite infinities make 0.
func aggregateSum(a, b float64) float64 { return numberOrZero(a + b) }

func numberOrZero(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return f
}

// result is what the inputs make, in the order of a sorted set.
func (c *combination) result() []fsm.ScoredMember {
	var members []fsm.ScoredMember
	add := func(m fsm.ScoredMember) bool {
		members = append(members, m)
		return true
	}
	switch c.op {
	case opUnion:
		members = c.union()
	case opInter:
		c.inter(add)
	default:
		c.diff(add)
	}
	slices.SortFunc(members, fsm.ScoredMember.Compare)
	return members
}

// bySize puts the smallest inputs first. That also is the order in which Redis adds scores.
func (c *combination) bySize() {
	slices.SortStableFunc(c.inputs, func(a, b weighted) int { return cmp.Compare(a.Len(), b.Len()) })
}

func (c *combination) union() []fsm.ScoredMember {
	c.bySize()
	var members []fsm.ScoredMember
	places := map[string]int{}
	for _, in := range c.inputs {
		in.Ascend(0, func(m fsm.ScoredMember) bool {
			m.Score = numberOrZero(in.weight * m.Score)
			if i, known := places[string(m.Member)]; known {
				members[i].Score = c.aggregate(members[i].Score, m.Score)
				return true
			}
			places[string(m.Member)] = len(members)
			members = append(members, m)
			return true
		})
	}
	return members
}

// inter calls fn with what is in all inputs, until it returns false.
func (c *combination) inter(fn func(m fsm.ScoredMember) bool) {
	c.bySize()
	first := c.inputs[0]
	first.Ascend(0, func(m fsm.ScoredMember) bool {
		m.Score = numberOrZero(first.weight * m.Score)
		for _, in := range c.inputs[1:] {
			score, found := in.Score(m.Member)
			if !found {
				return true
			}
			m.Score = c.aggregate(m.Score, score*in.weight)
		}
		return fn(m)
	})
}

// diff calls fn with what is only in the first input, until it returns false.
func (c *combination) diff(fn func(m fsm.ScoredMember) bool) {
	c.inputs[0].Ascend(0, func(m fsm.ScoredMember) bool {
		for _, in := range c.inputs[1:] {
			if _, found := in.Score(m.Member); found {
				return true
			}
		}
		return fn(m)
	})
}

func cmdZUnion(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combine(tx, args, combination{name: "zunion", op: opUnion})
}

func cmdZInter(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combine(tx, args, combination{name: "zinter", op: opInter})
}

func cmdZDiff(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combine(tx, args, combination{name: "zdiff", op: opDiff})
}

// combine answers with the result of a combination.
func combine(tx *fsm.Txn, args [][]byte, c combination) resp.Reply {
	if bad := c.parse(tx, args[1:]); bad.IsError() {
		return bad
	}
	elems := []resp.Reply{}
	for _, m := range c.result() {
		elems = appendScored(elems, m, c.withScores)
	}
	return scoredReply(elems, c.withScores)
}

func cmdZUnionStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combineStore(tx, args, combination{name: "zunionstore", op: opUnion})
}

func cmdZInterStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combineStore(tx, args, combination{name: "zinterstore", op: opInter})
}

func cmdZDiffStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	return combineStore(tx, args, combination{name: "zdiffstore", op: opDiff})
}

// storeZSet stores a result, or deletes what is at its key when it is empty, and answers with its size.
func storeZSet(tx *fsm.Txn, key []byte, members []fsm.ScoredMember, event string) resp.Reply {
	if len(members) == 0 {
		remove(tx, key)
		return resp.NewInt(0)
	}
	tx.StoreZSet(key, members)
	tx.Notify(fsm.EventZSet, event, key)
	return resp.NewInt(int64(len(members)))
}

// combineStore stores the result of a combination.
func combineStore(tx *fsm.Txn, args [][]byte, c combination) resp.Reply {
	c.store = true
	if bad := c.parse(tx, args[2:]); bad.IsError() {
		return bad
	}
	return storeZSet(tx, args[1], c.result(), c.name)
}

func cmdZInterCard(tx *fsm.Txn, args [][]byte) resp.Reply {
	c := combination{name: "zintercard", op: opInter, count: true}
	if bad := c.parse(tx, args[1:]); bad.IsError() {
		return bad
	}
	count := int64(0)
	c.inter(func(fsm.ScoredMember) bool {
		count++
		return count != c.limit
	})
	return resp.NewInt(count)
}
