package fsm

import (
	"bytes"
)

// pageBytes is about the largest page of a tree; one with a single entry may be larger. Every change copies a page a
// level, so that they are small.
const pageBytes = 2 << 10

// treeDepth is more levels than there will ever be.
const treeDepth = 24

// A tree holds entries in the order of their keys, or in the order in which they were put if they have no keys, and
// knows how many there are below each page: finding an entry by its key or by its rank, and the rank of an entry,
// take as many pages as the tree has levels. It is a B+tree (Comer, 1979) with counts.
type tree struct {
	tx   *Txn
	root uint64  // names the pages
	top  uint32  // the highest page; 0: the tree is empty
	next *uint32 // the page number to be given next, from 1 on
	sum  *uint64 // over all pages
}

// cursor is a place in a tree: at an entry, or after the last one. Every change of the tree makes all others
// useless, and leaves the one it was made through where it says.
type cursor struct {
	t     *tree
	depth int // of steps in use, the leaf is the last; 0: the tree is empty
	steps [treeDepth]step
}

type step struct {
	page uint32
	n    node
	i    int
}

func (c *cursor) leaf() *step { return &c.steps[c.depth-1] }

// descend fills the steps from the top; pick says where to go on in each node.
func (c *cursor) descend(t *tree, pick func(n node) int) {
	c.t, c.depth = t, 0
	for page := t.top; page != 0; {
		n := t.tx.page(t.root, page)
		if n == nil {
			c.depth = 0
			return
		}
		if c.depth == treeDepth {
			t.tx.fail(errNode)
			c.depth = 0
			return
		}
		i := pick(n)
		c.steps[c.depth] = step{page, n, i}
		c.depth++
		if n.level() == 0 {
			return
		}
		page = n.child(i).page
	}
}

// seek goes to the first entry that is not below key, and says whether it has that key.
func (t *tree) seek(c *cursor, key []byte) (found bool) {
	c.descend(t, func(n node) (i int) {
		i, found = n.search(key)
		return i
	})
	if c.depth > 0 && !found {
		c.settle()
	}
	return found && c.depth > 0
}

// seekRank goes to the entry of a rank, from 0 on, or after the last one.
func (t *tree) seekRank(c *cursor, rank uint64) {
	c.descend(t, func(n node) (i int) {
		if n.level() == 0 {
			return int(min(rank, uint64(n.len())))
		}
		i, rank = n.seekRank(rank)
		return i
	})
}

// settle goes from the end of a leaf to the beginning of the next, if there is one.
func (c *cursor) settle() {
	if l := c.leaf(); l.i < l.n.len() {
		return
	}
	d := c.depth - 2
	for d >= 0 && c.steps[d].i == c.steps[d].n.len()-1 {
		d--
	}
	if d < 0 {
		return // after the last one
	}
	c.steps[d].i++
	c.fall(d, func(node) int { return 0 })
}

// fall fills the steps below d anew.
func (c *cursor) fall(d int, pick func(n node) int) {
	for ; d < c.depth-1; d++ {
		page := c.steps[d].n.child(c.steps[d].i).page
		n := c.t.tx.page(c.t.root, page)
		if n == nil {
			c.depth = 0
			return
		}
		c.steps[d+1] = step{page, n, pick(n)}
	}
}

// valid says whether the cursor is at an entry.
func (c *cursor) valid() bool { return c.depth > 0 && c.leaf().i < c.leaf().n.len() }

func (c *cursor) key() []byte   { return c.leaf().n.key(c.leaf().i) }
func (c *cursor) value() []byte { return c.leaf().n.value(c.leaf().i) }

// forward goes to the entry after this one.
func (c *cursor) forward() {
	c.leaf().i++
	c.settle()
}

// back goes to the entry before this one, and says whether there is one.
func (c *cursor) back() bool {
	if c.depth == 0 {
		return false
	}
	d := c.depth - 1
	for d >= 0 && c.steps[d].i == 0 {
		d--
	}
	if d < 0 {
		return false
	}
	c.steps[d].i--
	c.fall(d, func(n node) int { return n.len() - 1 })
	return c.depth > 0
}

// rank is the number of entries before this place.
func (c *cursor) rank() uint64 {
	rank := uint64(0)
	for d := range c.depth {
		s := &c.steps[d]
		if s.n.level() == 0 {
			return rank + uint64(s.i)
		}
		for i := range s.i {
			rank += s.n.child(i).count
		}
	}
	return rank
}

// insert puts an entry before the place of the cursor, which is of no use afterwards.
func (c *cursor) insert(key, value []byte) {
	entry := appendLeafEntry(make([]byte, 0, len(key)+len(value)+4), key, value)
	if c.depth == 0 {
		c.t.top = c.t.add(emptyNode(0).splice(0, 0, entry)).page
		return
	}
	l := c.leaf()
	c.replace(l.n.splice(l.i, l.i, entry), l.i)
}

