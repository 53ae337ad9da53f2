package command

import (
	"bytes"
	"math"
	"slices"

	"redoubt/fsm"
	"redoubt/resp"
)

var setCommands = []Spec{
	{Name: "SADD", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Adds members to a set and returns how many of them are new.", Run: cmdSAdd},
	{Name: "SREM", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Removes members from a set, which is deleted with the last one, and returns how many there were.",
		Run:     cmdSRem},
	{Name: "SMOVE", Arity: 4, Flags: Write | Fast, Keys: twoKeys(KeyRW|KeyAccess|KeyDelete, KeyRW|KeyInsert),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(log N), N members",
		Summary: "Moves a member from a set to another one.", Run: cmdSMove},
	{Name: "SCARD", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Counts the members of a set.", Run: cmdSCard},
	{Name: "SISMEMBER", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(log N), N members",
		Summary: "Tells whether a set has a member.", Run: cmdSIsMember},
	{Name: "SMISMEMBER", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupSet, Categories: CatSet, Since: "6.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Tells for each of several members whether a set has it.", Run: cmdSMIsMember},
	{Name: "SMEMBERS", Arity: 2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N), N members",
		Tips: tipsAnyOrder, Summary: "Returns all members of a set.", Run: cmdSMembers},
	{Name: "SPOP", Arity: -2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log M), N members, M of the set",
		Tips: []string{"nondeterministic_output"}, Summary: "Removes random members from a set and returns them.",
		Run: cmdSPop},
	{Name: "SRANDMEMBER", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log M), N members, M of the set",
		Tips: []string{"nondeterministic_output"}, Summary: "Returns random members of a set.", Run: cmdSRandMember,
		Differs: "At most a million members with repetitions at a time."},
	{Name: "SSCAN", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupSet, Categories: CatSet, Since: "2.8.0", Complexity: "O(1) a call, O(N) for all, N members",
		Tips:    []string{"nondeterministic_output"},
		Summary: "Returns some members of a set, and the cursor to get the next ones with.", Run: cmdSScan,
		Differs: "A cursor is good for ever and on every node, and no member is returned twice."},
	{Name: "SINTER", Arity: -2, Flags: ReadOnly, Keys: allKeys(KeyRO|KeyAccess, 1),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N*M log L), N members of the smallest, M sets, L of the largest",
		Tips: tipsAnyOrder, Summary: "Returns the members that all of several sets have.", Run: cmdSInter},
	{Name: "SINTERCARD", Arity: -3, Flags: ReadOnly,
		Keys:  Keys{{Flags: KeyRO | KeyAccess, First: 2, KeyNum: 1, Step: 1}},
		Group: GroupSet, Categories: CatSet, Since: "7.0.0", Complexity: "O(N*M log L), N members of the smallest, M sets, L of the largest",
		Summary: "Counts the members that all of several sets have, or up to a limit of them.", Run: cmdSInterCard},
	{Name: "SINTERSTORE", Arity: -3, Flags: Write | DenyOOM, Keys: storeKeys(KeyRW | KeyUpdate),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N*M log L), N members of the smallest, M sets, L of the largest",
		Summary: "Stores the members that all of several sets have.", Run: cmdSInterStore},
	{Name: "SUNION", Arity: -2, Flags: ReadOnly, Keys: allKeys(KeyRO|KeyAccess, 1),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N), N members of all sets",
		Tips: tipsAnyOrder, Summary: "Returns the members that any of several sets has.", Run: cmdSUnion},
	{Name: "SUNIONSTORE", Arity: -3, Flags: Write | DenyOOM, Keys: storeKeys(KeyOW | KeyUpdate),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log N), N members of all sets",
		Summary: "Stores the members that any of several sets has.", Run: cmdSUnionStore},
	{Name: "SDIFF", Arity: -2, Flags: ReadOnly, Keys: allKeys(KeyRO|KeyAccess, 1),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log N), N members of all sets",
		Tips: tipsAnyOrder, Summary: "Returns the members that only the first of several sets has.", Run: cmdSDiff},
	{Name: "SDIFFSTORE", Arity: -3, Flags: Write | DenyOOM, Keys: storeKeys(KeyOW | KeyUpdate),
		Group: GroupSet, Categories: CatSet, Since: "1.0.0", Complexity: "O(N log N), N members of all sets",
		Summary: "Stores the members that only the first of several sets has.", Run: cmdSDiffStore},
}

var tipsAnyOrder = []string{"nondeterministic_output_order"}

// storeKeys is a destination and any number of sources.
func storeKeys(to KeyFlags) Keys {
	return Keys{{Flags: to, First: 1, Step: 1}, {Flags: KeyRO | KeyAccess, First: 2, Last: -1, Step: 1}}
}

// lookupSet finds the set at a key, which is empty without one. The reply is the error for a key of another type, and
// of kind None otherwise.
func lookupSet(tx *fsm.Txn, key []byte) (*fsm.SetValue, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind != fsm.Set {
		return nil, errWrongType
	}
	return tx.Set(key, row), resp.Reply{}
}

func cmdSAdd(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	s.Expect(args[2], len(args)-2)
	added := int64(0)
	for _, member := range args[2:] {
		if s.Add(member) {
			added++
		}
	}
	s.Save()
	if added > 0 {
		tx.Notify(fsm.EventSet, "sadd", args[1])
	}
	return resp.NewInt(added)
}

