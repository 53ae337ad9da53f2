package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Txn is the keyspace as one command sees it. A command function uses it only until it returns, on
// the goroutine that called it.
//
// Methods return no errors: the first one is remembered, everything after it finds nothing, and
// the machine throws the replies away.
type Txn struct {
	m       *Machine
	ks      *keyspace
	pending *pending // nil in a read

	db    int
	write bool // the call may change state
	now   int64
	// agreed is the time of the log. A key that expires after it is not to be shown as absent
	// before the log says so: agree asks for that.
	agreed int64
	agree  bool
	err    error

	// Of the entry that is being applied.
	index, seed uint64
	writes      uint64 // calls that wrote, this one included
	decoder     decoder

	random  uint64 // state of Rand
	seeded  bool
	scratch []byte // engine keys

	snapshot *pebble.Snapshot // see detach
	frozen   keyspace
}

// begin makes the transaction ready for a call.
func (tx *Txn) begin(c *Call) error {
	if c.DB < 0 || c.DB >= Databases || len(c.Args) == 0 {
		return fmt.Errorf("call of %d arguments on database %d", len(c.Args), c.DB)
	}
	tx.db, tx.seeded = c.DB, false
	tx.write = tx.pending != nil && !c.Read
	if tx.write {
		tx.writes++
	}
	return nil
}

// Now is the time of the call, milliseconds since 1970.
func (tx *Txn) Now() int64 { return tx.now }

// DB is the logical database that the key methods work on.
func (tx *Txn) DB() int { return tx.db }

// Use switches to another logical database and returns the one before.
func (tx *Txn) Use(db int) int {
	old := tx.db
	tx.db = db
	return old
}

// Fail makes the machine throw the replies away and return err: for what must never become a reply.
func (tx *Txn) Fail(err error) { tx.fail(err) }

func (tx *Txn) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// Rand returns the next of a call's random numbers. In a write they are the same on every node.
func (tx *Txn) Rand() uint64 {
	if !tx.seeded {
		if tx.write {
			tx.random = mix(tx.seed + mix(tx.index+mix(tx.writes)))
		} else {
			tx.random = mix(uint64(tx.agreed) + mix(tx.m.randoms.Add(1)))
		}
		tx.seeded = true
	}
	tx.random += golden
	return mix(tx.random)
}

// golden is 2^64 divided by the golden ratio, odd: SplitMix64's step.
const golden = 0x9e3779b97f4a7c15

// mix is the finisher of SplitMix64: every bit of x moves half of the bits of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Lookup returns the row of a key, or nil when there is none or its time has passed. In a write,
// a row whose time has passed is deleted.
func (tx *Txn) Lookup(key []byte) *Row {
	hash, space := keyHash(key), tx.space()
	e := tx.find(space, hash, key)
	if e == nil {
		return nil
	}
	if e.row.ExpireAt != 0 && tx.isPast(e.row.ExpireAt) {
		if tx.write {
			tx.replace(newEntry(space, hash, key, Row{}))
			tx.m.expired.Add(1)
		}
		return nil
	}
	return &e.row
}

// isPast says whether a key with this expiry time is gone.
func (tx *Txn) isPast(expireAt int64) bool {
	if expireAt > tx.now {
		return false
	}
	if expireAt > tx.agreed {
		tx.agree = true
	}
	return true
}

// find returns the entry of a key, past its time or not, or nil.
func (tx *Txn) find(space uint32, hash uint64, key []byte) *entry {
	if tx.pending != nil {
		if c := tx.pending.find(space, hash, key); c != nil {
			if c.entry.row.Kind == 0 {
				return nil
			}
			return c.entry
		}
	}
	if tx.snapshot != nil {
		return tx.load(space, hash, key)
	}
	if e := tx.m.cache.get(space, hash, key); e != nil {
		return e
	}
	var e *entry
	if !tx.m.cache.complete.Load() {
		e = tx.load(space, hash, key)
	}
	if e != nil {
		tx.m.cache.set(e)
	}
	if tx.write && tx.err == nil { // mostly it is written next: do not look it up twice
		if e != nil {
			tx.pending.add(e, e.header())
		} else {
			tx.pending.add(newEntry(space, hash, key, Row{}), header{})
		}
	}
	return e
}

// load reads a row from the engine.
func (tx *Txn) load(space uint32, hash uint64, key []byte) *entry {
	row, closer := tx.get(space, hash, key)
	if closer == nil {
		return nil
	}
	e := newEntry(space, hash, key, row)
	tx.fail(closer.Close())
	return e
}

