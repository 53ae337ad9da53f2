package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Redis keeps a hash in a listpack up to these sizes, by default. Such a hash is packed into its row here, and gives
// its fields in the order in which they were set, as Redis does.
const (
	HashPackedEntries = 128
	HashPackedBytes   = 64 // of a field or a value
	// packedBytes is how much a row may hold beside: a few values that are larger.
	packedBytes = 2 << 10
)

// HashValue is the hash at a key. Changes are stored by Save.
type HashValue struct {
	tx     *Txn
	key    []byte
	row    Row // Kind 0: there was none
	large  bool
	packed []byte // nil in a tree
	count  uint64
	tree   *treeRow // nil if packed
	dirty  bool
}

// Hash returns the hash that row, of the Kind Hash or nil, is at a key.
func (tx *Txn) Hash(key []byte, row *Row) *HashValue {
	h := &HashValue{tx: tx, key: key}
	if row == nil {
		return h
	}
	h.row = *row
	switch {
	case len(row.Value) == 0:
		tx.fail(fmt.Errorf("key %q: %w", shorten(key), errCollection))
	case row.root() != 0:
		h.tree, h.large = tx.openTree(row.Value), true
		h.count = h.tree.count
	default:
		h.large, h.packed = row.Value[0]&formLarge != 0, row.Value[1:]
		for range packedEntries(h.packed) {
			h.count++
		}
	}
	return h
}

// packedEntries goes over the fields and values of a packed hash, with the places where each begins and ends.
func packedEntries(b []byte) func(yield func(place [2]int, kv [2][]byte) bool) {
	return func(yield func(place [2]int, kv [2][]byte) bool) {
		for at := 0; at < len(b); {
			field, n := packedBytesAt(b[at:])
			value, m := packedBytesAt(b[at+n:])
			if n == 0 || m == 0 || !yield([2]int{at, at + n + m}, [2][]byte{field, value}) {
				return
			}
			at += n + m
		}
	}
}

// packedBytesAt reads bytes after their length, and returns how far that goes, 0 for damage.
func packedBytesAt(b []byte) ([]byte, int) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, 0
	}
	end := n + int(size)
	return b[n:end:end], end
}

func appendPacked(dst, field, value []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(field))), field...)
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// treeField is the key of a field in the tree: by its hash, which spreads them evenly and is the cursor of HSCAN.
func treeField(field []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(field)), keyHash(field))
	return append(b, field...)
}

// Len is the number of fields.
func (h *HashValue) Len() int64 { return int64(h.count) }

// Large says whether Redis would not keep the hash in a listpack any more.
func (h *HashValue) Large() bool { return h.large }

// Get returns the value of a field, and whether there is one.
func (h *HashValue) Get(field []byte) ([]byte, bool) {
	if h.tree != nil {
		var c cursor
		if h.tree.seek(&c, treeField(field)) {
			return c.value(), true
		}
		return nil, false
	}
	_, value, found := h.find(field)
	return value, found
}

// find looks for a field of a packed hash.
func (h *HashValue) find(field []byte) (place [2]int, value []byte, found bool) {
	for place, kv := range packedEntries(h.packed) {
		if bytes.Equal(kv[0], field) {
			return place, kv[1], true
		}
	}
	return place, nil, false
}

// Set gives a field a value, and says whether it is new.
func (h *HashValue) Set(field, value []byte) (created bool) {
	h.dirty = true
	if h.tree == nil {
		if created, done := h.setPacked(field, value); done {
			return created
		}
		h.spread()
	}
	var c cursor
	if h.tree.seek(&c, treeField(field)) {
		c.set(value)
		return false
	}
	c.insert(treeField(field), value)
	h.tree.count++
	h.count++
	return true
}

// setPacked is Set as long as the hash stays packed.
func (h *HashValue) setPacked(field, value []byte) (created, done bool) {
	place, _, found := h.find(field)
	count := h.count
	if !found {
		count++
		place = [2]int{len(h.packed), len(h.packed)}
	}
	size := len(h.packed) - (place[1] - place[0]) + len(field) + len(value) + 4
	large := h.large || count > HashPackedEntries || max(len(field), len(value)) > HashPackedBytes
	if large && size > packedBytes {
		return false, false
	}
	out := append(make([]byte, 0, size), h.packed[:place[0]]...)
	out = appendPacked(out, field, value)
	h.packed = append(out, h.packed[place[1]:]...)
	h.count, h.large = count, large
	return !found, true
}

// spread makes a tree of a packed hash.
func (h *HashValue) spread() {
	h.tree, h.large = h.tx.newTree(), true
	for _, kv := range packedEntries(h.packed) {
		var c cursor
		h.tree.seek(&c, treeField(kv[0]))
		c.insert(treeField(kv[0]), kv[1])
		h.tree.count++
	}
	h.packed = nil
}

// Delete removes a field, and says whether it was there.
func (h *HashValue) Delete(field []byte) bool {
	if h.tree != nil {
		var c cursor
		if !h.tree.seek(&c, treeField(field)) {
			return false
		}
		c.remove()
		h.tree.count--
	} else {
		place, _, found := h.find(field)
		if !found {
			return false
		}
		h.packed = append(append(make([]byte, 0, len(h.packed)), h.packed[:place[0]]...), h.packed[place[1]:]...)
	}
	h.count--
	h.dirty = true
	return true
}

// Save stores what was changed. A hash without fields is deleted.
func (h *HashValue) Save() {
	switch {
	case !h.dirty:
		return
	case h.count == 0:
		h.tx.Delete(h.key)
		return
	}
	h.row.Kind = Hash
	if h.tree != nil {
		h.row.Value = h.tree.value(formLarge)
	} else {
		form := byte(formPacked)
		if h.large {
			form |= formLarge
		}
		h.row.Value = append(append(make([]byte, 0, 1+len(h.packed)), form), h.packed...)
	}
	h.tx.Keep(h.key, h.row)
}

// All goes over all fields until fn returns false.
func (h *HashValue) All(fn func(field, value []byte) bool) {
	if h.tree == nil {
		for _, kv := range packedEntries(h.packed) {
			if !fn(kv[0], kv[1]) {
				return
			}
		}
		return
	}
	var c cursor
	for h.tree.seekRank(&c, 0); c.valid(); c.forward() {
		if !fn(c.key()[8:], c.value()) {
			return
		}
	}
}

// At returns the field of a rank below Len, in the order of All.
func (h *HashValue) At(rank int64) (field, value []byte) {
	if h.tree == nil {
		for _, kv := range packedEntries(h.packed) {
			if rank == 0 {
				return kv[0], kv[1]
			}
			rank--
		}
		return nil, nil
	}
	var c cursor
	h.tree.seekRank(&c, uint64(rank))
	if !c.valid() {
		return nil, nil
	}
	return c.key()[8:], c.value()
}

// Scan goes over fields from a cursor on, 0 being the beginning, until fn returns false, and returns the cursor to go on
// from, 0 after the last field. A field that is there all the while is met exactly once. A packed hash is shown as
// a whole.
func (h *HashValue) Scan(from uint64, fn func(field, value []byte) bool) (next uint64) {
	if h.tree == nil {
		h.All(func(field, value []byte) bool { fn(field, value); return true })
		return 0
	}
	var c cursor
	h.tree.seek(&c, binary.BigEndian.AppendUint64(nil, from))
	more := true
	for last := from; c.valid(); c.forward() {
		hash := binary.BigEndian.Uint64(c.key())
		if !more && hash != last {
			return hash
		}
		last = hash
		more = fn(c.key()[8:], c.value()) && more
	}
	return 0
}
