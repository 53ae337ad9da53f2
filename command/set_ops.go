package command

import (
	"cmp"
	"iter"
	"slices"

	"redoubt/fsm"
	"redoubt/resp"
)

// lookupSets finds the sets at keys; those without one are empty.
func lookupSets(tx *fsm.Txn, keys [][]byte) ([]*fsm.SetValue, resp.Reply) {
	sets := make([]*fsm.SetValue, 0, len(keys))
	for _, key := range keys {
		s, bad := lookupSet(tx, key)
		if bad.IsError() {
			return nil, bad
		}
		sets = append(sets, s)
	}
	return sets, resp.Reply{}
}

// collect gathers what an iteration goes over.
func collect(all iter.Seq[[]byte]) (out [][]byte) {
	for member := range all {
		out = append(out, member)
	}
	return out
}

// intsFirst puts members into the order in which a set gives them to which they are added one by one: it begins as an
// intset, and goes over to a listpack with the first that is no integer.
func intsFirst(tx *fsm.Txn, members [][]byte) [][]byte {
	ints := slices.IndexFunc(members, isNoInt)
	if ints < 0 {
		ints = len(members)
	}
	if int64(ints) <= tx.Packing().IntsetEntries { // larger ones have no order
		slices.SortFunc(members[:ints], func(a, b []byte) int {
			m, _ := parseInt(a)
			n, _ := parseInt(b)
			return cmp.Compare(m, n)
		})
	}
	return members
}

func isNoInt(member []byte) bool {
	_, isInt := parseInt(member)
	return !isInt
}

// smallest is the first set with the fewest members.
func smallest(sets []*fsm.SetValue) *fsm.SetValue {
	return slices.MinFunc(sets, func(a, b *fsm.SetValue) int { return cmp.Compare(a.Len(), b.Len()) })
}

// intersection goes over the members that all sets have: it looks up those of the smallest in the others.
func intersection(sets []*fsm.SetValue) iter.Seq[[]byte] {
	sets = slices.Clone(sets)
	slices.SortStableFunc(sets, func(a, b *fsm.SetValue) int { return cmp.Compare(a.Len(), b.Len()) })
	return func(yield func([]byte) bool) {
		sets[0].All(func(member []byte) bool {
			return !inAll(sets[1:], member) || yield(member)
		})
	}
}

func inAll(sets []*fsm.SetValue, member []byte) bool {
	for _, s := range sets {
		if !s.Has(member) {
			return false
		}
	}
	return true
}

func inAny(sets []*fsm.SetValue, member []byte) bool {
	return slices.ContainsFunc(sets, func(s *fsm.SetValue) bool { return s.Has(member) })
}

// union goes over the members of all sets, some of them several times.
func union(sets []*fsm.SetValue) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		more := true
		for _, s := range sets {
			s.All(func(member []byte) bool {
				more = yield(member)
				return more
			})
			if !more {
				return
			}
		}
	}
}

// difference goes over the members of the first set that no other has.
func difference(sets []*fsm.SetValue) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		sets[0].All(func(member []byte) bool {
			return inAny(sets[1:], member) || yield(member)
		})
	}
}

// takesAway says whether Redis makes a difference by taking the members of the other sets away from a copy of the first,
// rather than by looking up those of the first in the others. The order and the encoding of the result may depend on it.
func takesAway(sets []*fsm.SetValue) bool {
	lookups, steps := int64(0), int64(0)
	for i, s := range sets {
		if i > 0 && s.Len() > 0 && string(s.Key()) == string(sets[0].Key()) {
			return false // it knows then that the result is empty
		}
		if s.Len() > 0 {
			lookups += sets[0].Len()
			steps += s.Len()
		}
	}
	return lookups/2 > steps
}

func cmdSInter(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[1:])
	if bad.IsError() {
		return bad
	}
	return resp.NewSet(bulks(intersection(sets)))
}

func cmdSInterCard(tx *fsm.Txn, args [][]byte) resp.Reply {
	numKeys, ok := parseInt(args[1])
	switch {
	case !ok || numKeys < 1:
		return errNumKeys
	case numKeys > int64(len(args)-2):
		return errTooManyKeys
	}
	limit := int64(0)
	for options := args[2+numKeys:]; len(options) > 0; options = options[2:] {
		if len(options) < 2 || !isOption(options[0], "LIMIT") {
			return errSyntax
		}
		if limit, ok = parseInt(options[1]); !ok || limit < 0 {
			return errLimit
		}
	}
	sets, bad := lookupSets(tx, args[2:2+numKeys])
	if bad.IsError() {
		return bad
	}
	count := int64(0)
	for range intersection(sets) {
		if count++; count == limit {
			break
		}
	}
	return resp.NewInt(count)
}

func cmdSInterStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[2:])
	if bad.IsError() {
		return bad
	}
	// It begins as what the smallest set is. If all of the result are integers, and not too many, it becomes an intset.
	out, members := tx.Set(args[1], nil), collect(intersection(sets))
	if !smallest(sets).Intset() {
		out.Unsorted()
	}
	out.Fill(slices.Values(members))
	if !slices.ContainsFunc(members, isNoInt) {
		out.Narrow()
	}
	out.Fill(slices.Values(members))
	return storeSet(tx, out, "sinterstore")
}

// storeSet stores a result, or deletes what is at its key when it is empty, and answers with its size.
func storeSet(tx *fsm.Txn, s *fsm.SetValue, event string) resp.Reply {
	if s.Len() == 0 {
		remove(tx, s.Key())
		return resp.NewInt(0)
	}
	s.Save()
	tx.Notify(fsm.EventSet, event, s.Key())
	return resp.NewInt(s.Len())
}

func cmdSUnion(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[1:])
	if bad.IsError() {
		return bad
	}
	seen := map[string]bool{}
	var members [][]byte
	for member := range union(sets) {
		if !seen[string(member)] {
			seen[string(member)] = true
			members = append(members, member)
		}
	}
	return resp.NewSet(bulks(slices.Values(intsFirst(tx, members))))
}

func cmdSUnionStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[2:])
	if bad.IsError() {
		return bad
	}
	out := tx.Set(args[1], nil)
	out.Fill(union(sets))
	return storeSet(tx, out, "sunionstore")
}

func cmdSDiff(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[1:])
	if bad.IsError() {
		return bad
	}
	if !takesAway(sets) {
		return resp.NewSet(bulks(slices.Values(intsFirst(tx, collect(difference(sets))))))
	}
	members := intsFirst(tx, collect(sets[0].All))
	taken := map[string]bool{}
	for member := range union(sets[1:]) {
		taken[string(member)] = true
	}
	return resp.NewSet(bulks(slices.Values(slices.DeleteFunc(members, func(m []byte) bool { return taken[string(m)] }))))
}

func cmdSDiffStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	sets, bad := lookupSets(tx, args[2:])
	if bad.IsError() {
		return bad
	}
	out := tx.Set(args[1], nil)
	if !takesAway(sets) {
		out.Fill(difference(sets))
		return storeSet(tx, out, "sdiffstore")
	}
	out.Fill(func(yield func(member []byte) bool) { sets[0].All(yield) })
	for member := range union(sets[1:]) {
		out.Delete(member)
	}
	return storeSet(tx, out, "sdiffstore")
}
