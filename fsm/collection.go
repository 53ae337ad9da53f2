package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The value of a collection's row begins with its form.
const (
	// formPacked: the entries follow, one after the other, in the order in which they were put.
	formPacked = 0
	// formTree: the entries are in pages. What follows says where.
	formTree = 1
	// formLarge is set in addition once a collection was larger than what Redis keeps in a listpack: that shows in
	// OBJECT ENCODING, for good.
	formLarge = 2
	// formInts: a set of integers alone, in order, 8 bytes each.
	formInts = 4
)

// The value of a row in formTree: form 1, number of the pages 8, sum over them 8, their bytes 8, the next page 8, for each
// of two trees its top page 8 and its elements 8, and what the type keeps beside.
const (
	collectionTrees = 2
	collectionHead  = 1 + 8 + 8 + 8 + 8 + collectionTrees*(8+8)
)

var errCollection = errors.New("damaged collection")

// root is the number under which the pages of a collection are, or 0.
func (r *Row) root() uint64 {
	if r.Kind == String || r.Kind == Page || len(r.Value) < collectionHead || r.Value[0]&formTree == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(r.Value[1:])
}

// pages is what the row says of its pages, 0 for a row that has none: the sum over them.
func (r *Row) pages() uint64 {
	if r.root() == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(r.Value[9:])
}

// addPages adds to the sum over the pages. Nobody else has the value yet.
func (r *Row) addPages(sum uint64) {
	binary.BigEndian.PutUint64(r.Value[9:], r.pages()+sum)
}

// pageBytes is how much the pages count for in the size of the data set.
func (r *Row) pageBytes() int64 {
	if r.root() == 0 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(r.Value[17:]))
}

// rootCounterBits are for the collections of one entry of the log, each of which takes some bytes of it.
const rootCounterBits = 24

// newRoot is a number that no collection had before.
func (tx *Txn) newRoot() uint64 {
	tx.roots++
	return tx.index<<rootCounterBits | tx.roots
}

// pages are those of one collection. They are in the database that is current when they are used.
type pages struct {
	tx    *Txn
	root  uint64 // names the pages
	sum   uint64 // over all of them, before the entry that is being applied: see settlePages
	bytes uint64 // of all of them
	next  uint64 // the number of the next new page, from 1 on
}

// trees are a collection in formTree: one tree or two, which share their pages, and what the row holds beside.
type trees struct {
	pages
	tree [collectionTrees]tree
	rest []byte // belongs to the type
}

// openTrees reads the value of a row in formTree.
func (tx *Txn) openTrees(value []byte) *trees {
	t := tx.newTrees()
	if len(value) < collectionHead {
		tx.fail(errCollection)
		return t
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(value[1+8*i:]) }
	t.root, t.sum, t.bytes, t.next = number(0), number(1), number(2), number(3)
	for i := range t.tree {
		t.tree[i].top, t.tree[i].count = number(4+2*i), number(5+2*i)
	}
	t.rest = value[collectionHead:]
	return t
}

// newTrees makes empty trees, which get their number with their first page.
func (tx *Txn) newTrees() *trees {
	t := &trees{pages: pages{tx: tx, next: 1}}
	for i := range t.tree {
		t.tree[i].pages = &t.pages
	}
	return t
}

// drop removes all pages of trees that no row has.
func (t *trees) drop() {
	if t.root != 0 {
		t.tx.pending.dropPages(t.tx.space(), t.root)
	}
}

// value is what the row of the collection holds.
func (t *trees) value(form byte) []byte {
	b := append(make([]byte, 0, collectionHead+len(t.rest)), form|formTree)
	for _, n := range []uint64{t.root, t.sum, t.bytes, t.next} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for i := range t.tree {
		b = binary.BigEndian.AppendUint64(b, t.tree[i].top)
		b = binary.BigEndian.AppendUint64(b, t.tree[i].count)
	}
	return append(b, t.rest...)
}

// Rename moves a key to another name in the same database, whatever its size, and replaces what is there. It says whether
// there was such a key.
func (tx *Txn) Rename(from, to []byte) bool {
	row := tx.Lookup(from)
	if row == nil {
		return false
	}
	tx.supplant(to, *row)
	tx.exchange(tx.space(), keyHash(from), from, Row{}) // the pages stay: they have another owner
	return true
}

// supplant is Keep of a row that is another key's, before which Redis deletes what is there.
func (tx *Txn) supplant(key []byte, row Row) {
	before := tx.replace(tx.space(), keyHash(key), key, row)
	if before.exists && (before.expireAt == 0 || !tx.isPast(before.expireAt)) {
		tx.Notify(EventNew, "new", key)
	}
}

// CopyTo stores a copy of row, which is of the current database, under a key of another or the same one.
func (tx *Txn) CopyTo(db int, key []byte, row Row) {
	root := row.root()
	if root == 0 {
		defer tx.Use(tx.Use(db))
		tx.supplant(key, row)
		return
	}
	from, to := tx.openTrees(row.Value), tx.newTrees()
	to.root, to.next, to.rest = tx.newRoot(), from.next, from.rest
	for i := range from.tree {
		to.tree[i].top, to.tree[i].count = from.tree[i].top, from.tree[i].count
		if top := from.tree[i].top; top != 0 {
			tx.copyPages(db, &from.tree[i], &to.tree[i], top)
		}
	}
	row.Value = to.value(row.Value[0])
	defer tx.Use(tx.Use(db))
	tx.supplant(key, row)
}

// copyPages copies a page of a tree and all below it; the copies have the same numbers.
func (tx *Txn) copyPages(db int, from, to *tree, page uint64) {
	n := tx.page(from.root, page)
	if n == nil {
		return
	}
	old := tx.Use(db)
	to.write(page, bytes.Clone(n))
	tx.Use(old)
	for i := 0; n.level() > 0 && i < n.len(); i++ {
		tx.copyPages(db, from, to, n.child(i).page)
	}
}
