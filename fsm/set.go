package fsm

import (
	"encoding/binary"
	"iter"
	"slices"
	"sort"
	"strconv"
)

const intBytes = 8

// SetValue is the set at a key. Changes are stored by Save.
type SetValue struct {
	in     keyed  // the members, unless they are in ints
	intset bool   // only integers so far: the members are in their order
	ints   []byte // of an intset that is not in a tree: each with its sign turned, so that bytes are in order, too
}

// Set returns the set that row, of the Kind Set or nil, is at a key.
func (tx *Txn) Set(key []byte, row *Row) *SetValue {
	p := tx.Packing()
	s := &SetValue{in: tx.openKeyed(key, row, Set, p.SetEntries, p.SetValue), intset: row == nil}
	if row != nil && len(row.Value) > 0 && row.Value[0]&formInts != 0 {
		s.intset = true
		if s.in.trees != nil {
			s.in.treeKey = treeInt
		} else {
			s.ints = row.Value[1:]
			s.in.count = uint64(len(s.ints) / intBytes)
		}
	}
	return s
}

// treeInt is the key of a member in the tree of an intset: in the order of the numbers.
func treeInt(member []byte) []byte {
	n, _ := ParseInt(member)
	return append(appendInt(make([]byte, 0, intBytes+len(member)), n), member...)
}

