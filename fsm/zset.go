package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
)

// scoreBytes is the size of a score, and packedScore what a packed member takes beside its own bytes: at most.
const (
	scoreBytes  = 8
	packedScore = 1 + scoreBytes + binary.MaxVarintLen32
)

// ScoredMember is an element of a sorted set.
type ScoredMember struct {
	Member []byte
	Score  float64
}

// Compare orders elements as a sorted set does: by score, those of one score by their bytes. The two zeros are one score.
func (m ScoredMember) Compare(other ScoredMember) int {
	switch {
	case m.Score < other.Score:
		return -1
	case m.Score > other.Score:
		return 1
	}
	return bytes.Compare(m.Member, other.Member)
}

// ZSetValue is the sorted set at a key. Changes are stored by Save.
//
// Packed, the members are in the row in their order, each with the bits of its score. In pages there are two trees: one
// has the scores, by the hash of the member and the member, the other one the members, by score and member.
type ZSetValue struct {
	tx     *Txn
	key    []byte
	row    Row // Kind 0: there was none
	large  bool
	packed []ScoredMember // in order; of no use in trees
	bytes  int            // that the packed members take, at most
	trees  *trees         // nil if packed
	dirty  bool

	anyLength bool // see Restored
}

// ZSet returns the sorted set that row, of the Kind ZSet or nil, is at a key.
func (tx *Txn) ZSet(key []byte, row *Row) *ZSetValue {
	z := &ZSetValue{tx: tx, key: key}
	if row == nil {
		return z
	}
	z.row = *row
	switch {
	case len(row.Value) == 0:
		tx.fail(fmt.Errorf("key %q: %w", shorten(key), errCollection))
	case row.root() != 0:
		z.trees, z.large = tx.openTrees(row.Value), row.Value[0]&formLarge != 0
	default:
		z.large = row.Value[0]&formLarge != 0
		z.unpack(row.Value[1:])
	}
	return z
}

// StoreZSet puts a new sorted set of these members, which are all different, at a key, in place of what is there. Without
// members the key is deleted.
func (tx *Txn) StoreZSet(key []byte, members []ScoredMember) {
	z := &ZSetValue{tx: tx, key: key, dirty: true, packed: slices.Clone(members)}
	z.Expect(len(members))
	for _, m := range members {
		z.large = z.large || int64(len(m.Member)) > tx.Packing().ZSetValue
		z.bytes += len(m.Member) + packedScore
	}
	for i := range z.packed {
		if m := &z.packed[i]; m.Score == 0 && !z.large {
			m.Score = 0 // a listpack has no -0
		}
	}
	slices.SortFunc(z.packed, ScoredMember.Compare)
	if z.bytes > packedBytes && (z.large || z.bytes > packedBytesMax) {
		z.spread()
	}
	z.Save()
}

func (z *ZSetValue) unpack(b []byte) {
	z.bytes = len(b)
	count := 0
	for range packedEntries(b) {
		count++
	}
	z.packed = make([]ScoredMember, 0, count+1)
	for _, kv := range packedEntries(b) {
		if len(kv[1]) != scoreBytes {
			z.tx.fail(fmt.Errorf("key %q: %w", shorten(z.key), errCollection))
			return
		}
		z.packed = append(z.packed, ScoredMember{kv[0], scoreOf(kv[1])})
	}
}

func scoreOf(b []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(b)) }

func appendScore(dst []byte, score float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(score))
}

// treeScore is the key of a member in the tree that is in order of scores: eight bytes that are in this order, and the
// member. The two zeros are the same key, so that the value says which one it is.
func treeScore(m ScoredMember) []byte {
	bits := math.Float64bits(m.Score)
	switch {
	case m.Score == 0:
		bits = 1 << 63
	case bits>>63 == 0:
		bits |= 1 << 63
	default:
		bits = ^bits
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, scoreBytes+len(m.Member)), bits)
	return append(b, m.Member...)
}

