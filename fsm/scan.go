package fsm

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// newIter walks the engine between two keys as the transaction sees it. It returns nil after an
// error, and in a read that has to be run again.
func (tx *Txn) newIter(lower, upper []byte) *pebble.Iterator {
	if !tx.settled() {
		return nil
	}
	var r pebble.Reader = tx.m.db
	switch {
	case tx.snapshot != nil:
		r = tx.snapshot
	case tx.pending != nil:
		var err error
		if r, err = tx.pending.overlay(tx.m.db); err != nil {
			tx.fail(err)
			return nil
		}
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		tx.fail(fmt.Errorf("walk keys: %w", located(err)))
		return nil
	}
	return it
}

// closeIter ends a walk; an iterator that met an error looks like one that came to the end.
func (tx *Txn) closeIter(it *pebble.Iterator) {
	if err := it.Close(); err != nil {
		tx.fail(fmt.Errorf("walk keys: %w", located(err)))
	}
}

// Scan calls fn with the keys of the current database from a cursor on, in storage order, until fn
// returns false, and returns the cursor to go on with, 0 at the end. Cursor 0 starts. A key that
// exists from the first call of a full walk to the last is seen, whatever happens to others in
// between and whichever node is asked. key and row are good only until fn returns.
//
// Keys with the same slot and hash have the same cursor and are not separated: fn is called with
// them also after it has returned false.
func (tx *Txn) Scan(cursor uint64, fn func(key []byte, row *Row) bool) (next uint64) {
	if cursor >= positionEnd {
		return 0
	}
	tx.detach()
	space := tx.space()
	it := tx.newIter(appendRowKey(nil, space, cursor, nil), appendSpace(nil, tableRow, space+1))
	if it == nil {
		return 0
	}
	defer tx.closeIter(it)
	stopped, last := false, uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		position, key, row, live := tx.row(it)
		if tx.err != nil {
			return 0
		}
		if stopped && position != last {
			return position
		}
		if live && !fn(key, &row) {
			stopped, last = true, position
		}
	}
	return 0
}

// ScanSlot calls fn with the keys of the current database that are in a hash slot, until fn returns
// false. key is good only until fn returns.
func (tx *Txn) ScanSlot(slot uint16, fn func(key []byte) bool) {
	on := true
	tx.Scan(uint64(slot)<<hashBits, func(key []byte, _ *Row) bool {
		on = on && Slot(key) == slot && fn(key)
		return on
	})
}

// row takes apart what an iterator over rows stands on; live says that its time has not passed.
func (tx *Txn) row(it *pebble.Iterator) (position uint64, key []byte, row Row, live bool) {
	position, key, err := splitRowKey(it.Key())
	if err != nil {
		tx.fail(fmt.Errorf("%w %q", err, shorten(it.Key())))
		return
	}
	b, err := it.ValueAndErr()
	if err == nil {
		row, err = decodeRow(b)
	}
	if err != nil {
		tx.fail(fmt.Errorf("read key %q: %w", shorten(key), located(err)))
		return
	}
	return position, key, row, row.ExpireAt == 0 || !tx.isPast(row.ExpireAt)
}

// RandomKey returns a key of the current database that r decides on, or nil when there is none.
// Keys are about equally likely.
func (tx *Txn) RandomKey(r uint64) []byte {
	if tx.Count(tx.db) == 0 || tx.err != nil {
		return nil
	}
	space := tx.space()
	it := tx.newIter(appendSpace(nil, tableRow, space), appendSpace(nil, tableRow, space+1))
	if it == nil {
		return nil
	}
	defer tx.closeIter(it)
	// First a slot, then a place in it: keys that share a {tag} share a slot, and going to a place
	// among all slots would nearly always end at the first of them.
	slot := r >> (64 - 14) << hashBits
	ok := it.SeekGE(appendRowKey(nil, space, slot, nil)) || it.First()
	if ok {
		position, _, _, _ := tx.row(it)
		slot = position &^ hashMask
		ok = it.SeekGE(appendRowKey(nil, space, slot|r&hashMask, nil)) || it.First()
	}
	// A few steps on, since keys that happen to follow a gap would come too often.
	steps := mix(r) % randomSteps
	for wraps := uint64(0); tx.err == nil; ok = it.Next() {
		if !ok {
			if wraps > randomSteps || !it.First() {
				return nil
			}
			wraps++
		}
		if _, key, _, live := tx.row(it); live {
			if steps == 0 {
				return bytes.Clone(key)
			}
			steps--
		}
	}
	return nil
}

const randomSteps = 16