func appendInt(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// Key is where the set is, or is going to be.
func (s *SetValue) Key() []byte { return s.in.key }

// Len is the number of members.
func (s *SetValue) Len() int64 { return s.in.Len() }

// Large says whether Redis would keep the set in a hash table.
func (s *SetValue) Large() bool { return s.in.large }

// Intset says whether Redis would keep the set in an intset.
func (s *SetValue) Intset() bool { return s.intset }

func (s *SetValue) int(i int) int64 {
	return int64(binary.BigEndian.Uint64(s.ints[i*intBytes:]) ^ 1<<63)
}

// searchInt is the place of an integer of an intset, or where it would be.
func (s *SetValue) searchInt(n int64) (i int, found bool) {
	count := len(s.ints) / intBytes
	i = sort.Search(count, func(i int) bool { return s.int(i) >= n })
	return i, i < count && s.int(i) == n
}

// inRow says whether the members are in ints.
func (s *SetValue) inRow() bool { return s.intset && s.in.trees == nil }

// Has says whether the set has a member.
func (s *SetValue) Has(member []byte) bool {
	if s.intset {
		n, ok := ParseInt(member)
		if !ok {
			return false
		}
		if s.inRow() {
			_, ok = s.searchInt(n)
			return ok
		}
	}
	_, found := s.in.Get(member)
	return found
}

// Add adds a member, and says whether it is new.
func (s *SetValue) Add(member []byte) bool {
	if !s.intset {
		return s.in.Add(member)
	}
	n, ok := ParseInt(member)
	switch {
	case !ok:
		s.convert(s.leavesLarge())
		return s.in.Set(member, nil)
	case s.inRow():
		i, found := s.searchInt(n)
		if found {
			return false
		}
		at := i * intBytes
		ints := append(make([]byte, 0, len(s.ints)+intBytes), s.ints[:at]...)
		s.ints = append(appendInt(ints, n), s.ints[at:]...)
		s.in.count++
	case s.Has(member):
		return false
	default:
		s.insertInt(member)
		s.in.count++
	}
	s.in.dirty = true
	if int64(s.in.count) > s.in.tx.Packing().IntsetEntries {
		s.convert(true)
	} else if len(s.ints) > packedBytesMax {
		s.spreadInts()
	}
	return true
}

// longestInt is how long the largest or the smallest member of an intset is.
func (s *SetValue) longestInt() int64 {
	if s.Len() == 0 {
		return 0
	}
	return int64(max(len(s.At(0)), len(s.At(s.Len()-1))))
}

// insertInt puts an integer into the tree of an intset.
func (s *SetValue) insertInt(member []byte) {
	var c cursor
	at := treeInt(member)
	s.in.tree().seek(&c, at)
	c.insert(at, nil)
}

// spreadInts makes a tree of an intset, which goes on to be one.
func (s *SetValue) spreadInts() {
	members := *s
	s.in.trees, s.in.treeKey, s.ints = s.in.tx.newTrees(), treeInt, nil
	b := s.in.tree().build()
	members.All(func(member []byte) bool {
		b.add(treeInt(member), nil)
		return true
	})
	b.end()
}

// Fill adds all members of a set that has none, as Add would one after the other, but in one go however many there are.
func (s *SetValue) Fill(members iter.Seq[[]byte]) {
	for member := range members {
		if s.intset {
			_, isInt := ParseInt(member)
			if isInt && (int64(s.in.count) < s.in.tx.Packing().IntsetEntries || s.Has(member)) {
				s.Add(member)
				continue
			}
			large := isInt || s.leavesLarge()
			s.noInts()
			s.in.large = s.in.large || large
		}
		s.in.append(member, nil)
	}
	if !s.intset {
		s.in.filled()
	}
}

// leavesLarge says whether an intset to which something else is added does not fit into a listpack.
func (s *SetValue) leavesLarge() bool {
	return int64(s.in.count) >= s.in.most || s.longestInt() > s.in.longest
}

// convert makes an intset a set that is not, and large if it is said so.
func (s *SetValue) convert(large bool) {
	s.noInts()
	s.enlarge(large)
}

// noInts makes an intset a packed set.
func (s *SetValue) noInts() {
	var packed []byte
	s.All(func(member []byte) bool {
		packed = appendPacked(packed, member, nil)
		return true
	})
	if t := s.in.trees; t != nil && t.root != s.in.row.root() {
		t.drop() // those that the stored row has are dropped when it is replaced
	}
	s.in.packed, s.in.trees, s.in.treeKey = packed, nil, treeField
	s.intset, s.ints = false, nil
}

func (s *SetValue) enlarge(large bool) {
	s.in.dirty = true
	s.in.large = s.in.large || large
	if s.in.trees == nil && s.in.tooLong(len(s.in.packed)) {
		s.in.spread()
	}
}

// Expect says how many members are going to be added, and the first of them. Redis makes a hash table for as many as
// would not fit otherwise, even if some turn out to be there already.
func (s *SetValue) Expect(first []byte, count int) {
	most := s.in.most
	if _, isInt := ParseInt(first); s.intset && (s.Len() > 0 || isInt) {
		most = s.in.tx.Packing().IntsetEntries
	}
	switch n := int64(count); {
	case s.in.large || n <= most:
	case s.intset && s.Len() == 0:
		s.intset = false // not even if they would fit into an intset
		s.enlarge(n > s.in.most)
	case s.intset:
		s.convert(true)
	default:
		s.enlarge(true)
	}
}

// Restored says how many members a set without any is going to be given that were not in a listpack.
func (s *SetValue) Restored(count int) {
	if int64(count) > s.in.tx.Packing().IntsetEntries {
		s.convert(true)
	}
}

// Narrow makes an intset of a set that has nothing but integers, if they are not too many for it.
func (s *SetValue) Narrow() {
	if s.intset || s.Len() > s.in.tx.Packing().IntsetEntries {
		return
	}
	next := &SetValue{in: s.fresh(), intset: true}
	s.All(func(member []byte) bool {
		next.Add(member)
		return true
	})
	if s.in.trees != nil {
		s.in.trees.drop()
	}
	*s = *next
}

// fresh is a set without members in the place of this one.
func (s *SetValue) fresh() keyed {
	return keyed{tx: s.in.tx, key: s.in.key, row: s.in.row, dirty: true, most: s.in.most, longest: s.in.longest, treeKey: treeField}
}

// AnyLength is for members that Redis takes over as a listpack: it does not look at their lengths.
func (s *SetValue) AnyLength() { s.in.AnyLength() }

// Unsorted makes an empty set one that keeps its members in the order in which they come, even if they are integers.
func (s *SetValue) Unsorted() { s.intset = false }

// Remove removes a member, and says whether it was there.
func (s *SetValue) Delete(member []byte) bool {
	if !s.intset {
		return s.in.Delete(member)
	}
	n, ok := ParseInt(member)
	switch {
	case !ok:
		return false
	case !s.inRow():
		return s.in.Delete(member)
	}
	i, found := s.searchInt(n)
	if !found {
		return false
	}
	at := i * intBytes
	s.ints = append(append(make([]byte, 0, len(s.ints)), s.ints[:at]...), s.ints[at+intBytes:]...)
	s.in.count--
	s.in.dirty = true
	return true
}

// Retain removes all members but those of some ranks, which are in order and below Len, and gives what it removes to
// fn. What is left is as in a new set: not large if there is no need to.
func (s *SetValue) Retain(ranks []int64, fn func(member []byte)) {
	old := *s
	s.in, s.ints = s.fresh(), nil
	rank := int64(0)
	old.All(func(member []byte) bool {
		if len(ranks) > 0 && ranks[0] == rank {
			ranks = ranks[1:]
			s.Add(member)
		} else {
			fn(member)
		}
		rank++
		return true
	})
}

// Save stores what was changed. An empty set is deleted.
func (s *SetValue) Save() {
	if !s.intset || !s.in.dirty || s.in.count == 0 {
		s.in.Save()
		return
	}
	if s.inRow() {
		s.in.row.Value = append(append(make([]byte, 0, 1+len(s.ints)), formInts), s.ints...)
	} else {
		s.in.row.Value = s.in.trees.value(formInts)
	}
	s.in.tx.Keep(s.in.key, s.in.row)
}

// All goes over all members until fn returns false.
func (s *SetValue) All(fn func(member []byte) bool) { s.From(0, fn) }

// From goes over the members from a rank on until fn returns false.
func (s *SetValue) From(rank int64, fn func(member []byte) bool) {
	if !s.inRow() {
		s.in.From(rank, func(member, _ []byte) bool { return fn(member) })
		return
	}
	var text []byte // of all members: one allocation for many
	for i := int(rank); i < len(s.ints)/intBytes; i++ {
		start := len(text)
		text = strconv.AppendInt(text, s.int(i), 10)
		if !fn(slices.Clip(text[start:])) {
			return
		}
	}
}

// At returns the member of a rank below Len, in the order of All.
func (s *SetValue) At(rank int64) (member []byte) {
	if s.inRow() {
		return strconv.AppendInt(nil, s.int(int(rank)), 10)
	}
	member, _ = s.in.At(rank)
	return member
}

// Scan is All from a cursor on, see HashValue.
func (s *SetValue) Scan(from uint64, fn func(member []byte) bool) (next uint64) {
	if !s.inRow() {
		return s.in.Scan(from, func(member, _ []byte) bool { return fn(member) })
	}
	s.All(func(member []byte) bool { fn(member); return true })
	return 0
}
