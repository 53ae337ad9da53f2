package fsm

import (
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
)

// treeSize is the value of a row in formTree: form, number of the pages 8, sum over them 8, the next page 4, the top
// page 4, elements 8.
const treeSize = 1 + 8 + 8 + 4 + 4 + 8

var errCollection = errors.New("damaged collection")

// root is the number under which the pages of a collection are, or 0.
func (r *Row) root() uint64 {
	if r.Kind == String || r.Kind == Page || len(r.Value) != treeSize || r.Value[0]&formTree == 0 {
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

// rootCounterBits are for the collections of one entry of the log, each of which takes some bytes of it.
const rootCounterBits = 24

// newRoot is a number that no collection had before.
func (tx *Txn) newRoot() uint64 {
	tx.roots++
	return tx.index<<rootCounterBits | tx.roots
}

// treeRow is the tree of a collection and what its row holds beside.
type treeRow struct {
	tree
	count, sumOfPages uint64
	nextPage          uint32
}

// openTree reads the value of a row in formTree.
func (tx *Txn) openTree(value []byte) *treeRow {
	t := &treeRow{}
	t.tx, t.next, t.sum = tx, &t.nextPage, &t.sumOfPages
	if len(value) != treeSize {
		tx.fail(errCollection)
		return t
	}
	t.root = binary.BigEndian.Uint64(value[1:])
	t.sumOfPages = binary.BigEndian.Uint64(value[9:])
	t.nextPage = binary.BigEndian.Uint32(value[17:])
	t.top = binary.BigEndian.Uint32(value[21:])
	t.count = binary.BigEndian.Uint64(value[25:])
	return t
}

// newTree makes an empty tree.
func (tx *Txn) newTree() *treeRow {
	t := &treeRow{nextPage: 1}
	t.tx, t.next, t.sum, t.root = tx, &t.nextPage, &t.sumOfPages, tx.newRoot()
	return t
}

// value is what the row of the collection holds.
func (t *treeRow) value(form byte) []byte {
	b := append(make([]byte, 0, treeSize), form|formTree)
	b = binary.BigEndian.AppendUint64(b, t.root)
	b = binary.BigEndian.AppendUint64(b, t.sumOfPages)
	b = binary.BigEndian.AppendUint32(b, t.nextPage)
	b = binary.BigEndian.AppendUint32(b, t.top)
	return binary.BigEndian.AppendUint64(b, t.count)
}

// Rename moves a key to another name in the same database, whatever its size, and replaces what is there. It says whether
// there was such a key.
func (tx *Txn) Rename(from, to []byte) bool {
	row := tx.Lookup(from)
	if row == nil {
		return false
	}
	tx.Keep(to, *row)
	tx.exchange(tx.space(), keyHash(from), from, Row{}) // the pages stay: they have another owner
	return true
}

// CopyTo stores a copy of row, which is of the current database, under a key of another or the same one.
func (tx *Txn) CopyTo(db int, key []byte, row Row) {
	root := row.root()
	if root == 0 {
		defer tx.Use(tx.Use(db))
		tx.Keep(key, row)
		return
	}
	from, form := tx.openTree(row.Value), row.Value[0]
	to := tx.newTree()
	to.top, to.nextPage, to.count = from.top, from.nextPage, from.count
	if from.top != 0 {
		tx.copyPages(db, &from.tree, &to.tree, from.top)
	}
	row.Value = to.value(form)
	defer tx.Use(tx.Use(db))
	tx.Keep(key, row)
}

// copyPages copies a page of a tree and all below it; the copies have the same numbers.
func (tx *Txn) copyPages(db int, from, to *tree, page uint32) {
	n := tx.page(from.root, page)
	if n == nil {
		return
	}
	old := tx.Use(db)
	to.write(page, n)
	tx.Use(old)
	for i := 0; n.level() > 0 && i < n.len(); i++ {
		tx.copyPages(db, from, to, n.child(i).page)
	}
}
