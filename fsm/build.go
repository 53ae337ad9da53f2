package fsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// builder makes a tree of entries that come in its order. Pages are filled one after the other, and each is written once,
// where inserting an entry would write one a time.
type builder struct {
	t        *tree
	ends     []byte // of the entries of the leaf that is being filled, and
	entries  []byte // these themselves
	last     node   // the leaf before
	children []child
}

// build begins to make a tree that is empty.
func (t *tree) build() *builder { return &builder{t: t} }

// add puts an entry after those that were added before. It is copied.
func (b *builder) add(key, value []byte) {
	size := uvarintBytes(len(key)) + len(key) + len(value)
	if len(b.ends) > 0 && nodeHead+len(b.ends)+4+len(b.entries)+size > pageBytes {
		b.endLeaf()
	}
	b.entries = appendLeafEntry(b.entries, key, value)
	b.ends = binary.BigEndian.AppendUint32(b.ends, uint32(len(b.entries)))
	b.t.count++
}

// uvarintBytes is the size of a length.
func uvarintBytes(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// endLeaf stores the leaf that is being filled.
func (b *builder) endLeaf() {
	n := append(make(node, 0, nodeHead+len(b.ends)+len(b.entries)), 0)
	n = binary.BigEndian.AppendUint32(n, uint32(len(b.ends)/4))
	n = append(append(n, b.ends...), b.entries...)
	if b.ends = b.ends[:0]; cap(b.entries) > 2*pageBytes {
		b.entries = nil // one large value is not kept for all that follow
	}
	b.entries = b.entries[:0]
	key := n.firstKey()
	if b.last != nil {
		key = separator(b.last.key(b.last.len()-1), key)
	}
	b.last = n
	b.children = append(b.children, b.store(n, key))
}

func (b *builder) store(n node, key []byte) child {
	page := b.t.newPage()
	b.t.write(page, n)
	return child{page, n.count(), key}
}

// end stores what is left, and the levels above the leaves.
func (b *builder) end() {
	if len(b.ends) > 0 {
		b.endLeaf()
	}
	children := b.children
	for level := 1; len(children) > 1; level++ {
		var above []child
		for len(children) > 0 {
			here := children[:branchPart(children)]
			n := emptyNode(level).splice(0, 0, encodeChildren(here)...)
			above = append(above, b.store(n, here[0].key))
			children = children[len(here):]
		}
		children = above
	}
	if len(children) > 0 {
		b.t.top = children[0].page
	}
}

// branchPart is how many of the children that are left the next branch has: as many as fit into a page, two at least, and
// not all but one.
func branchPart(children []child) int {
	least := emptyNode(1).least()
	n, size := 0, nodeHead
	for n < len(children) {
		size += 4 + childHead + len(children[n].key)
		if size > pageBytes && n >= least {
			break
		}
		n++
	}
	if left := len(children) - n; left == 0 || left >= least {
		return n
	}
	if n = len(children) - least; n < least {
		n = len(children)
	}
	return n
}

// hashed is something that has a name, which name returns, and comes in the order of treeField of that.
type hashed struct {
	hash uint64
	at   int // tells which one it is; they were met in the order of this
}

// sortHashed brings entries in the order of the tree, and leaves out those whose name was met before.
func sortHashed(all []hashed, name func(at int) []byte) []hashed {
	slices.SortFunc(all, func(a, b hashed) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return cmp.Or(bytes.Compare(name(a.at), name(b.at)), cmp.Compare(a.at, b.at))
	})
	return slices.CompactFunc(all, func(a, b hashed) bool {
		return a.hash == b.hash && bytes.Equal(name(a.at), name(b.at))
	})
}

// field appends what treeField returns.
func (h hashed) field(dst, name []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, h.hash), name...)
}