// zeroSign is the value of a member in the tree of scores: it tells -0 from 0.
func zeroSign(score float64) []byte {
	if score == 0 && math.Signbit(score) {
		return negativeZero
	}
	return nil
}

var negativeZero = []byte{1}

// scored is the element at a place in the tree of scores.
func (c *cursor) scored() ScoredMember {
	key, value := c.leaf().n.split(c.leaf().i)
	m := scoredKey(key)
	if len(value) > 0 {
		m.Score = math.Copysign(0, -1)
	}
	return m
}

// scoredKey is the element with a key in the tree of scores, whatever zero its score is. The keys of branches may be cut
// short: they stand for the first element that they could begin.
func scoredKey(key []byte) ScoredMember {
	var score [scoreBytes]byte
	n := copy(score[:], key)
	bits := binary.BigEndian.Uint64(score[:])
	if bits>>63 != 0 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	return ScoredMember{key[n:], math.Float64frombits(bits)}
}

func (z *ZSetValue) byMember() *tree { return &z.trees.tree[0] }
func (z *ZSetValue) byScore() *tree  { return &z.trees.tree[1] }

// Len is the number of members.
func (z *ZSetValue) Len() int64 {
	if z.trees != nil {
		return int64(z.byScore().count)
	}
	return int64(len(z.packed))
}

// Large says whether Redis would not keep the set in a listpack any more.
func (z *ZSetValue) Large() bool { return z.large }

// Expect says how many members are about to be set, some of which may be there. Redis does not pack a set of which it
// expects that it becomes large.
func (z *ZSetValue) Expect(members int) {
	if int64(members) > z.tx.Packing().ZSetEntries && !z.large {
		z.large, z.dirty = true, true
	}
}

// Restored says that the set, which has no member yet, is one that Redis takes over as a listpack: it does not look at the
// lengths of members.
func (z *ZSetValue) Restored() { z.anyLength = true }

// Score returns the score of a member, and whether it is there.
func (z *ZSetValue) Score(member []byte) (float64, bool) {
	if z.trees == nil {
		if i := z.find(member); i >= 0 {
			return z.packed[i].Score, true
		}
		return 0, false
	}
	var c cursor
	if z.byMember().seek(&c, treeField(member)) {
		return z.treeScoreAt(&c), true
	}
	return 0, false
}

// treeScoreAt is the score at a place in the tree of members.
func (z *ZSetValue) treeScoreAt(c *cursor) float64 {
	value := c.value()
	if len(value) != scoreBytes {
		z.tx.fail(errCollection)
		return 0
	}
	return scoreOf(value)
}

// find is the place of a member among the packed ones, or -1.
func (z *ZSetValue) find(member []byte) int {
	return slices.IndexFunc(z.packed, func(m ScoredMember) bool { return bytes.Equal(m.Member, member) })
}

// Rank returns the place of a member in the order of the set, from 0 on, and its score.
func (z *ZSetValue) Rank(member []byte) (rank int64, score float64, found bool) {
	if z.trees == nil {
		i := z.find(member)
		if i < 0 {
			return 0, 0, false
		}
		return int64(i), z.packed[i].Score, true
	}
	if score, found = z.Score(member); !found {
		return 0, 0, false
	}
	var c cursor
	z.byScore().seek(&c, treeScore(ScoredMember{member, score}))
	return int64(c.rank()), score, true
}

// Set gives a member a score, which is not NaN.
func (z *ZSetValue) Set(member []byte, score float64) {
	z.Update(member, func(float64, bool) (float64, bool) { return score, true })
}

// Update gives a member the score that change returns, if it returns one. change learns the score that the member has, if
// it is there. A score that is equal to the old one changes nothing.
func (z *ZSetValue) Update(member []byte, change func(old float64, found bool) (score float64, set bool)) {
	if z.trees == nil {
		if i := z.find(member); i >= 0 {
			old := z.packed[i]
			if score, set := change(old.Score, true); set && score != old.Score {
				z.packed = slices.Delete(z.packed, i, i+1)
				z.insert(ScoredMember{old.Member, score})
			}
			return
		}
		score, set := change(0, false)
		if !set {
			return
		}
		z.grow(member)
		size := z.bytes + len(member) + packedScore
		if size <= packedBytes || !z.large && size <= packedBytesMax {
			z.bytes = size
			z.insert(ScoredMember{member, score})
			return
		}
		z.spread()
		change = func(float64, bool) (float64, bool) { return score, true }
	}
	z.updateTrees(member, change)
}

