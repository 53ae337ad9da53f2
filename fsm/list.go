package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Redis keeps a list in a listpack until that would have more bytes or elements than Packing.ListSize says, and again when
// elements were taken out and it has no more than half of that. It shows in OBJECT ENCODING; how a list is kept here is
// another matter.
const (
	listpackBytesMin  = 4 << 10 // of the class -1; each of the next four has twice as many
	listClasses       = 5
	listpackBytesSafe = 8 << 10 // if it is elements that are bounded
	listpackOverhead  = 7       // of a listpack without elements
)

// listLimits are how many bytes and elements Redis keeps in a listpack.
func listLimits(size int64) (bytes, elements uint64) {
	if size < 0 {
		return listpackBytesMin << (min(-size, listClasses) - 1), math.MaxUint64
	}
	return math.MaxUint64, uint64(max(size, 1))
}

// The value of a row of a packed list: form 1, elements 4, their bytes in a listpack 4, and the elements, each after its
// length. A list in a tree has the bytes in a listpack in what the row holds beside the tree.
const (
	listHead = 1 + 4 + 4
	// listUnspreadBytes is how few bytes of listpack a list in pages has when it is packed again.
	listUnspreadBytes = packedBytes / 4
	// listBatch is how many elements are moved at a time from one tree to another.
	listBatch = 10_000
)

// ListValue is the list at a key. Changes are stored by Save.
type ListValue struct {
	tx    *Txn
	key   []byte
	row   Row // Kind 0: there was none
	large bool
	value []byte // of a packed list: the row's, whose head Save writes
	count uint64
	size  uint64 // of the elements in a listpack
	trees *trees // nil if packed
	dirty bool
}

// List returns the list that row, of the Kind List or nil, is at a key.
func (tx *Txn) List(key []byte, row *Row) *ListValue {
	l := &ListValue{tx: tx, key: key}
	if row == nil {
		l.value = make([]byte, listHead)
		return l
	}
	l.row = *row
	switch {
	case len(row.Value) < listHead:
		tx.fail(fmt.Errorf("key %q: %w", shorten(key), errCollection))
		l.value = make([]byte, listHead)
	case row.root() != 0:
		l.trees = tx.openTrees(row.Value)
		l.count = l.tree().count
		if len(l.trees.rest) != 8 {
			tx.fail(fmt.Errorf("key %q: %w", shorten(key), errCollection))
			return l
		}
		l.size = binary.BigEndian.Uint64(l.trees.rest)
		l.large = row.Value[0]&formLarge != 0
	default:
		l.value = row.Value
		l.large = row.Value[0]&formLarge != 0
		l.count = uint64(binary.BigEndian.Uint32(row.Value[1:]))
		l.size = uint64(binary.BigEndian.Uint32(row.Value[5:]))
	}
	return l
}

func (l *ListValue) tree() *tree    { return &l.trees.tree[0] }
func (l *ListValue) packed() []byte { return l.value[listHead:] }

// Len is the number of elements.
func (l *ListValue) Len() int64 { return int64(l.count) }

// Large says whether Redis would not keep the list in a listpack.
func (l *ListValue) Large() bool { return l.large }

// listpackBytes is how long an element is in a listpack of Redis.
func listpackBytes(value []byte) uint64 {
	size := uint64(len(value))
	if n, ok := ParseInt(value); ok {
		return listpackInt(n)
	}
	switch {
	case size < 1<<6:
		size++
	case size < 1<<12:
		size += 2
	default:
		size += 5
	}
	switch { // after it, so that it can be read from the end
	case size < 1<<7:
		return size + 1
	case size < 1<<14-1:
		return size + 2
	case size < 1<<21-1:
		return size + 3
	case size < 1<<28-1:
		return size + 4
	}
	return size + 5
}

// listpackInt is how long an integer is in one.
func listpackInt(n int64) uint64 {
	switch {
	case n >= 0 && n < 1<<7:
		return 1 + 1
	case n >= -1<<12 && n < 1<<12:
		return 2 + 1
	case n >= -1<<15 && n < 1<<15:
		return 3 + 1
	case n >= -1<<23 && n < 1<<23:
		return 4 + 1
	case n >= -1<<31 && n < 1<<31:
		return 5 + 1
	}
	return 9 + 1
}