func cmdSRem(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return deleteElements(tx, fsm.EventSet, "srem", args[1], s, args[2:])
}

func cmdSMove(tx *fsm.Txn, args [][]byte) resp.Reply {
	if tx.Lookup(args[1]) == nil {
		return resp.NewInt(0)
	}
	from, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	to, bad := lookupSet(tx, args[2])
	if bad.IsError() {
		return bad
	}
	if bytes.Equal(args[1], args[2]) || !from.Has(args[3]) {
		return intOf(from.Has(args[3]))
	}
	from.Delete(args[3])
	from.Save()
	shrunk(tx, fsm.EventSet, "srem", args[1], from.Len())
	if to.Len() == 0 {
		to.Expect(args[3], 1)
	}
	added := to.Add(args[3])
	to.Save()
	if added {
		tx.Notify(fsm.EventSet, "sadd", args[2])
	}
	return resp.NewInt(1)
}

// intOf is Redis's answer to a question: 1 or 0.
func intOf(yes bool) resp.Reply {
	if yes {
		return resp.NewInt(1)
	}
	return resp.NewInt(0)
}

func cmdSCard(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(s.Len())
}

func cmdSIsMember(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return intOf(s.Has(args[2]))
}

func cmdSMIsMember(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	has := make([]resp.Reply, 0, len(args)-2)
	for _, member := range args[2:] {
		has = append(has, intOf(s.Has(member)))
	}
	return resp.NewArray(has)
}

func cmdSMembers(tx *fsm.Txn, args [][]byte) resp.Reply {
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	key := bytes.Clone(args[1])
	return tx.Long(resp.Set, s.Len(), func(tx *fsm.Txn, from int64, yield func(resp.Reply) bool) {
		s, _ := lookupSet(tx, key)
		s.From(from, func(member []byte) bool { return yield(resp.NewBulk(member)) })
	})
}

// bulks makes replies of what an iteration goes over.
func bulks(all func(fn func(member []byte) bool)) []resp.Reply {
	out := []resp.Reply{}
	for member := range all {
		out = append(out, resp.NewBulk(member))
	}
	return out
}

func cmdSPop(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) > 3 {
		return errSyntax
	}
	count := int64(1)
	if len(args) == 3 {
		var ok bool
		if count, ok = parseInt(args[2]); !ok || count < 0 {
			return errNotPositive
		}
	}
	s, bad := lookupSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if len(args) == 3 {
		return resp.NewSet(popMembers(tx, s, count))
	}
	if s.Len() == 0 {
		return resp.Nil
	}
	return popMembers(tx, s, 1)[0]
}

// popMembers removes random members. When few are left of many, they are put into a new set, as Redis does, which shows
// in its encoding.
func popMembers(tx *fsm.Txn, s *fsm.SetValue, count int64) []resp.Reply {
	const manyTimes = 5
	out := []resp.Reply{}
	switch n := s.Len(); {
	case count == 0 || n == 0:
		return out
	case count >= n:
		out = bulks(slices.Values(intsFirst(tx, collect(s.All))))
		tx.Delete(s.Key())
		shrunk(tx, fsm.EventSet, "spop", s.Key(), 0)
		return out
	case (n-count)*manyTimes > count:
		for _, rank := range sample(tx, n, count) {
			out = append(out, resp.NewBulk(s.At(rank)))
		}
		for _, member := range out {
			s.Delete(member.Bytes)
		}
		s.Save()
	default:
		left := sample(tx, n, n-count)
		slices.Sort(left)
		s.Retain(left, func(member []byte) { out = append(out, resp.NewBulk(member)) })
		s.Save()
	}
	tx.Notify(fsm.EventSet, "spop", s.Key())
	return out
}

func cmdSRandMember(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) > 3 {
		return errSyntax
	}
	count := int64(1)
	if len(args) == 3 {
		var ok bool
		if count, ok = parseInt(args[2]); !ok {
			return errNotInteger
		}
		if count == math.MinInt64 {
			return errCountRange
		}
	}
	s, bad := lookupSet(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case len(args) == 3:
		return drawMembers(tx, s, count)
	case s.Len() == 0:
		return resp.Nil
	}
	return resp.NewBulk(s.At(int64(tx.Rand() % uint64(s.Len()))))
}

// drawMembers draws members: count different ones, or -count with repetitions.
func drawMembers(tx *fsm.Txn, s *fsm.SetValue, count int64) resp.Reply {
	out := []resp.Reply{}
	switch n := s.Len(); {
	case n == 0 || count == 0:
	case count < -randomRepeatsMax:
		return errRange
	case count < 0:
		for range -count {
			out = append(out, resp.NewBulk(s.At(int64(tx.Rand()%uint64(n)))))
		}
	case count >= n:
		out = bulks(s.All)
	default:
		for _, rank := range sample(tx, n, count) {
			out = append(out, resp.NewBulk(s.At(rank)))
		}
	}
	return resp.NewArray(out)
}

func cmdSScan(tx *fsm.Txn, args [][]byte) resp.Reply {
	return elementScan(tx, args, lookupSet, func(s *fsm.SetValue, from uint64, show showElement) uint64 {
		return s.Scan(from, func(member []byte) bool { return show(member) })
	})
}

// setEncoding is Redis's name for how it would keep a set.
func setEncoding(s *fsm.SetValue) string {
	switch {
	case s.Intset():
		return "intset"
	case s.Large():
		return "hashtable"
	}
	return "listpack"
}