// grow notes that a member is about to be added: that may make the set large.
func (z *ZSetValue) grow(member []byte) {
	p := z.tx.Packing()
	z.large = z.large || z.Len() >= p.ZSetEntries || !z.anyLength && int64(len(member)) > p.ZSetValue
}

// kept is a score as the set keeps it: a listpack has no -0.
func (z *ZSetValue) kept(score float64) float64 {
	if score == 0 && !z.large {
		return 0
	}
	return score
}

// insert puts an element where it belongs among the packed ones.
func (z *ZSetValue) insert(m ScoredMember) {
	z.dirty = true
	m.Score = z.kept(m.Score)
	i := sort.Search(len(z.packed), func(i int) bool { return z.packed[i].Compare(m) > 0 })
	z.packed = slices.Insert(z.packed, i, m)
}

func (z *ZSetValue) updateTrees(member []byte, change func(old float64, found bool) (score float64, set bool)) {
	var c cursor
	field := treeField(member)
	if !z.byMember().seek(&c, field) {
		if score, set := change(0, false); set {
			z.grow(member)
			score = z.kept(score)
			c.insert(field, appendScore(nil, score))
			z.insertScore(ScoredMember{member, score})
		}
		return
	}
	old := z.treeScoreAt(&c)
	score, set := change(old, true)
	if !set || score == old {
		return
	}
	score = z.kept(score)
	c.set(appendScore(nil, score))
	z.dirty = true
	if !z.byScore().seek(&c, treeScore(ScoredMember{member, old})) {
		z.tx.fail(errCollection)
		return
	}
	c.move(treeScore(ScoredMember{member, score}), zeroSign(score))
}

func (z *ZSetValue) insertScore(m ScoredMember) {
	z.dirty = true
	var c cursor
	key := treeScore(m)
	z.byScore().seek(&c, key)
	c.insert(key, zeroSign(m.Score))
}

func (z *ZSetValue) removeScore(m ScoredMember) {
	z.dirty = true
	var c cursor
	if z.byScore().seek(&c, treeScore(m)) {
		c.remove()
	} else {
		z.tx.fail(errCollection)
	}
}

// spread makes trees of a packed set.
func (z *ZSetValue) spread() {
	z.trees = z.tx.newTrees()
	all := make([]hashed, len(z.packed))
	scores := z.byScore().build()
	for i, m := range z.packed {
		all[i] = hashed{keyHash(m.Member), i}
		scores.add(treeScore(m), zeroSign(m.Score))
	}
	scores.end()
	members := z.byMember().build()
	var field, score []byte
	for _, h := range sortHashed(all, func(at int) []byte { return z.packed[at].Member }) {
		m := z.packed[h.at]
		field, score = h.field(field[:0], m.Member), appendScore(score[:0], m.Score)
		members.add(field, score)
	}
	members.end()
	z.packed = nil
}

// Delete removes a member, and says whether it was there.
func (z *ZSetValue) Delete(member []byte) bool {
	if z.trees == nil {
		i := z.find(member)
		if i >= 0 {
			z.deletePacked(i, i+1)
		}
		return i >= 0
	}
	var c cursor
	if !z.byMember().seek(&c, treeField(member)) {
		return false
	}
	score := z.treeScoreAt(&c)
	c.remove()
	z.removeScore(ScoredMember{member, score})
	return true
}

func (z *ZSetValue) deletePacked(from, to int) {
	for _, m := range z.packed[from:to] {
		z.bytes -= len(m.Member) + 1 + scoreBytes
	}
	z.packed = slices.Delete(z.packed, from, to)
	z.dirty = true
}