// Reserve notes that a client is about to add elements, so many with so many bytes: that decides, before anything is added,
// whether Redis would go on with a listpack.
func (l *ListValue) Reserve(elements, bytes int) {
	maxBytes, maxElements := listLimits(l.tx.Packing().ListSize)
	if maxBytes == math.MaxUint64 {
		maxBytes = listpackBytesSafe
	}
	if !l.large && (listpackOverhead+l.size+uint64(bytes) > maxBytes || l.count+uint64(elements) > maxElements) {
		l.SetLarge()
	}
}

// SetLarge says that Redis would not keep the list in a listpack.
func (l *ListValue) SetLarge() { l.large, l.dirty = true, true }

// shrunk notes that elements were taken out. More than one that are too long together are not in one listpack.
func (l *ListValue) shrunk() {
	maxBytes, maxElements := listLimits(l.tx.Packing().ListSize)
	if maxBytes == math.MaxUint64 && l.count > 1 {
		maxBytes = 2 * listpackBytesSafe
	}
	if l.large && listpackOverhead+l.size <= maxBytes/2 && l.count <= maxElements/2 {
		l.large, l.dirty = false, true
	}
}

// packedElements goes over the elements of a packed list, with the places where each begins and ends.
func packedElements(b []byte) func(yield func(place [2]int, value []byte) bool) {
	return func(yield func(place [2]int, value []byte) bool) {
		for at := 0; at < len(b); {
			value, n := packedBytesAt(b[at:])
			if n == 0 || !yield([2]int{at, at + n}, value) {
				return
			}
			at += n
		}
	}
}

// place is where an element of a packed list begins, or where the last one ends.
func (l *ListValue) place(index uint64) int {
	switch index {
	case 0:
		return 0
	case l.count:
		return len(l.packed())
	}
	for place := range packedElements(l.packed()) {
		if index == 0 {
			return place[0]
		}
		index--
	}
	return len(l.packed())
}

// splice puts values in place of the bytes from i to before j of a packed list. It is false, and nothing is done, if it
// would be too large then.
func (l *ListValue) splice(i, j int, values ...[]byte) bool {
	old := l.packed()
	size := len(old) - (j - i)
	for _, v := range values {
		size += len(v) + 1
		if len(v) >= 1<<7 {
			size++
		}
	}
	if size > packedBytes && len(values) > 0 {
		return false
	}
	out := append(make([]byte, listHead, listHead+size), old[:i]...)
	for _, v := range values {
		out = append(binary.AppendUvarint(out, uint64(len(v))), v...)
	}
	l.value = append(out, old[j:]...)
	return true
}

// spread makes a tree of a packed list.
func (l *ListValue) spread() {
	values := make([][]byte, 0, l.count)
	for _, value := range packedElements(l.packed()) {
		values = append(values, value)
	}
	l.trees, l.value = l.tx.newTrees(), nil
	if len(values) > 0 {
		var c cursor
		l.tree().seekRank(&c, 0)
		c.insertValues(values)
	}
}

// unspread packs a list again. There is room: what takes a byte in a listpack takes a little more than two at most.
func (l *ListValue) unspread() {
	var values [][]byte
	l.Each(0, false, func(_ int64, value []byte) bool {
		values = append(values, value)
		return true
	})
	l.setTrees(nil)
	l.value = make([]byte, listHead)
	l.splice(0, 0, values...)
}

// setTrees puts other trees, or none, in place of those of the list. Pages that the stored row has are dropped when that is
// replaced, others that were made since have to be dropped here.
func (l *ListValue) setTrees(trees *trees) {
	if l.trees != nil && l.trees.root != l.row.root() {
		l.trees.drop()
	}
	l.trees = trees
}

// insert puts values before the element of an index.
func (l *ListValue) insert(index uint64, values [][]byte) {
	l.dirty = true
	if l.trees == nil {
		place := l.place(index)
		if !l.splice(place, place, values...) {
			l.spread()
		}
	}
	if l.trees != nil {
		var c cursor
		l.tree().seekRank(&c, index)
		c.insertValues(values)
	}
	for _, v := range values {
		l.size += listpackBytes(v)
	}
	l.count += uint64(len(values))
}

