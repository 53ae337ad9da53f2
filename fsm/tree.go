package fsm

import (
	"bytes"
	"sort"
)

// pageBytes is about the largest page of a tree; one with a single entry may be larger. Every change copies a page, so that
// they are small: half of it saves little more, and makes trees deeper.
const pageBytes = 1 << 10

// treeDepth is more levels than there will ever be.
const treeDepth = 24

// A tree holds entries in the order of their keys, or in the order in which they were put if they have no keys, and
// knows how many there are below each page: finding an entry by its key or by its rank, and the rank of an entry,
// take as many pages as the tree has levels. It is a B+tree (Comer, 1979) with counts.
type tree struct {
	*pages
	top   uint64 // the highest page; 0: the tree is empty
	count uint64 // of entries
}

// cursor is a place in a tree: at an entry, or after the last one. Every change of the tree makes all others
// useless, and leaves the one it was made through where it says.
type cursor struct {
	t     *tree
	depth int // of steps in use, the leaf is the last; 0: the tree is empty
	steps [treeDepth]step
}

type step struct {
	page uint64
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
		rank += s.n.before(s.i)
	}
	return rank
}

// insert puts an entry before the place of the cursor, which is of no use afterwards.
func (c *cursor) insert(key, value []byte) {
	c.insertEntries(appendLeafEntry(make([]byte, 0, len(key)+len(value)+4), key, value))
}

// insertValues puts entries without keys before the place of the cursor, which is of no use afterwards.
func (c *cursor) insertValues(values [][]byte) {
	size := 0
	for _, v := range values {
		size += len(v) + 1
	}
	all, entries := make([]byte, 0, size), make([][]byte, len(values))
	for i, v := range values {
		start := len(all)
		all = appendLeafEntry(all, nil, v)
		entries[i] = all[start:]
	}
	c.insertEntries(entries...)
}

