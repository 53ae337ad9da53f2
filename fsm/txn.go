package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"

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
	roots       uint64 // collections that were given pages
	writes      uint64 // calls that wrote, this one included
	decoder     decoder
	effects     Effects // since the last publish
	told        bool    // somebody here wants messages

	random   uint64 // state of Rand
	seeded   bool
	scratch  []byte // engine keys
	pageName [pageKeySize]byte

	snapshot *pebble.Snapshot // see detach
	frozen   keyspace

	reads     func(key []byte, late bool) // of the Request
	quiet     bool                        // what is looked up is not counted as used
	unsettled bool                        // a read that has to be run again: see settled
	hurried   bool                        // it was run again often enough
	whole     bool                        // see Whole
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
	row := tx.find(space, hash, key)
	if row == nil {
		return nil
	}
	if row.ExpireAt != 0 && tx.isPast(row.ExpireAt) {
		if tx.write {
			tx.replace(space, hash, key, Row{})
			tx.noteExpired(key)
		}
		return nil
	}
	return row
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

// find returns the row of a key, past its time or not, or nil.
func (tx *Txn) find(space uint32, hash uint64, key []byte) *Row {
	if tx.pending != nil {
		if c := tx.pending.find(space, hash, key); c != nil {
			return c.row.orNil()
		}
	}
	if tx.snapshot != nil {
		return tx.load(space, hash, key).found()
	}
	e := tx.m.cache.get(space, hash, key, tx.quiet)
	if e == nil {
		e = tx.fetch(space, hash, key)
	}
	if tx.write && tx.err == nil { // mostly it is written next: do not look it up twice
		if e == nil {
			e = newEntry(space, hash, key)
		}
		tx.pending.add(e, e.header())
	}
	return e.found()
}

// fetch returns the entry of a key that is not in the cache, and puts it there. For a key without a
// row it may return nil: clients often ask for such keys.
func (tx *Txn) fetch(space uint32, hash uint64, key []byte) *entry {
	if tx.m.cache.complete.Load() {
		return nil
	}
	e := tx.m.buffered(space, hash, key)
	if e == nil {
		e = tx.load(space, hash, key)
	}
	if e.found() != nil {
		tx.m.cache.offer(e, tx.quiet)
	}
	return e
}

// load reads a row from the engine; nil means that there is none.
func (tx *Txn) load(space uint32, hash uint64, key []byte) *entry {
	row, closer := tx.get(space, hash, key)
	if closer == nil {
		return nil
	}
	e := newEntry(space, hash, key)
	e.row = row
	e.row.Value = bytes.Clone(row.Value)
	if row.Kind == Page && !node(e.row.Value).valid() {
		tx.fail(errNode)
	}
	tx.fail(closer.Close())
	return e
}

// get returns the stored row, whose Value is good until closer is closed; closer is nil when there
// is no row.
func (tx *Txn) get(space uint32, hash uint64, key []byte) (row Row, closer io.Closer) {
	if tx.err != nil {
		return Row{}, nil
	}
	tx.scratch = appendEntryKey(tx.scratch[:0], space, hash, key)
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
	row.Value = bytes.Clone(row.Value)
	tx.Keep(key, row)
}

// Keep is Put of a row whose Value is not copied: nobody may change it any more. It may be that of
// another row.
func (tx *Txn) Keep(key []byte, row Row) {
	if row.Kind == 0 {
		tx.fail(errors.New("a row without a kind"))
	}
	tx.replace(tx.space(), keyHash(key), key, row)
}

// Delete removes a key and says whether there was one whose time has not passed.
func (tx *Txn) Delete(key []byte) bool {
	h := tx.replace(tx.space(), keyHash(key), key, Row{})
	if h.exists && h.expireAt != 0 && tx.isPast(h.expireAt) {
		tx.noteExpired(key)
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
	changed := *row
	changed.ExpireAt = at
	tx.replace(tx.space(), keyHash(key), key, changed)
	return true
}

// space is that of the current database.
func (tx *Txn) space() uint32 { return tx.ks.dbs[tx.db].space }

// replace makes row, or nothing when its Kind is 0, the row of a key in the space of the current
// database, keeps the counters and the sum, and returns what was there. The pages of a collection that was there
// are dropped, unless row is the same collection.
func (tx *Txn) replace(space uint32, hash uint64, key []byte, row Row) (before header) {
	before, after := tx.exchange(space, hash, key, row)
	if before.root != 0 && before.root != after.root {
		tx.pending.dropPages(space, before.root)
	}
	return before
}

// exchange is replace that leaves the pages alone.
func (tx *Txn) exchange(space uint32, hash uint64, key []byte, row Row) (before, after header) {
	before, after = tx.store(space, hash, key, row)
	tx.ks.dbs[tx.db].count(before, -1)
	tx.ks.dbs[tx.db].count(after, +1)
	if after.exists && (!before.exists || before.expireAt != 0) {
		tx.noteNew(key, before)
	}
	return before, after
}

// store makes row, or nothing when its Kind is 0, what is stored under a key, and returns what was there and what is
// there now.
func (tx *Txn) store(space uint32, hash uint64, key []byte, row Row) (before, after header) {
	if !tx.write {
		tx.fail(errWriteInRead)
	}
	if tx.err != nil {
		return header{}, header{}
	}
	if row.Kind != 0 {
		if row.Version = tx.index; space&pageBit == 0 {
			row.Version = tx.ks.nextVersion(tx.index)
		}
		if row.ExpireAt < 0 { // has no place in the expiry table's order, and is long past anyway
			row.ExpireAt = 1
		}
	}
	c := tx.pending.find(space, hash, key)
	if c != nil {
		before = c.header()
	} else {
		var e *entry
		if e, before = tx.known(space, hash, key); row.Kind != 0 || before.exists {
			c = tx.pending.add(e, before)
		}
	}
	if row.Kind == 0 && !before.exists || tx.err != nil {
		return before, before
	}
	if space&pageBit != 0 {
		tx.pending.set(c, row, c.sum)
		tx.pending.noteStale(c)
		return before, c.header()
	}
	after = headerOf(space, hash, len(key), &row)
	tx.pending.set(c, row, after.sum)
	if after.root != 0 {
		tx.pending.rooted = append(tx.pending.rooted, c.number)
	}
	return before, after
}

// known returns an entry for a key that has no pending change, and what the engine holds, or will
// when the buffer is written. The row of the entry may be missing.
func (tx *Txn) known(space uint32, hash uint64, key []byte) (*entry, header) {
	if e := tx.m.cache.get(space, hash, key, tx.quiet); e != nil {
		return e, e.header()
	}
	if tx.m.cache.complete.Load() {
		return newEntry(space, hash, key), header{}
	}
	if e := tx.m.buffered(space, hash, key); e != nil {
		return e, e.header()
	}
	e := newEntry(space, hash, key)
	row, closer := tx.get(space, hash, key)
	if closer == nil {
		return e, header{}
	}
	h := headerOf(space, hash, len(key), &row)
	tx.fail(closer.Close())
	return e, h
}

// FlushDB empties a logical database, whatever its size, at the cost of two range deletions.
func (tx *Txn) FlushDB(db int) {
	if !tx.write {
		tx.fail(errWriteInRead)
	}
	d := &tx.ks.dbs[db]
	if tx.err == nil && db < Databases {
		tx.replaced(db) // as Redis tells of it, also when there was nothing
	}
	if tx.err != nil || d.keys == 0 {
		return
	}
	if tx.ks.next == lastSpace { // after two thousand million FLUSHDBs
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
		tx.replaced(a)
		tx.replaced(b)
	}
}
