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

const pageKeySize = 8 + 8

// pageHash is what a page has for the hash of a key.
func pageHash(root uint64, id uint64) uint64 { return mix(root + id*golden) }

func (tx *Txn) pageKey(root uint64, id uint64) []byte {
	binary.BigEndian.PutUint64(tx.pageName[:], root)
	binary.BigEndian.PutUint64(tx.pageName[8:], id)
	return tx.pageName[:]
}

// page returns a page of a collection of the current database. One that is missing makes the transaction fail, and so does
// one that is damaged when it is loaded.
func (tx *Txn) page(root uint64, id uint64) node {
	row := tx.find(tx.space()|pageBit, pageHash(root, id), tx.pageKey(root, id))
	switch {
	case tx.err != nil:
		return nil
	case row == nil || row.Kind != Page:
		tx.fail(fmt.Errorf("page %d of collection %d: %w", id, root, errNode))
		return nil
	}
	return node(row.Value)
}

// setPage stores a page, or deletes it when n is nil, and returns what that adds to the bytes of the collection. Of a branch
// nobody else may have the bytes: see recount.
func (tx *Txn) setPage(root uint64, id uint64, n node) (bytes uint64) {
	row := Row{}
	if n != nil {
		row = Row{Kind: Page, Value: n}
	}
	before, after := tx.store(tx.space()|pageBit, pageHash(root, id), tx.pageKey(root, id), row)
	return uint64(after.bytes - before.bytes)
}

// recount changes the number of elements below a child of a branch, which is n. One that was stored since the last publish is
// changed where it is: nobody but the transaction has seen it, and nothing of a branch is ever handed out.
func (tx *Txn) recount(root uint64, id uint64, n node, i int, count uint64) {
	c := tx.pending.find(tx.space()|pageBit, pageHash(root, id), tx.pageKey(root, id))
	if c == nil || !c.dirty {
		tx.setPage(root, id, n.withCount(i, count))
		return
	}
	n.setCount(i, count)
	c.row.Version = tx.index
	tx.pending.touch(c)
	tx.pending.noteStale(c)
}

// The sum of a page is taken once an entry, however often the entry has changed it, and added to that in the row of its
// collection then: until the end of the entry, the row has the sum as it was before. A collection whose pages have changed
// was stored in the same entry, or has none any more.

// settlePages brings the sums of pages, and those of the rows of their collections, up to date.
func (tx *Txn) settlePages() {
	p := tx.pending
	for _, i := range p.stale {
		c := &p.changes[i]
		sum := uint64(0)
		if c.row.Kind != 0 {
			sum = rowSum(c.entry.hash, c.row)
		}
		p.sums[binary.BigEndian.Uint64(c.entry.key)] += sum - c.sum
		c.sum, c.stale = sum, false
	}
	for _, i := range p.rooted {
		c := &p.changes[i]
		root := c.row.root()
		more := p.sums[root]
		d := tx.ks.find(c.entry.space)
		if more == 0 || d == nil {
			continue
		}
		delete(p.sums, root)
		d.sum -= c.sum
		c.row.addPages(more)
		c.sum = rowSum(c.entry.hash, c.row)
		d.sum += c.sum
	}
	clear(p.sums)
	p.stale, p.rooted = p.stale[:0], p.rooted[:0]
}
