package fsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// A collection that Redis would keep in a listpack is packed into its row here and gives its entries in the order in which
// they were put, as Redis does: up to a size that none has with the default settings.
const packedBytesMax = 80 << 10

// packedBytes is how much a row may hold of a collection that Redis would not keep in a listpack: a few values that are
// large.
const packedBytes = 2 << 10

// keyed is a collection whose entries are found by name: the fields of a hash, which have values, or the members of a
// set, which have none. Changes are stored by Save.
type keyed struct {
	tx     *Txn
	key    []byte
	row    Row // an empty one if there was none
	large  bool
	packed []byte // nil in a tree
	count  uint64
	trees  *trees // nil if packed
	dirty  bool

	// Redis keeps so many entries in a listpack, and names and values of so many bytes.
	most, longest int64
	// treeKey is the key of an entry in the tree, of which the name follows after 8 bytes.
	treeKey func(name []byte) []byte
}

// openKeyed opens the collection that row, of this kind or nil, is at a key.
func (tx *Txn) openKeyed(key []byte, row *Row, kind Kind, most, longest int64) keyed {
	k := keyed{tx: tx, key: key, row: Row{Kind: kind}, most: most, longest: longest, treeKey: treeField}
	if row == nil {
		return k
	}
	k.row = *row
	switch {
	case len(row.Value) == 0:
		tx.fail(fmt.Errorf("key %q: %w", shorten(key), errCollection))
	case row.root() != 0:
		k.trees, k.large = tx.openTrees(row.Value), row.Value[0]&formLarge != 0
		k.count = k.tree().count
	case row.Value[0]&formInts == 0:
		k.large, k.packed = row.Value[0]&formLarge != 0, row.Value[1:]
		for range packedEntries(k.packed) {
			k.count++
		}
	}
	return k
}

