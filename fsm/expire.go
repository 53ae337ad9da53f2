package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// count adds (sign +1) or takes away (-1) a row. The sum wraps around.
func (d *database) count(h header, sign int64) {
	if h.exists {
		d.keys += sign
		d.sum += uint64(sign) * h.sum
		d.bytes += sign * h.bytes
	}
	if h.expireAt != 0 {
		d.expires += sign
	}
}

// Count is the number of keys of a logical database whose time has not passed.
func (tx *Txn) Count(db int) int64 { return tx.ks.dbs[db].keys - tx.dueCount(db) }

// Expires is how many of them have an expiry time.
func (tx *Txn) Expires(db int) int64 { return tx.ks.dbs[db].expires - tx.dueCount(db) }

// maxExpiry is above the expiry time of every key.
const maxExpiry = math.MaxInt64 - 1

// dueCount is the number of rows whose time has passed but which no sweep has deleted yet.
func (tx *Txn) dueCount(db int) (n int64) {
	tx.walkDue(db, func(at int64, _ []byte) bool {
		n++
		tx.isPast(at)
		return !tx.agree // the reply will be thrown away
	})
	return n
}

// walkDue calls fn with the keys of a database whose time has passed, oldest first, until it
// returns false. key is good only until fn returns.
func (tx *Txn) walkDue(db int, fn func(at int64, key []byte) bool) { tx.walkExpiring(db, tx.now, fn) }

// walkExpiring is walkDue with those whose time has passed at a time.
func (tx *Txn) walkExpiring(db int, at int64, fn func(at int64, key []byte) bool) {
	d := &tx.ks.dbs[db]
	from := tx.dueFrom(db)
	if d.expires == 0 || from > at {
		return
	}
	it := tx.newIter(appendExpiryBound(nil, d.space, from), appendExpiryBound(nil, d.space, at+1))
	if it == nil {
		return
	}
	defer tx.closeIter(it)
	for ok := it.First(); ok; ok = it.Next() {
		at, key, err := splitExpiryKey(it.Key())
		if err != nil {
			tx.fail(fmt.Errorf("%w %q in the expiry table", err, shorten(it.Key())))
			return
		}
		if !fn(at, key) {
			return
		}
	}
}

// dueFrom is at or below the first expiry time of a database.
func (tx *Txn) dueFrom(db int) int64 {
	switch {
	case tx.snapshot != nil: // the bounds belong to a later state by now
		return 0
	case tx.pending == nil:
		return tx.m.due[db].Load()
	case tx.ks.dbs[db].space != tx.m.ks.dbs[db].space:
		return 0
	}
	return min(tx.m.due[db].Load(), tx.pending.minExpire)
}

// dueKey is a key that a sweep has found.
type dueKey struct {
	at  int64
	db  int
	key []byte
}

// Sweep deletes at most limit keys whose time has passed, of all databases, oldest first, and
// returns how many. Keys of the same time go in the order of databases and storage, so that all
// nodes delete the same ones.
func (tx *Txn) Sweep(limit int) int {
	if !tx.write {
		tx.fail(errWriteInRead)
		return 0
	}
	var found []dueKey
	for db := range allDatabases {
		left := limit
		tx.walkDue(db, func(at int64, key []byte) bool {
			if left == 0 {
				return false
			}
			found = append(found, dueKey{at, db, bytes.Clone(key)})
			left--
			return true
		})
	}
	slices.SortStableFunc(found, func(a, b dueKey) int { return cmp.Compare(a.at, b.at) })
	found = found[:min(len(found), max(limit, 0))]
	back := tx.db
	for i := range found {
		tx.sweepKey(&found[i])
	}
	tx.db = back
	if tx.err != nil {
		return 0
	}
	tx.m.expired.Add(uint64(len(found)))
	return len(found)
}

// sweepKey deletes a key found in the expiry table.
func (tx *Txn) sweepKey(d *dueKey) {
	tx.db = d.db
	before := tx.replace(tx.space(), keyHash(d.key), d.key, Row{})
	if before.expireAt != d.at {
		tx.fail(fmt.Errorf("the expiry table has key %q at %d, its row at %d", shorten(d.key), d.at, before.expireAt))
	}
	tx.Notify(EventExpired, "expired", d.key)
}

// ExpireDue says whether a key's time has passed at now, milliseconds since 1970, so that a sweep
// would find something. It mostly costs nothing.
func (m *Machine) ExpireDue(now int64) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return false
	}
	for db := range m.due {
		bound := m.due[db].Load()
		if m.ks.dbs[db].expires == 0 || bound > now {
			continue
		}
		// The buffers first: what they hold may get into the engine at any time.
		buffered := m.bufferedExpiry()
		first, err := m.firstExpiry(m.ks.dbs[db].space, bound)
		if err != nil {
			m.fail(fmt.Errorf("read the expiry table: %w", located(err)))
			return false
		}
		// What was earliest in the buffers may have been replaced since. Then the sweep that this calls
		// for writes them, and finds nothing.
		first = min(first, buffered)
		// The lock keeps publishers away: what is in the table now is what first was read from.
		m.due[db].CompareAndSwap(bound, first)
		if first <= now {
			return true
		}
	}
	return false
}

// firstExpiry is the first expiry time in a space from a bound on that the engine knows and that the
// buffers have not made void, or the highest number. Starting at the bound keeps it from walking over
// what sweeps have deleted.
func (m *Machine) firstExpiry(space uint32, from int64) (int64, error) {
	it, err := m.db.NewIter(&pebble.IterOptions{
		LowerBound: appendExpiryBound(nil, space, from),
		UpperBound: appendSpace(nil, tableExpiry, space+1),
	})
	if err != nil {
		return 0, err
	}
	first := int64(math.MaxInt64)
	for ok := it.First(); ok; ok = it.Next() {
		at, key, err := splitExpiryKey(it.Key())
		if err != nil {
			it.Close()
			return 0, err
		}
		if e := m.buffered(space, keyHash(key), key); e == nil || e.row.ExpireAt == at {
			first = at
			break
		}
	}
	return first, it.Close()
}