// set gives the entry another value. The cursor is of no use afterwards.
func (c *cursor) set(value []byte) {
	l := c.leaf()
	key := l.n.key(l.i)
	entry := appendLeafEntry(make([]byte, 0, len(key)+len(value)+4), key, value)
	c.replace(l.n.splice(l.i, l.i+1, entry), l.i)
}

// remove takes the entry out. The cursor is of no use afterwards.
func (c *cursor) remove() {
	l := c.leaf()
	c.replace(l.n.splice(l.i, l.i+1), -1)
}

// replace puts a changed node in place of the last step's, and changes those above. at is the place of the entry
// that made it grow, if one did.
func (c *cursor) replace(n node, at int) {
	for d := c.depth - 1; ; d-- {
		s := &c.steps[d]
		if d == 0 {
			c.replaceTop(s.page, n, at)
			return
		}
		up := &c.steps[d-1]
		from, to := up.i, up.i+1
		var children []child
		switch {
		case n.len() == 0:
			c.t.write(s.page, nil)
		case len(n) > pageBytes && n.len() > 1:
			children = c.t.divide(s.page, n, at)
		default:
			page := s.page
			if len(n) < pageBytes/4 {
				page, n, from, to = c.merge(up, s.page, n)
			}
			c.t.write(page, n)
			children = []child{{page, n.count(), n.firstKey()}}
		}
		if len(children) > 0 { // stays a bound of what is below it, also where it is not the first key any more
			if old := up.n.child(from).key; bytes.Compare(old, children[0].key) < 0 {
				children[0].key = old
			}
		}
		n, at = up.n.splice(from, to, encodeChildren(children)...), from+len(children)-1
	}
}

func encodeChildren(children []child) [][]byte {
	out := make([][]byte, len(children))
	for i, c := range children {
		out[i] = c.appendTo(make([]byte, 0, childHead+len(c.key)))
	}
	return out
}

// merge takes the node after or before a small one in, if both fit into a page, and returns where it is then and which
// children of up it stands for.
func (c *cursor) merge(up *step, page uint32, n node) (_ uint32, _ node, from, to int) {
	for _, i := range []int{up.i + 1, up.i - 1} {
		if i < 0 || i >= up.n.len() {
			continue
		}
		other := up.n.child(i).page
		o := c.t.tx.page(c.t.root, other)
		if o == nil || len(o)+len(n) > pageBytes*3/4 {
			continue
		}
		if i > up.i {
			n = n.splice(n.len(), n.len(), o.list(0, o.len())...)
		} else {
			n = o.splice(o.len(), o.len(), n.list(0, n.len())...)
		}
		c.t.write(other, nil)
		return page, n, min(i, up.i), max(i, up.i) + 1
	}
	return page, n, up.i, up.i + 1
}

// replaceTop is replace for the highest page.
func (c *cursor) replaceTop(page uint32, n node, at int) {
	t := c.t
	switch {
	case n.len() == 0:
		t.write(page, nil)
		t.top = 0
	case n.level() > 0 && n.len() == 1: // a tree with one level less
		t.write(page, nil)
		t.top = n.child(0).page
	case len(n) > pageBytes && n.len() > 1:
		children := t.divide(page, n, at)
		t.top = t.add(emptyNode(n.level()+1).splice(0, 0, encodeChildren(children)...)).page
	default:
		t.write(page, n)
	}
}

// divide stores a node that is too large as several, the first of them under its page.
func (t *tree) divide(page uint32, n node, at int) []child {
	var out []child
	for part := n; ; {
		cut := part.half(at)
		left := part
		if len(part) > pageBytes && part.len() > 1 {
			left = part.cut(0, cut)
		}
		if len(out) == 0 {
			t.write(page, left)
			out = append(out, child{page, left.count(), left.firstKey()})
		} else {
			out = append(out, t.add(left))
		}
		if left.len() == part.len() {
			return out
		}
		part, at = part.cut(left.len(), part.len()), at-left.len()
	}
}

// half is where to divide a node. One that grows at an end is left full on the other side, since more will come
// there.
func (n node) half(at int) int {
	switch at {
	case n.len() - 1:
		return n.len() - 1
	case 0:
		return 1
	}
	for i := 1; i < n.len()-1; i++ {
		if n.end(i) > n.end(n.len()-1)/2 {
			return i
		}
	}
	return n.len() - 1
}

// add stores a node under a new page.
func (t *tree) add(n node) child {
	page := *t.next
	*t.next++
	t.write(page, n)
	return child{page, n.count(), n.firstKey()}
}

func (t *tree) write(page uint32, n node) { *t.sum += t.tx.setPage(t.root, page, n) }
