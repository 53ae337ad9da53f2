package fsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Victim is a key that is to go. It is spared if it was written after Version.
type Victim struct {
	DB      int
	Key     []byte
	Version uint64
	Bytes   int64 // of the data set
}

// Hand remembers where the last search for victims ended, so that all keys are looked at in turn: those of a space lie
// in the order of their hashes, so that neighbours are as good as random ones. The zero Hand starts anywhere.
type Hand struct {
	db  int
	key []byte // of the engine
}

// victimPool is how many of the best candidates are kept for the next choice, as many as in Redis.
const victimPool = 16

// Victims picks keys by the policy until they make up so many bytes, at most limit of them. None may be there to be
// picked. r is a random number.
func (m *Machine) Victims(hand *Hand, r uint64, wanted int64, limit int) (picked []Victim, err error) {
	if err := m.enter(); err != nil {
		return nil, err
	}
	defer m.leave()
	if err := m.settle(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	if err := m.drain(); err != nil { // what was published since
		m.mu.RUnlock()
		return nil, err
	}
	p := picker{m: m, snapshot: m.db.NewSnapshot(), ks: m.ks, limit: m.ks.settings.Limit.OrDefault(), hand: hand, random: r}
	if p.limit.Policy == VolatileTTL {
		p.from, p.err = m.raiseDue()
	}
	m.mu.RUnlock()
	defer p.snapshot.Close()
	switch p.limit.Policy {
	case NoEviction:
	case VolatileTTL:
		picked = p.soonest(wanted, limit)
	default:
		picked = p.worst(wanted, limit)
	}
	if p.err != nil {
		return nil, m.fail(fmt.Errorf("choose keys to evict: %w", located(p.err)))
	}
	return picked, nil
}

// candidate is a key that may become a victim.
type candidate struct {
	Victim
	score int64 // the highest goes first
}

// picker goes over keys and chooses among them.
type picker struct {
	m        *Machine
	snapshot *pebble.Snapshot
	ks       keyspace
	limit    Limit
	hand     *Hand
	random   uint64

	it   *pebble.Iterator // over the table of hand.db, nil: to be made
	seen int64            // keys that it has come by
	pool []candidate      // the best so far, by score
	from [Databases]int64 // where the expiry tables begin, for VolatileTTL
	err  error
}

// worst picks the worst keys among those that the hand comes by.
func (p *picker) worst(wanted int64, limit int) (picked []Victim) {
	for len(picked) < limit && wanted > 0 && p.err == nil {
		v := p.next()
		if v == nil {
			break
		}
		picked = append(picked, *v)
		wanted -= v.Bytes
	}
	p.close()
	return picked
}

// next returns the next victim, or nil when every key was looked at.
func (p *picker) next() *Victim {
	for range p.limit.Samples {
		c := p.step()
		if c == nil {
			break
		}
		at, _ := slices.BinarySearchFunc(p.pool, c.score, func(c candidate, score int64) int { return cmp.Compare(c.score, score) })
		p.pool = slices.Insert(p.pool, at, *c)
		if len(p.pool) > victimPool {
			p.pool = slices.Delete(p.pool, 0, 1)
		}
	}
	return p.best()
}

// best takes the last of the pool out.
func (p *picker) best() *Victim {
	if len(p.pool) == 0 || p.err != nil {
		return nil
	}
	c := p.pool[len(p.pool)-1]
	p.pool = p.pool[:len(p.pool)-1]
	if p.limit.Policy == AllKeysRandom || p.limit.Policy == VolatileRandom {
		p.pool = p.pool[:0]
	}
	return &c.Victim
}

// table is where the candidates of the policy are listed, and how many of a database.
func (p *picker) table(d *database) (table byte, keys int64) {
	if p.limit.Policy.Volatile() {
		return tableExpiry, d.expires
	}
	return tableRow, d.keys
}

// step returns the next candidate in the order of the tables, or nil after each was looked at once.
func (p *picker) step() *candidate {
	total := int64(0)
	for i := range Databases {
		_, n := p.table(&p.ks.dbs[i])
		total += n
	}
	for turns := 0; p.seen < total && turns <= Databases && p.err == nil; turns++ {
		if p.it != nil || p.open() {
			if c := p.candidate(); c != nil {
				p.it.Next()
				p.seen++
				return c
			}
		}
		p.turn()
	}
	return nil
}

// open begins to walk over the database of the hand, from where it was, unless there are no keys.
func (p *picker) open() bool {
	d := &p.ks.dbs[p.hand.db]
	table, keys := p.table(d)
	if keys == 0 {
		return false
	}
	lower := appendSpace(nil, table, d.space)
	if p.it, p.err = p.snapshot.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendSpace(nil, table, d.space+1)}); p.err != nil {
		return false
	}
	if p.hand.key == nil && p.seen == 0 && table == tableRow {
		p.hand.key = appendRowKey(nil, d.space, p.draw()%positionEnd, nil)
	}
	if bytes.HasPrefix(p.hand.key, lower) {
		p.it.SeekGE(p.hand.key)
	} else {
		p.it.First()
	}
	return true
}