// DeleteRange removes the members from one rank to before another one.
func (z *ZSetValue) DeleteRange(from, to int64) {
	if z.trees == nil {
		if from < to {
			z.deletePacked(int(from), int(to))
		}
		return
	}
	z.dirty = z.dirty || from < to
	z.byScore().removeRange(uint64(from), uint64(to), func(key, _ []byte) {
		var c cursor
		if z.byMember().seek(&c, treeField(scoredKey(key).Member)) {
			c.remove()
		} else {
			z.tx.fail(errCollection)
		}
	})
}

// Save stores what was changed. A set without members is deleted.
func (z *ZSetValue) Save() {
	switch {
	case !z.dirty:
		return
	case z.Len() == 0:
		z.tx.Delete(z.key)
		return
	}
	z.row.Kind = ZSet
	form := byte(formPacked)
	if z.large {
		form = formLarge
	}
	if z.trees != nil {
		z.row.Value = z.trees.value(form)
	} else {
		z.row.Value = z.pack(form)
	}
	z.tx.Keep(z.key, z.row)
}

func (z *ZSetValue) pack(form byte) []byte {
	b := append(make([]byte, 0, 1+z.bytes), form)
	var score [scoreBytes]byte
	for _, m := range z.packed {
		b = appendPacked(b, m.Member, appendScore(score[:0], m.Score))
	}
	return b
}

// Ascend goes over the members from a rank on until fn returns false.
func (z *ZSetValue) Ascend(from int64, fn func(m ScoredMember) bool) {
	if z.trees == nil {
		for i := from; i < z.Len(); i++ {
			if !fn(z.packed[i]) {
				return
			}
		}
		return
	}
	var c cursor
	for z.byScore().seekRank(&c, uint64(from)); c.valid(); c.forward() {
		if !fn(c.scored()) {
			return
		}
	}
}

// Descend goes back over the members from a rank on until fn returns false.
func (z *ZSetValue) Descend(from int64, fn func(m ScoredMember) bool) {
	if z.trees == nil {
		for i := from; i >= 0; i-- {
			if !fn(z.packed[i]) {
				return
			}
		}
		return
	}
	var c cursor
	z.byScore().seekRank(&c, uint64(from+1))
	for c.back() && fn(c.scored()) {
	}
}

// First returns the lowest rank, not below from, of a member for which is returns true, or Len. In a tree it takes for
// granted that is returns true for all that follow.
func (z *ZSetValue) First(from int64, is func(m ScoredMember) bool) int64 {
	if z.trees == nil {
		for from < z.Len() && !is(z.packed[from]) {
			from++
		}
		return from
	}
	var c cursor
	c.descend(z.byScore(), func(n node) int {
		if n.level() > 0 {
			return sort.Search(n.len()-1, func(i int) bool { return is(scoredKey(n.child(i + 1).key)) })
		}
		return sort.Search(n.len(), func(i int) bool { return is(scoredKey(n.key(i))) })
	})
	return max(from, int64(c.rank()))
}

// Last returns the highest rank, below before, of a member for which is returns true, or -1. In a tree it takes for
// granted that is returns true for all that precede.
func (z *ZSetValue) Last(before int64, is func(m ScoredMember) bool) int64 {
	if z.trees == nil {
		for before--; before >= 0 && !is(z.packed[before]); before-- {
		}
		return before
	}
	return min(before, z.First(0, func(m ScoredMember) bool { return !is(m) })) - 1
}

// Scan goes over members from a cursor on, 0 being the beginning, until fn returns false, and returns the cursor to go on
// from, 0 after the last member. A member that is there all the while is met exactly once. A packed set is shown as a
// whole.
func (z *ZSetValue) Scan(from uint64, fn func(m ScoredMember) bool) (next uint64) {
	if z.trees == nil {
		for _, m := range z.packed {
			fn(m)
		}
		return 0
	}
	return z.byMember().scan(from, func(member, score []byte) bool { return fn(ScoredMember{member, scoreOf(score)}) })
}
