package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// A node is a page of a tree:
//
//	level 1 | entries 4 | where each entry ends, 4 each | entries
//
// An entry of a leaf (level 0) is the length of its key, the key, the value. One of another node is a child: its
// page 8, the number of elements below it 8, and a key that is not above any key there but above all of those in
// the child before it. The first child's key counts for nothing. Numbers are big-endian, lengths varints.
//
// A node that was stored does not change, except for counts: see Txn.recount. A change makes another one.
type node []byte

const (
	nodeHead  = 1 + 4
	childHead = 8 + 8
)

var errNode = errors.New("damaged page of a collection")

// valid says whether the ends of a node and the lengths of its keys make sense, so that nothing below can go beyond it.
func (n node) valid() bool {
	if len(n) < nodeHead {
		return false
	}
	count := int(binary.BigEndian.Uint32(n[1:]))
	if count < 1 || count > (len(n)-nodeHead)/4 {
		return false
	}
	at, body := 0, n[n.body():]
	for ends := n[nodeHead:n.body()]; len(ends) >= 4; ends = ends[4:] {
		end := int(binary.BigEndian.Uint32(ends))
		if end < at || end > len(body) || !validEntry(n.level(), body[at:end]) {
			return false
		}
		at = end
	}
	return at == len(body)
}

func validEntry(level int, e []byte) bool {
	if level > 0 {
		return len(e) >= childHead
	}
	size, w := binary.Uvarint(e)
	return w > 0 && size <= uint64(len(e)-w)
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

// size is that of a node of the entries from i to before j.
func (n node) size(i, j int) int { return nodeHead + 4*(j-i) + n.end(j-1) - n.start(i) }

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
	start, end := keyBounds(e)
	return e[start:end], e[end:]
}

// keyBounds is where the key in an entry of a leaf begins and ends.
func keyBounds(e []byte) (start, end int) {
	if e[0] < 0x80 { // nearly always
		return 1, 1 + int(e[0])
	}
	size, w := binary.Uvarint(e)
	return w, w + int(size)
}

func appendLeafEntry(dst, key, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	return append(dst, value...)
}

// child is an entry of a node that is not a leaf.
type child struct {
	page  uint64
	count uint64
	key   []byte
}

func (n node) child(i int) child {
	e := n.entries(i, i+1)
	return child{binary.BigEndian.Uint64(e), binary.BigEndian.Uint64(e[8:]), e[childHead:]}
}

func (c child) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, c.page)
	dst = binary.BigEndian.AppendUint64(dst, c.count)
	return append(dst, c.key...)
}

// least is how many entries a part of a divided node has, however long their keys are: a tree of nodes with one child each
// would have no end.
func (n node) least() int {
	if n.level() == 0 {
		return 1
	}
	return 2
}

// tooLarge says whether a node has to be divided.
func (n node) tooLarge() bool { return len(n) > pageBytes && n.len() >= 2*n.least() }

// count is the number of elements in or below the node.
func (n node) count() uint64 {
	if n.level() == 0 {
		return uint64(n.len())
	}
	return n.before(n.len())
}

// before is the number of elements below the children before i.
func (n node) before(i int) (sum uint64) {
	b := n[n.body():]
	for k := range i {
		sum += binary.BigEndian.Uint64(b[n.start(k)+8:])
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
// another node, the child below which the key is, if it is anywhere. Most of what a command costs on a large collection is
// spent here, waiting for memory: it reads no more than it must.
func (n node) search(key []byte) (i int, found bool) {
	if n.level() > 0 {
		return n.searchChild(key), false
	}
	ends, body := n[nodeHead:n.body()], n[n.body():]
	i, j := 0, len(ends)/4
	for i < j {
		m := int(uint(i+j) / 2)
		start := 0
		if m > 0 {
			start = int(binary.BigEndian.Uint32(ends[4*m-4:]))
		}
		from, to := keyBounds(body[start:])
		switch order := bytes.Compare(body[start+from:start+to], key); {
		case order < 0:
			i = m + 1
		case order > 0:
			j = m
		default:
			return m, true
		}
	}
	return i, false
}

// searchChild is search in a branch.
func (n node) searchChild(key []byte) int {
	ends, body := n[nodeHead:n.body()], n[n.body():]
	i, j := 1, len(ends)/4
	for i < j {
		m := int(uint(i+j) / 2)
		start, end := binary.BigEndian.Uint32(ends[4*m-4:]), binary.BigEndian.Uint32(ends[4*m:])
		if bytes.Compare(body[start+childHead:end], key) > 0 {
			j = m
		} else {
			i = m + 1
		}
	}
	return i - 1
}

// seekRank returns the child below which the element of a rank is, and its rank there.
func (n node) seekRank(rank uint64) (i int, below uint64) {
	b, start := n[n.body():], 0
	for i := range n.len() - 1 {
		count := binary.BigEndian.Uint64(b[start+8:])
		if rank < count {
			return i, rank
		}
		rank -= count
		start = n.end(i)
	}
	return n.len() - 1, rank
}

// fits says whether a node is neither too large nor so small that others may be put to it.
func (n node) fits() bool {
	return len(n) >= pageBytes/4 && !n.tooLarge()
}

// withCount returns the node with another number of elements below a child.
func (n node) withCount(i int, count uint64) node {
	out := node(bytes.Clone(n))
	out.setCount(i, count)
	return out
}

func (n node) setCount(i int, count uint64) { binary.BigEndian.PutUint64(n.entries(i, i+1)[8:], count) }

// splice returns the node with entries in place of those from i to before j.
func (n node) splice(i, j int, entries ...[]byte) node {
	size, count := 0, n.len()-(j-i)+len(entries)
	for _, e := range entries {
		size += len(e)
	}
	before, after := n.entries(0, i), n.entries(j, n.len())
	body := nodeHead + 4*count
	out := make(node, 0, body+len(before)+size+len(after))
	out = append(out, n[0])
	out = binary.BigEndian.AppendUint32(out, uint32(count))
	out = append(out, n[nodeHead:nodeHead+4*i]...)
	at := len(before)
	for _, e := range entries {
		at += len(e)
		out = binary.BigEndian.AppendUint32(out, uint32(at))
	}
	out = appendEnds(out, n[nodeHead+4*j:n.body()], uint32(at-n.start(j)))
	out = append(out, before...)
	for _, e := range entries {
		out = append(out, e...)
	}
	return append(out, after...)
}

// appendEnds appends numbers of a node of which each is larger by more, modulo 2^32.
func appendEnds(out node, ends []byte, more uint32) node {
	for ; len(ends) >= 4; ends = ends[4:] {
		out = binary.BigEndian.AppendUint32(out, binary.BigEndian.Uint32(ends)+more)
	}
	return out
}

// emptyNode is a node of a level without entries, which is never stored.
func emptyNode(level int) node { return node{byte(level), 0, 0, 0, 0} }

// cut returns the entries from i to before j as a node of their own.
func (n node) cut(i, j int) node {
	out := make(node, 0, n.size(i, j))
	out = append(out, n[0])
	out = binary.BigEndian.AppendUint32(out, uint32(j-i))
	out = appendEnds(out, n[nodeHead+4*i:nodeHead+4*j], -uint32(n.start(i)))
	return append(out, n.entries(i, j)...)
}

func (n node) list(i, j int) [][]byte {
	out := make([][]byte, 0, j-i)
	for ; i < j; i++ {
		out = append(out, n.entries(i, i+1))
	}
	return out
}