// Push adds elements one after the other at the head or at the tail.
func (l *ListValue) Push(head bool, values ...[]byte) {
	bytes := 0
	for _, v := range values {
		bytes += len(v)
	}
	l.Reserve(len(values), bytes)
	if !head {
		l.insert(l.count, values)
		return
	}
	if len(values) > 1 {
		values = slices.Clone(values)
		slices.Reverse(values)
	}
	l.insert(0, values)
}

// At returns the element of an index below Len.
func (l *ListValue) At(index int64) (value []byte) {
	l.Each(index, false, func(_ int64, v []byte) bool {
		value = v
		return false
	})
	return value
}

// Each goes over the elements from an index on, to the tail or back to the head, until fn returns false.
func (l *ListValue) Each(from int64, back bool, fn func(index int64, value []byte) bool) {
	if from < 0 || from >= l.Len() {
		return
	}
	if l.trees == nil {
		l.eachPacked(from, back, fn)
		return
	}
	var c cursor
	l.tree().seekRank(&c, uint64(from))
	if !back {
		for ; c.valid() && fn(from, c.value()); from++ {
			c.forward()
		}
		return
	}
	for ok := c.valid(); ok && fn(from, c.value()); from-- {
		ok = c.back()
	}
}

func (l *ListValue) eachPacked(from int64, back bool, fn func(index int64, value []byte) bool) {
	if !back {
		for _, value := range packedElements(l.packed()[l.place(uint64(from)):]) {
			if !fn(from, value) {
				return
			}
			from++
		}
		return
	}
	values := make([][]byte, 0, from+1)
	for _, value := range packedElements(l.packed()) {
		if values = append(values, value); len(values) > int(from) {
			break
		}
	}
	for i := len(values) - 1; i >= 0 && fn(int64(i), values[i]); i-- {
	}
}

// Set replaces the element of an index below Len.
func (l *ListValue) Set(index int64, value []byte) {
	l.Reserve(1, len(value))
	l.dirty = true
	var old []byte
	if l.trees == nil {
		from, n := l.place(uint64(index)), 0
		old, n = packedBytesAt(l.packed()[from:])
		if !l.splice(from, from+n, value) {
			l.spread()
		}
	}
	if l.trees != nil {
		var c cursor
		if l.tree().seekRank(&c, uint64(index)); c.valid() {
			old = c.value()
			c.set(value)
		}
	}
	l.size += listpackBytes(value) - listpackBytes(old)
	l.shrunk()
}

// Append puts elements at the end of a new list whose form does not depend on how it grew, but on what there is in the end.
// Redis makes it of listpacks of the default size, and keeps that of the first if there is no other.
func (l *ListValue) Append(values ...[]byte) {
	l.insert(l.count, values)
	if l.Reserve(0, 0); listpackOverhead+l.size > listpackBytesSafe {
		l.SetLarge()
	}
}

// Fill puts all elements of a list that had none. Reserve is for the caller to call.
func (l *ListValue) Fill(elements [][]byte) { l.insert(0, elements) }

// Insert puts an element before the one of an index, or after the last one. Reserve is for the caller to call.
func (l *ListValue) Insert(index int64, value []byte) { l.insert(uint64(index), [][]byte{value}) }

// Pop takes the first or the last element of a list that has some out.
func (l *ListValue) Pop(head bool) (value []byte) {
	index := uint64(0)
	if !head {
		index = l.count - 1
	}
	if l.trees != nil {
		var c cursor
		if l.tree().seekRank(&c, index); !c.valid() {
			return nil
		}
		value = c.value()
		c.remove()
	} else {
		from, n := l.place(index), 0
		value, n = packedBytesAt(l.packed()[from:])
		l.splice(from, from+n)
	}
	l.count--
	l.size -= listpackBytes(value)
	l.dirty = true
	l.shrunk()
	return value
}

// Touch has a list that exists count as changed, for those who watch its key.
func (l *ListValue) Touch() { l.dirty = l.dirty || l.count > 0 }