// packedEntries goes over the names and values of a packed collection, with the places where each begins and ends.
func packedEntries(b []byte) func(yield func(place [2]int, kv [2][]byte) bool) {
	return func(yield func(place [2]int, kv [2][]byte) bool) {
		for at := 0; at < len(b); {
			name, n := packedBytesAt(b[at:])
			value, m := packedBytesAt(b[at+n:])
			if n == 0 || m == 0 || !yield([2]int{at, at + n + m}, [2][]byte{name, value}) {
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

func appendPacked(dst, name, value []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// treeField is the key of an entry in the tree: by the hash of its name, which spreads them evenly and is the cursor of
// HSCAN and SSCAN.
func treeField(name []byte) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(name)), keyHash(name))
	return append(b, name...)
}

// tree is that of a collection that is not packed.
func (k *keyed) tree() *tree { return &k.trees.tree[0] }

// Len is the number of entries.
func (k *keyed) Len() int64 { return int64(k.count) }

// Large says whether Redis would not keep the collection in a listpack any more.
func (k *keyed) Large() bool { return k.large }

// Get returns the value of a name, and whether there is one.
func (k *keyed) Get(name []byte) ([]byte, bool) {
	if k.trees != nil {
		var c cursor
		if k.tree().seek(&c, k.treeKey(name)) {
			return c.value(), true
		}
		return nil, false
	}
	_, value, found := k.find(name)
	return value, found
}

// find looks for a name in a packed collection.
func (k *keyed) find(name []byte) (place [2]int, value []byte, found bool) {
	for place, kv := range packedEntries(k.packed) {
		if bytes.Equal(kv[0], name) {
			return place, kv[1], true
		}
	}
	return place, nil, false
}

// Set gives a name a value, and says whether it is new.
func (k *keyed) Set(name, value []byte) (created bool) {
	k.dirty = true
	if k.trees == nil {
		if created, done := k.setPacked(name, value); done {
			return created
		}
		k.spread()
	}
	var c cursor
	at := k.treeKey(name)
	found := k.tree().seek(&c, at)
	if found {
		c.set(value)
	} else {
		c.insert(at, value)
		k.count++
	}
	k.large = k.large || k.exceeds(k.count, name, value)
	return !found
}

// exceeds says whether Redis would not keep so many entries in a listpack, or this one.
func (k *keyed) exceeds(count uint64, name, value []byte) bool {
	return int64(count) > k.most || int64(max(len(name), len(value))) > k.longest
}

// tooLong says whether so many bytes are not to be packed.
func (k *keyed) tooLong(size int) bool {
	return size > packedBytes && (k.large || size > packedBytesMax)
}

// Add puts a name without a value, unless it is there, and says whether it is new.
func (k *keyed) Add(name []byte) (created bool) {
	if k.trees == nil {
		_, _, found := k.find(name)
		return !found && k.Set(name, nil)
	}
	var c cursor
	at := k.treeKey(name)
	if k.tree().seek(&c, at) {
		return false
	}
	c.insert(at, nil)
	k.count++
	k.dirty = true
	k.large = k.large || k.exceeds(k.count, name, nil)
	return true
}

// setPacked is Set as long as the collection stays packed.
func (k *keyed) setPacked(name, value []byte) (created, done bool) {
	place, _, found := k.find(name)
	count := k.count
	if !found {
		count++
		place = [2]int{len(k.packed), len(k.packed)}
	}
	size := len(k.packed) - (place[1] - place[0]) + uvarintBytes(len(name)) + len(name) + uvarintBytes(len(value)) + len(value)
	k.large = k.large || k.exceeds(count, name, value)
	if k.tooLong(size) {
		return false, false
	}
	out := append(make([]byte, 0, size), k.packed[:place[0]]...)
	out = appendPacked(out, name, value)
	k.packed = append(out, k.packed[place[1]:]...)
	k.count = count
	return !found, true
}

// Fill puts all entries of a collection that had none, which is stored in one go however large it is. Of entries with the
// same name the first counts.
func (k *keyed) Fill(entries iter.Seq2[[]byte, []byte]) {
	for name, value := range entries {
		k.append(name, value)
	}
	k.filled()
}

// append packs an entry, which may be there already and for which there may not be room: until filled is called.
func (k *keyed) append(name, value []byte) {
	k.large = k.large || k.exceeds(0, name, value)
	k.packed = appendPacked(k.packed, name, value)
	k.count++
	k.dirty = true
}

// filled ends what append began.
func (k *keyed) filled() {
	all := k.hashed()
	if count := uint64(len(all)); count < k.count {
		k.keepOnly(all)
		k.count, all = count, k.hashed()
	}
	if k.large = k.large || int64(k.count) > k.most; k.tooLong(len(k.packed)) {
		k.build(all)
	}
}

// hashed are the entries of a packed collection, by where they are, in the order of the tree.
func (k *keyed) hashed() []hashed {
	all := make([]hashed, 0, k.count)
	for place, kv := range packedEntries(k.packed) {
		all = append(all, hashed{keyHash(kv[0]), place[0]})
	}
	return sortHashed(all, func(at int) []byte {
		name, _ := packedBytesAt(k.packed[at:])
		return name
	})
}

// keepOnly takes all entries but these out of a packed collection.
func (k *keyed) keepOnly(some []hashed) {
	slices.SortFunc(some, func(a, b hashed) int { return cmp.Compare(a.at, b.at) })
	kept := make([]byte, 0, len(k.packed))
	for _, h := range some {
		name, value := k.entryAt(h.at)
		kept = appendPacked(kept, name, value)
	}
	k.packed = kept
}

// entryAt is the entry that begins at a place of a packed collection.
func (k *keyed) entryAt(at int) (name, value []byte) {
	name, n := packedBytesAt(k.packed[at:])
	value, _ = packedBytesAt(k.packed[at+n:])
	return name, value
}

// spread makes a tree of a packed collection.
func (k *keyed) spread() { k.build(k.hashed()) }

// build is spread of entries that are in the order of the tree.
func (k *keyed) build(all []hashed) {
	k.trees = k.tx.newTrees()
	b := k.tree().build()
	var field []byte
	for _, h := range all {
		name, value := k.entryAt(h.at)
		field = h.field(field[:0], name)
		b.add(field, value)
	}
	b.end()
	k.packed = nil
}

// Delete removes an entry, and says whether it was there.
func (k *keyed) Delete(name []byte) bool {
	if k.trees != nil {
		var c cursor
		if !k.tree().seek(&c, k.treeKey(name)) {
			return false
		}
		c.remove()
	} else {
		place, _, found := k.find(name)
		if !found {
			return false
		}
		k.packed = append(append(make([]byte, 0, len(k.packed)), k.packed[:place[0]]...), k.packed[place[1]:]...)
	}
	k.count--
	k.dirty = true
	return true
}

// Save stores what was changed. A collection without entries is deleted.
func (k *keyed) Save() {
	switch {
	case !k.dirty:
		return
	case k.count == 0:
		k.tx.Delete(k.key)
		return
	}
	form := byte(formPacked)
	if k.large {
		form |= formLarge
	}
	if k.trees != nil {
		k.row.Value = k.trees.value(form)
	} else {
		k.row.Value = append(append(make([]byte, 0, 1+len(k.packed)), form), k.packed...)
	}
	k.tx.Keep(k.key, k.row)
}

// All goes over all entries until fn returns false.
func (k *keyed) All(fn func(name, value []byte) bool) { k.From(0, fn) }

// From goes over the entries from a rank on until fn returns false.
func (k *keyed) From(rank int64, fn func(name, value []byte) bool) {
	if k.trees == nil {
		for _, kv := range packedEntries(k.packed) {
			if rank--; rank < 0 && !fn(kv[0], kv[1]) {
				return
			}
		}
		return
	}
	var c cursor
	for k.tree().seekRank(&c, uint64(rank)); c.valid(); c.forward() {
		if !fn(c.key()[8:], c.value()) {
			return
		}
	}
}

// At returns the entry of a rank below Len, in the order of All.
func (k *keyed) At(rank int64) (name, value []byte) {
	if k.trees == nil {
		for _, kv := range packedEntries(k.packed) {
			if rank == 0 {
				return kv[0], kv[1]
			}
			rank--
		}
		return nil, nil
	}
	var c cursor
	k.tree().seekRank(&c, uint64(rank))
	if !c.valid() {
		return nil, nil
	}
	return c.key()[8:], c.value()
}

// Scan goes over entries from a cursor on, 0 being the beginning, until fn returns false, and returns the cursor to go on
// from, 0 after the last one. An entry that is there all the while is met exactly once. A packed collection is shown
// as a whole.
func (k *keyed) Scan(from uint64, fn func(name, value []byte) bool) (next uint64) {
	if k.trees == nil {
		k.All(func(name, value []byte) bool { fn(name, value); return true })
		return 0
	}
	return k.tree().scan(from, fn)
}

// scan is Scan of a tree whose keys begin with 8 bytes that are the cursor.
func (t *tree) scan(from uint64, fn func(name, value []byte) bool) (next uint64) {
	var c cursor
	t.seek(&c, binary.BigEndian.AppendUint64(nil, from))
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

// AnyLength is for entries that Redis takes over as a listpack: it does not look at their lengths.
func (k *keyed) AnyLength() { k.longest = math.MaxInt64 }