func (c *cursor) insertEntries(entries ...[]byte) {
	if c.depth == 0 {
		c.t.count = uint64(len(entries))
		c.t.grow(c.t.newPage(), emptyNode(0).splice(0, 0, entries...), len(entries)-1)
		return
	}
	l := c.leaf()
	c.replace(l.n.splice(l.i, l.i, entries...), l.i+len(entries)-1)
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

// move puts an entry with another key in place of the one that the cursor is at, where it belongs. The cursor is of no use
// afterwards.
func (c *cursor) move(key, value []byte) {
	l := c.leaf()
	if i, _ := l.n.search(key); i > 0 && i < l.n.len() { // in the same leaf, as one that is moved by little
		if i > l.i {
			i--
		}
		entry := appendLeafEntry(make([]byte, 0, len(key)+len(value)+4), key, value)
		c.replace(l.n.splice(l.i, l.i+1).splice(i, i, entry), i)
		return
	}
	t := c.t
	c.remove()
	t.seek(c, key)
	c.insert(key, value)
}

// removeRange takes the entries of the ranks from one to before another out, as many at a time as are in one page, and
// shows them to gone before, unless that is nil.
func (t *tree) removeRange(from, to uint64, gone func(key, value []byte)) {
	for from < to {
		var c cursor
		t.seekRank(&c, from)
		if !c.valid() {
			return
		}
		l := c.leaf()
		end := l.i + int(min(uint64(l.n.len()-l.i), to-from))
		for i := l.i; i < end && gone != nil; i++ {
			gone(l.n.split(i))
		}
		to -= uint64(end - l.i)
		c.replace(l.n.splice(l.i, end), -1)
	}
}

// removeSome takes several entries of the cursor's leaf out, whose places are in order. The cursor is of no use afterwards.
func (c *cursor) removeSome(places []int) {
	if len(places) == 0 {
		return
	}
	l := c.leaf()
	var kept [][]byte
	for i := range l.n.len() {
		if len(places) > 0 && places[0] == i {
			places = places[1:]
			continue
		}
		kept = append(kept, l.n.entries(i, i+1))
	}
	c.replace(emptyNode(0).splice(0, 0, kept...), -1)
}

// replace puts a changed leaf in place of the cursor's, and changes the nodes above. at is the place of the entry that made
// it grow, if one did.
func (c *cursor) replace(n node, at int) {
	more := uint64(n.len() - c.leaf().n.len()) // modulo 2^64: they may be less
	c.t.count += more
	for d := c.depth - 1; d > 0; d-- {
		up := &c.steps[d-1]
		old := up.n.child(up.i)
		if n.fits() && bytes.Compare(old.key, n.firstKey()) <= 0 {
			c.t.write(c.steps[d].page, n)
			if more != 0 {
				c.recount(d, more)
			}
			return
		}
		children, from, to := c.resize(d, n, at)
		if len(children) > 0 { // stays a bound of what is below it, also where it is not the first key any more
			if old := up.n.child(from).key; bytes.Compare(old, children[0].key) < 0 {
				children[0].key = old
			}
		}
		n, at = up.n.splice(from, to, encodeChildren(children)...), from+len(children)-1
	}
	c.replaceTop(c.steps[0].page, n, at)
}

// recount adds to the numbers of elements in all nodes above a step, whose bounds and sizes stay.
func (c *cursor) recount(d int, more uint64) {
	for d--; d >= 0; d-- {
		s := &c.steps[d]
		c.t.tx.recount(c.t.root, s.page, s.n, s.i, s.n.child(s.i).count+more)
	}
}

// resize stores a changed node of a step as so many as it needs, and returns them and which children of the one above they
// stand for.
func (c *cursor) resize(d int, n node, at int) (children []child, from, to int) {
	page, up := c.steps[d].page, &c.steps[d-1]
	from, to = up.i, up.i+1
	switch {
	case n.len() == 0:
		c.t.write(page, nil)
		return nil, from, to
	case n.tooLarge():
		return c.t.divide(page, n, at), from, to
	case len(n) < pageBytes/4:
		page, n, from, to = c.merge(up, page, n)
	}
	c.t.write(page, n)
	return []child{{page, n.count(), n.firstKey()}}, from, to
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
func (c *cursor) merge(up *step, page uint64, n node) (_ uint64, _ node, from, to int) {
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
func (c *cursor) replaceTop(page uint64, n node, at int) {
	t := c.t
	switch {
	case n.len() == 0:
		t.write(page, nil)
		t.top = 0
	case n.level() > 0 && n.len() == 1: // a tree with one level less
		t.write(page, nil)
		t.top = n.child(0).page
	default:
		t.grow(page, n, at)
	}
}

// grow stores the highest node, and others above it if it is too large.
func (t *tree) grow(page uint64, n node, at int) {
	for n.tooLarge() {
		children := t.divide(page, n, at)
		page, n = t.newPage(), emptyNode(n.level()+1).splice(0, 0, encodeChildren(children)...)
		at = len(children) - 1
	}
	t.write(page, n)
	t.top = page
}

// divide stores a node that is too large as several, the first of them under its page.
func (t *tree) divide(page uint64, n node, at int) []child {
	var out []child
	for from := 0; from < n.len(); {
		to := n.part(from, at)
		part := n.cut(from, to)
		key := part.firstKey()
		if from > 0 {
			page = t.newPage()
			if n.level() == 0 {
				key = separator(n.key(from-1), key)
			}
		}
		t.write(page, part)
		out = append(out, child{page, part.count(), key})
		from = to
	}
	return out
}

// separator is a short key above a and not above b, which is above a or the same.
func separator(a, b []byte) []byte {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	if n == len(b) {
		return b
	}
	return b[:n+1]
}

// part is where a node that is too large is to be divided next, if all before from is done. One that grows at an end is
// left full on the other side, since more will come there.
func (n node) part(from, at int) int {
	least := n.least()
	last := n.len() - 1
	var to int
	switch {
	case n.size(from, n.len()) <= pageBytes || n.len()-from < 2*least:
		return n.len()
	case at == last || n.size(from, n.len()) > 2*pageBytes:
		to = from + sort.Search(last-from, func(i int) bool { return n.size(from, from+i+1) > pageBytes })
	case at != from:
		middle := (n.start(from) + n.end(last)) / 2
		to = from + 1 + sort.Search(last-from-1, func(i int) bool { return n.end(from+1+i) > middle })
	}
	return min(max(to, from+least), n.len()-least)
}

func (t *tree) newPage() uint64 {
	t.next++
	return t.next - 1
}

func (t *tree) write(page uint64, n node) {
	if t.root == 0 {
		t.root = t.tx.newRoot()
	}
	t.bytes += t.tx.setPage(t.root, page, n)
}