// Trim leaves the elements from one index to before another, both at most Len.
func (l *ListValue) Trim(from, to int64) {
	kept := uint64(to - from)
	l.dirty = l.dirty || kept < l.count
	switch {
	case kept == l.count:
	case kept == 0:
		l.setTrees(nil)
		l.value, l.count, l.size = make([]byte, listHead), 0, 0
	case l.trees == nil:
		i, j := l.place(uint64(from)), l.place(uint64(to))
		b := l.packed()
		for _, part := range [][]byte{b[:i], b[j:]} {
			for _, value := range packedElements(part) {
				l.size -= listpackBytes(value)
			}
		}
		l.value, l.count = append(make([]byte, listHead, listHead+j-i), b[i:j]...), kept
	case kept < l.count-kept && l.count-kept > listBatch:
		l.move(from, to)
	default:
		gone := func(_, value []byte) { l.size -= listpackBytes(value) }
		l.tree().removeRange(uint64(to), l.count, gone)
		l.tree().removeRange(0, uint64(from), gone)
		l.count = l.tree().count
	}
	l.shrunk()
}

// move makes a new tree of some elements. The pages of the old one are dropped by Save, all at once.
func (l *ListValue) move(from, to int64) {
	next := ListValue{tx: l.tx, trees: l.tx.newTrees()}
	var values [][]byte
	l.Each(from, false, func(index int64, value []byte) bool {
		values = append(values, value)
		if len(values) == listBatch || index == to-1 {
			next.insert(next.count, values)
			values = values[:0]
		}
		return index < to-1
	})
	l.setTrees(next.trees)
	l.count, l.size = next.count, next.size
}

// Remove takes up to so many elements that are equal to value out, from the tail on if back is set, and returns how many.
func (l *ListValue) Remove(value []byte, limit int64, back bool) (removed int64) {
	if l.trees == nil {
		removed = l.removePacked(value, limit, back)
	} else {
		removed = l.removeTree(value, limit, back)
	}
	if removed > 0 {
		l.count -= uint64(removed)
		l.size -= uint64(removed) * listpackBytes(value)
		l.dirty = true
		l.shrunk()
	}
	return removed
}

func (l *ListValue) removePacked(value []byte, limit int64, back bool) (removed int64) {
	var places [][2]int
	for place, v := range packedElements(l.packed()) {
		if bytes.Equal(v, value) {
			places = append(places, place)
		}
	}
	if extra := int64(len(places)) - limit; extra > 0 {
		if back {
			places = places[extra:]
		} else {
			places = places[:limit]
		}
	}
	for _, place := range slices.Backward(places) {
		l.splice(place[0], place[1])
	}
	return int64(len(places))
}

// removeTree writes every page once in which there are such elements.
func (l *ListValue) removeTree(value []byte, limit int64, back bool) (removed int64) {
	t := l.tree()
	from, to := uint64(0), t.count // where they may be
	for from < to && removed < limit {
		var c cursor
		rank := from
		if back {
			rank = to - 1
		}
		if t.seekRank(&c, rank); !c.valid() {
			return removed
		}
		leaf := c.leaf()
		first, last := leaf.i, leaf.n.len()-1
		if back {
			first, last = 0, leaf.i
		}
		equal := make([]int, 0, last-first+1)
		for i := first; i <= last; i++ {
			if bytes.Equal(leaf.n.value(i), value) {
				equal = append(equal, i)
			}
		}
		if extra := int64(len(equal)) - (limit - removed); extra > 0 {
			if back {
				equal = equal[extra:]
			} else {
				equal = equal[:limit-removed]
			}
		}
		if back {
			to -= uint64(last - first + 1)
		} else {
			from += uint64(last - first + 1 - len(equal))
			to -= uint64(len(equal))
		}
		removed += int64(len(equal))
		c.removeSome(equal)
	}
	return removed
}

// Save stores what was changed. A list without elements is deleted.
func (l *ListValue) Save() {
	switch {
	case !l.dirty:
		return
	case l.count == 0:
		l.tx.Delete(l.key)
		return
	}
	if l.trees != nil && l.size <= listUnspreadBytes {
		l.unspread()
	}
	form := byte(formPacked)
	if l.large {
		form = formLarge
	}
	l.row.Kind = List
	if l.trees != nil {
		l.trees.rest = binary.BigEndian.AppendUint64(nil, l.size)
		l.row.Value = l.trees.value(form)
	} else {
		if len(l.row.Value) > 0 && &l.value[0] == &l.row.Value[0] {
			l.value = bytes.Clone(l.value) // nothing but the form changes
		}
		l.value[0] = form
		binary.BigEndian.PutUint32(l.value[1:], uint32(l.count))
		binary.BigEndian.PutUint32(l.value[5:], uint32(l.size))
		l.row.Value = l.value
	}
	l.tx.Keep(l.key, l.row)
}
