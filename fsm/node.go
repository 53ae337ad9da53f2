package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sort"
)

// A node is a page of a tree:
//
//	level 1 | entries 4 | where each entry ends, 4 each | entries
//
// An entry of a leaf (level 0) is the length of its key, the key, the value. One of another node is a child: its
// page 4, the number of elements below it 8, and a key that is not above any key there but above all of those in
// the child before it. The first child's key counts for nothing. Numbers are big-endian, lengths varints.
//
// A node that was stored never changes; a change makes another one.
type node []byte

const (
	nodeHead  = 1 + 4
	childHead = 4 + 8
)

var errNode = errors.New("damaged page of a collection")

// valid says whether the ends of a node make sense, so that nothing below can go beyond it.
func (n node) valid() bool {
	if len(n) < nodeHead {
		return false
	}
	count := int(binary.BigEndian.Uint32(n[1:]))
	if count < 1 || count > (len(n)-nodeHead)/4 {
		return false
	}
	at := 0
	for i := range count {
		end := n.end(i)
		if end < at+1 || end > len(n) {
			return false
		}
		at = end
	}
	return at == len(n)-n.body()
}

func (n node) level() int    { return int(n[0]) }
func (n node) len() int      { return int(binary.BigEndian.Uint32(n[1:])) }
func (n node) body() int     { return nodeHead + 4*n.len() }
func (n node) end(i int) int { return int(binary.BigEndian.Uint32(n[nodeHead+4*i:])) }
func (n node) start(i int) int {
	if i == 0 {
		return 0
	}
	return n.end(i - 1)
}

// entries are those from i to before j, one after the other.
func (n node) entries(i, j int) []byte {
	if i == j {
		return nil
	}
	return n[n.body()+n.start(i) : n.body()+n.end(j-1)]
}

// key and value are those of an entry of a leaf.
func (n node) key(i int) []byte {
	k, _ := n.split(i)
	return k
}

func (n node) value(i int) []byte {
	_, v := n.split(i)
	return v
}

func (n node) split(i int) (key, value []byte) {
	e := n.entries(i, i+1)
	size, w := binary.Uvarint(e)
	if w <= 0 || size > uint64(len(e)-w) {
		return nil, nil
	}
	return e[w : w+int(size)], e[w+int(size):]
}

func appendLeafEntry(dst, key, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	return append(dst, value...)
}

// child is an entry of a node that is not a leaf.
type child struct {
	page  uint32
	count uint64
	key   []byte
}

func (n node) child(i int) child {
	e := n.entries(i, i+1)
	if len(e) < childHead {
		return child{}
	}
	return child{binary.BigEndian.Uint32(e), binary.BigEndian.Uint64(e[4:]), e[childHead:]}
}

func (c child) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, c.page)
	dst = binary.BigEndian.AppendUint64(dst, c.count)
	return append(dst, c.key...)
}

// count is the number of elements in or below the node.
func (n node) count() uint64 {
	if n.level() == 0 {
		return uint64(n.len())
	}
	sum := uint64(0)
	for i := range n.len() {
		sum += n.child(i).count
	}
	return sum
}

// firstKey is not above any key in or below the node.
func (n node) firstKey() []byte {
	if n.level() == 0 {
		return n.key(0)
	}
	return n.child(0).key
}

// search returns the place of the first entry of a leaf whose key is not below key, and whether it is that key; of
// another node, the child below which the key is, if it is anywhere.
func (n node) search(key []byte) (i int, found bool) {
	if n.level() > 0 {
		return sort.Search(n.len()-1, func(i int) bool { return bytes.Compare(n.child(i+1).key, key) > 0 }), false
	}
	i = sort.Search(n.len(), func(i int) bool { return bytes.Compare(n.key(i), key) >= 0 })
	return i, i < n.len() && bytes.Equal(n.key(i), key)
}

// seekRank returns the child below which the element of a rank is, and its rank there.
func (n node) seekRank(rank uint64) (i int, below uint64) {
	for i = range n.len() - 1 {
		count := n.child(i).count
		if rank < count {
			return i, rank
		}
		rank -= count
	}
	return n.len() - 1, rank
}

// splice returns the node with entries in place of those from i to before j.
func (n node) splice(i, j int, entries ...[]byte) node {
	size, kept := 0, n.len()-(j-i)
	for _, e := range entries {
		size += len(e)
	}
	before, after := n.entries(0, i), n.entries(j, n.len())
	out := make(node, 0, nodeHead+4*(kept+len(entries))+len(before)+size+len(after))
	out = append(out, n[0])
	out = binary.BigEndian.AppendUint32(out, uint32(kept+len(entries)))
	for k := range i {
		out = binary.BigEndian.AppendUint32(out, uint32(n.end(k)))
	}
	at := len(before)
	for _, e := range entries {
		at += len(e)
		out = binary.BigEndian.AppendUint32(out, uint32(at))
	}
	for k := j; k < n.len(); k++ {
		out = binary.BigEndian.AppendUint32(out, uint32(at+n.end(k)-n.start(j)))
	}
	out = append(out, before...)
	for _, e := range entries {
		out = append(out, e...)
	}
	return append(out, after...)
}

// emptyNode is a node of a level without entries, which is never stored.
func emptyNode(level int) node { return node{byte(level), 0, 0, 0, 0} }

// cut returns the entries from i to before j as a node of their own.
func (n node) cut(i, j int) node {
	return emptyNode(n.level()).splice(0, 0, n.list(i, j)...)
}

func (n node) list(i, j int) [][]byte {
	out := make([][]byte, 0, j-i)
	for ; i < j; i++ {
		out = append(out, n.entries(i, i+1))
	}
	return out
}