// turn goes on to the beginning of the next database.
func (p *picker) turn() {
	if p.it != nil {
		p.err = errors.Join(p.err, p.it.Close())
		p.it = nil
	}
	p.hand.db, p.hand.key = (p.hand.db+1)%Databases, []byte{}
}

// close leaves the hand where the walk is.
func (p *picker) close() {
	if p.it == nil {
		return
	}
	if p.it.Valid() {
		p.hand.key = bytes.Clone(p.it.Key())
	}
	p.err = errors.Join(p.err, p.it.Close())
}

// candidate is what the iterator stands on, nil at the end.
func (p *picker) candidate() *candidate {
	if !p.it.Valid() {
		return nil
	}
	v := p.row
	if p.limit.Policy.Volatile() {
		v = p.volatile
	}
	c := &candidate{Victim: v()}
	if p.err != nil {
		return nil
	}
	c.score = p.score(p.ks.dbs[c.DB].space, c.Key)
	return c
}

func (p *picker) row() Victim {
	_, key, err := splitRowKey(p.it.Key())
	var b []byte
	if err == nil {
		b, err = p.it.ValueAndErr()
	}
	if err != nil {
		p.err = err
		return Victim{}
	}
	return p.victim(p.hand.db, key, b)
}

func (p *picker) volatile() Victim {
	_, key, err := splitExpiryKey(p.it.Key())
	if err != nil {
		p.err = err
		return Victim{}
	}
	return p.lookup(p.hand.db, key)
}

// lookup reads the row of a key in the expiry table.
func (p *picker) lookup(db int, key []byte) Victim {
	b, closer, err := p.snapshot.Get(appendEntryKey(nil, p.ks.dbs[db].space, keyHash(key), key))
	if err != nil {
		p.err = fmt.Errorf("key %q of the expiry table: %w", shorten(key), err)
		return Victim{}
	}
	v := p.victim(db, key, b)
	p.err = errors.Join(p.err, closer.Close())
	return v
}

// victim describes a key by its stored row.
func (p *picker) victim(db int, key, stored []byte) Victim {
	row, err := decodeRow(stored)
	if err != nil {
		p.err = fmt.Errorf("key %q: %w", shorten(key), err)
		return Victim{}
	}
	return Victim{db, bytes.Clone(key), row.Version, row.bytes(p.ks.dbs[db].space, len(key))}
}

// score is the higher the sooner a key should go.
func (p *picker) score(space uint32, key []byte) int64 {
	switch p.limit.Policy {
	case AllKeysRandom, VolatileRandom:
		return int64(p.draw() >> 1)
	}
	u, known := p.m.cache.usage(space, keyHash(key), key)
	switch {
	case !known:
		return math.MaxInt64
	case p.limit.Policy.LFU():
		return usesMax - int64(u.Frequency)
	}
	return u.Idle
}

func (p *picker) draw() uint64 {
	p.random += golden
	return mix(p.random)
}

// soonest picks the keys that expire first.
func (p *picker) soonest(wanted int64, limit int) (picked []Victim) {
	var due []dueKey
	for db := range Databases {
		due = append(due, p.firstDue(db, limit)...)
	}
	slices.SortStableFunc(due, func(a, b dueKey) int { return cmp.Compare(a.at, b.at) })
	for i := range due {
		if len(picked) == limit || wanted <= 0 || p.err != nil {
			break
		}
		v := p.lookup(due[i].db, due[i].key)
		picked = append(picked, v)
		wanted -= v.Bytes
	}
	return picked
}

// firstDue lists the first keys of the expiry table of a database.
func (p *picker) firstDue(db, limit int) (due []dueKey) {
	d := &p.ks.dbs[db]
	if d.expires == 0 || p.err != nil {
		return nil
	}
	it, err := p.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: appendExpiryBound(nil, d.space, p.from[db]), UpperBound: appendSpace(nil, tableExpiry, d.space+1)})
	if err != nil {
		p.err = err
		return nil
	}
	for ok := it.First(); ok && len(due) < limit; ok = it.Next() {
		at, key, err := splitExpiryKey(it.Key())
		if err != nil {
			p.err = err
			break
		}
		due = append(due, dueKey{at, db, bytes.Clone(key)})
	}
	p.err = errors.Join(p.err, it.Close())
	return due
}

// raiseDue looks where the expiry tables begin, so that a search does not go over what was deleted. Called with the
// lock held, when the buffers are empty.
func (m *Machine) raiseDue() (from [Databases]int64, err error) {
	for db := range m.due {
		bound := m.due[db].Load()
		if m.ks.dbs[db].expires == 0 {
			continue
		}
		first, err := m.firstExpiry(m.ks.dbs[db].space, bound)
		if err != nil {
			return from, err
		}
		m.due[db].CompareAndSwap(bound, first)
		from[db] = first
	}
	return from, nil
}