// get returns the stored row, whose Value is good until closer is closed; closer is nil when there
// is no row.
func (tx *Txn) get(space uint32, hash uint64, key []byte) (row Row, closer io.Closer) {
	if tx.err != nil {
		return Row{}, nil
	}
	tx.scratch = appendRowKey(tx.scratch[:0], space, keyPosition(key, hash), key)
	var b []byte
	var err error
	if tx.snapshot != nil {
		b, closer, err = tx.snapshot.Get(tx.scratch)
	} else {
		b, closer, err = tx.m.db.Get(tx.scratch)
	}
	if errors.Is(err, pebble.ErrNotFound) {
		return Row{}, nil
	}
	if err == nil {
		if row, err = decodeRow(b); err == nil {
			return row, closer
		}
		closer.Close()
	}
	tx.fail(fmt.Errorf("read key %q: %w", shorten(key), located(err)))
	return Row{}, nil
}

// shorten keeps keys in messages readable.
func shorten(key []byte) []byte { return key[:min(len(key), 64)] }

// Put inserts or overwrites a row; key and Value are copied, Version is set here. An expiry time
// before now makes a row that no one will see.
func (tx *Txn) Put(key []byte, row Row) {
	if row.Kind == 0 {
		tx.fail(errors.New("a row without a kind"))
	}
	tx.replace(newEntry(tx.space(), keyHash(key), key, row))
}

// Delete removes a key and says whether there was one whose time has not passed.
func (tx *Txn) Delete(key []byte) bool {
	h := tx.replace(newEntry(tx.space(), keyHash(key), key, Row{}))
	if h.exists && h.expireAt != 0 && tx.isPast(h.expireAt) {
		tx.m.expired.Add(1)
		return false
	}
	return h.exists
}

// SetExpire gives a key another expiry time, milliseconds since 1970, 0 for never, and says
// whether there was one whose time has not passed.
func (tx *Txn) SetExpire(key []byte, at int64) bool {
	row := tx.Lookup(key)
	if row == nil {
		return false
	}
	e := &entry{row: *row, key: bytes.Clone(key), hash: keyHash(key), space: tx.space()}
	e.row.ExpireAt = at
	tx.replace(e)
	return true
}

// space is that of the current database.
func (tx *Txn) space() uint32 { return tx.ks.dbs[tx.db].space }

// replace makes e, or nothing when its Kind is 0, the row of its key in the current database,
// keeps the counters, and returns what was there.
func (tx *Txn) replace(e *entry) (before header) {
	if !tx.write {
		tx.fail(errWriteInRead)
	}
	if tx.err != nil {
		return header{}
	}
	if e.row.Kind != 0 {
		e.row.Version = tx.index
		if e.row.ExpireAt < 0 { // has no place in the expiry table's order, and is long past anyway
			e.row.ExpireAt = 1
		}
	}
	c := tx.pending.find(e.space, e.hash, e.key)
	if c != nil {
		before = c.entry.header()
	} else {
		before = tx.storedHeader(e.space, e.hash, e.key)
	}
	if e.row.Kind == 0 && !before.exists || tx.err != nil {
		return before
	}
	if c != nil {
		tx.pending.replace(c, e)
	} else {
		tx.pending.touch(tx.pending.add(e, before))
	}
	tx.ks.dbs[tx.db].count(before, -1)
	tx.ks.dbs[tx.db].count(e.header(), +1)
	return before
}

// storedHeader is what the engine holds for a key that has no pending change.
func (tx *Txn) storedHeader(space uint32, hash uint64, key []byte) header {
	if e := tx.m.cache.get(space, hash, key); e != nil {
		return e.header()
	}
	if tx.m.cache.complete.Load() {
		return header{}
	}
	row, closer := tx.get(space, hash, key)
	if closer == nil {
		return header{}
	}
	tx.fail(closer.Close())
	return header{true, row.ExpireAt}
}

// FlushDB empties a logical database, whatever its size, at the cost of two range deletions.
func (tx *Txn) FlushDB(db int) {
	if !tx.write {
		tx.fail(errWriteInRead)
	}
	d := &tx.ks.dbs[db]
	if tx.err != nil || d.keys == 0 {
		return
	}
	if tx.ks.next == math.MaxUint32 { // after four thousand million FLUSHDBs
		tx.fail(errors.New("no space numbers left"))
		return
	}
	tx.pending.drop(d.space)
	*d = database{space: tx.ks.next}
	tx.ks.next++
}

// SwapDB exchanges the contents of two logical databases.
func (tx *Txn) SwapDB(a, b int) {
	if !tx.write {
		tx.fail(errWriteInRead)
	}
	if tx.err == nil {
		tx.ks.dbs[a], tx.ks.dbs[b] = tx.ks.dbs[b], tx.ks.dbs[a]
	}
}
