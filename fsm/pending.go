package fsm

import (
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// header is what bookkeeping needs to know of a row.
type header struct {
	exists   bool
	root     uint64 // of the pages of a collection, 0: there are none
	expireAt int64  // 0 means never
	sum      uint64 // see rowSum
	bytes    int64  // see Row.bytes
}

// change is what became of one key since the last publish. A change that is not dirty only
// remembers what was read.
type change struct {
	entry  *entry // has the row from before
	row    *Row   // Kind 0: there is none
	sum    uint64 // of row
	stored header // what the engine holds
	dirty  bool
	stale  bool   // a page whose sum is that of a row before: see settlePages
	client uint64 // who made it: see Changed
	number int32  // its place
	prev   int32  // the change before it with the same cacheID, counted from 1; 0: none
}

// pending collects the effects of the entries that are being applied. Calls see each other's
// effects through it; what is left of them in the end goes to the engine as one batch, a key
// that was written a thousand times as one row.
type pending struct {
	index     table[int32] // cacheID -> last change, counted from 1
	changes   []change
	dropped   []dropped
	bytes     int64 // keys and values held
	minExpire int64 // at or below every expiry time in changes

	// Of the entry that is being applied: see settlePages.
	stale  []int32           // changes of pages
	rooted []int32           // changes that gave keys rows with pages
	sums   map[uint64]uint64 // by the number of a collection: what is to be added to the sum over its pages

	client uint64 // whose request is being run

	rows []Row         // the new ones: room that is used again
	view *pebble.Batch // see overlay; nil when it is to be made anew
}

// What one large batch has blown up is not kept for each small one.
const pendingKeepMax = 1 << 12

func newPending() *pending {
	return &pending{minExpire: math.MaxInt64, sums: make(map[uint64]uint64)}
}

// find returns the change of a key or nil. It is good until the next add.
func (p *pending) find(space uint32, hash uint64, key []byte) *change {
	for i := p.index.get(cacheID(space, hash)); i != 0; i = p.changes[i-1].prev {
		if c := &p.changes[i-1]; c.entry.is(space, hash, key) {
			return c
		}
	}
	return nil
}

// add notes e, whose key has no change yet. The result is good until the next add.
func (p *pending) add(e *entry, stored header) *change {
	id := cacheID(e.space, e.hash)
	p.changes = append(p.changes, change{entry: e, row: &e.row, sum: stored.sum, stored: stored,
		number: int32(len(p.changes)), prev: p.index.get(id)})
	p.index.set(id, int32(len(p.changes)))
	p.bytes += e.cost()
	return &p.changes[len(p.changes)-1]
}

// set gives c's key another row, with this sum.
func (p *pending) set(c *change, row Row, sum uint64) {
	p.bytes += int64(len(row.Value) - len(c.row.Value))
	if len(p.rows) == cap(p.rows) {
		p.rows = make([]Row, 0, min(max(2*cap(p.rows), 64), pendingKeepMax)) // rows are pointed at
	}
	p.rows = append(p.rows, row)
	c.row, c.sum = &p.rows[len(p.rows)-1], sum
	p.touch(c)
}

// noteStale notes that c's page has another sum.
func (p *pending) noteStale(c *change) {
	if !c.stale {
		c.stale = true
		p.stale = append(p.stale, c.number)
	}
}

// touch notes that c's key has another row.
func (p *pending) touch(c *change) {
	if !c.dirty {
		c.client = p.client
	} else if c.client != p.client {
		c.client = 0
	}
	c.dirty = true
	p.noteExpiry(c.row)
	p.closeView()
}

func (p *pending) noteExpiry(row *Row) {
	if row.ExpireAt != 0 {
		p.minExpire = min(p.minExpire, row.ExpireAt)
	}
}

// drop removes a whole space.
func (p *pending) drop(space uint32) {
	p.dropped = append(p.dropped, dropped{space: space})
	p.closeView()
}

// dropPages removes the pages of a collection.
func (p *pending) dropPages(space uint32, root uint64) {
	p.dropped = append(p.dropped, dropped{space, root})
	p.closeView()
}

// dropped is a range of rows that is gone: a whole space, or the pages of a collection.
type dropped struct {
	space uint32
	root  uint64 // 0: the space
}

func (d dropped) writeTo(b *pebble.Batch) error {
	if d.root != 0 {
		return b.DeleteRange(appendCollection(nil, d.space, d.root), appendCollection(nil, d.space, d.root+1), nil)
	}
	for _, table := range []byte{tableRow, tablePage, tableExpiry} {
		if err := b.DeleteRange(appendSpace(nil, table, d.space), appendSpace(nil, table, d.space+1), nil); err != nil {
			return err
		}
	}
	return nil
}

// writeTo adds the effects to b.
func (p *pending) writeTo(b *pebble.Batch) error {
	for i := range p.changes {
		if c := &p.changes[i]; c.dirty {
			if err := c.writeTo(b); err != nil {
				return err
			}
		}
	}
	// Last, so that it covers what was written to a space before it was dropped.
	for _, d := range p.dropped {
		if err := d.writeTo(b); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) writeTo(b *pebble.Batch) error {
	e, now := c.entry, c.header()
	rowSize := rowPrefix + len(e.key)
	if e.space&pageBit != 0 {
		rowSize = spacePrefix + len(e.key)
	}
	switch {
	case now.exists:
		op := b.SetDeferred(rowSize, c.row.encodedSize())
		appendEntryKey(op.Key[:0], e.space, e.hash, e.key)
		c.row.encode(op.Value)
		if err := op.Finish(); err != nil {
			return err
		}
	case c.stored.exists:
		op := b.DeleteDeferred(rowSize)
		appendEntryKey(op.Key[:0], e.space, e.hash, e.key)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if now.expireAt == c.stored.expireAt {
		return nil
	}
	position, expirySize := keyPosition(e.key, e.hash), expiryPrefix+len(e.key)
	if c.stored.expireAt != 0 {
		op := b.DeleteDeferred(expirySize)
		appendExpiryKey(op.Key[:0], e.space, c.stored.expireAt, position, e.key)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	if now.expireAt == 0 {
		return nil
	}
	op := b.SetDeferred(expirySize, 0)
	appendExpiryKey(op.Key[:0], e.space, now.expireAt, position, e.key)
	return op.Finish()
}

// overlay returns the engine as it will be after the pending effects, for commands that walk keys
// in the middle of a batch. It costs as much as the batch is long; they are rare.
func (p *pending) overlay(db *pebble.DB) (pebble.Reader, error) {
	if p.view == nil {
		b := db.NewIndexedBatch()
		if err := p.writeTo(b); err != nil {
			return nil, err
		}
		p.view = b
	}
	return p.view, nil
}

func (p *pending) closeView() {
	if p.view != nil {
		p.view.Close() // a batch that is not committed holds nothing that could fail
		p.view = nil
	}
}

// reset forgets everything.
func (p *pending) reset() {
	p.closeView()
	if len(p.changes) > pendingKeepMax {
		p.index, p.changes = table[int32]{}, nil
	} else {
		for i := range p.changes { // as many steps as there are changes, not as there are slots
			p.index.remove(cacheID(p.changes[i].entry.space, p.changes[i].entry.hash))
		}
		clear(p.changes)
		p.changes = p.changes[:0]
	}
	clear(p.rows)
	p.rows = p.rows[:0]
	p.dropped = p.dropped[:0]
	p.bytes, p.minExpire = 0, math.MaxInt64
}
