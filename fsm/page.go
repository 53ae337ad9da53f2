package fsm

import (
	"encoding/binary"
	"fmt"
)

// A collection that is too large for its row lives in pages: rows of their own that no client can name. They are cached,
// buffered and stored like all rows, under the number of the collection, which is given once and never again. So
// a collection of any size is renamed by moving its row, and deleted by dropping a range.

// pageBit marks, in the number of a space, the pages of the collections of that space.
const pageBit = 1 << 31

const pageKeySize = 8 + 4

// pageHash is what a page has for the hash of a key.
func pageHash(root uint64, id uint32) uint64 { return mix(root + uint64(id)*golden) }

func (tx *Txn) pageKey(root uint64, id uint32) []byte {
	binary.BigEndian.PutUint64(tx.pageName[:], root)
	binary.BigEndian.PutUint32(tx.pageName[8:], id)
	return tx.pageName[:]
}

// page returns a page of a collection of the current database. One that is missing or damaged makes the
// transaction fail.
func (tx *Txn) page(root uint64, id uint32) node {
	row := tx.find(tx.space()|pageBit, pageHash(root, id), tx.pageKey(root, id))
	switch {
	case tx.err != nil:
		return nil
	case row == nil || row.Kind != Page || !node(row.Value).valid():
		tx.fail(fmt.Errorf("page %d of collection %d: %w", id, root, errNode))
		return nil
	}
	return node(row.Value)
}

// setPage stores a page, or deletes it when n is nil, and returns what that adds to the sum of the collection.
func (tx *Txn) setPage(root uint64, id uint32, n node) (sum uint64) {
	row := Row{}
	if n != nil {
		row = Row{Kind: Page, Value: n}
	}
	before, after := tx.store(tx.space()|pageBit, pageHash(root, id), tx.pageKey(root, id), row)
	return after.sum - before.sum
}
