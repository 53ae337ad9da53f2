package fsm

import (
	"math"
	"sync/atomic"
)

// What is known of the use of keys is in the entries of the cache, on each node for itself: when a key was last used, and
// how often, as Redis counts it. A key that is not in the cache is taken to be colder than any that is.

const (
	usesFirst = 5 // of a new key, so that it has a chance to be used again
	usesMax   = 255
	// usesTick is what the clock counts, in milliseconds: finer than Redis's second, since a data set may be turned over
	// in one.
	usesTick       = 100
	ticksPerSecond = 1000 / usesTick
	ticksPerMinute = 60 * ticksPerSecond
)

// uses are the rules of counting. The clock is set from outside.
type uses struct {
	clock     atomic.Uint32 // ticks since the machine was opened, from 1 on; 0: there is none
	count     atomic.Bool   // uses are counted, and not only their time noted
	logFactor atomic.Uint64
	decayTime atomic.Uint32 // minutes
}

func (u *uses) configure(l Limit) {
	u.count.Store(l.Policy.LFU())
	u.logFactor.Store(uint64(min(l.LogFactor, math.MaxInt32)))
	u.decayTime.Store(uint32(min(l.DecayTime, math.MaxInt32)))
}

// note counts a use of e. random decides whether the counter grows: the higher it is, the less likely.
func (u *uses) note(e *entry, random *uint64) {
	now := max(u.clock.Load(), 1)
	switch {
	case e.used == 0:
		e.uses = usesFirst
	case u.count.Load():
		n := u.frequency(e, now)
		*random += golden
		if n < usesMax && mix(*random)%(uint64(max(n, usesFirst)-usesFirst)*u.logFactor.Load()+1) == 0 {
			n++
		}
		e.uses = n
	}
	e.used = now
}

// frequency is the counter of e at a time: it loses one in every DecayTime without a use.
func (u *uses) frequency(e *entry, now uint32) uint8 {
	decay := u.decayTime.Load()
	if decay == 0 {
		return e.uses
	}
	minutes := (now/ticksPerMinute - min(e.used, now)/ticksPerMinute) / decay
	return e.uses - uint8(min(minutes, uint32(e.uses)))
}

// Usage is what a node knows of the use of a key.
type Usage struct {
	Idle      int64 // since the last one, in tenths of a second
	Frequency uint8 // Redis's logarithmic counter
}

// SetClock tells the time in milliseconds by which uses of keys are noted.
func (m *Machine) SetClock(now int64) {
	m.opened.CompareAndSwap(0, now)
	m.cache.uses.clock.Store(uint32(max(now-m.opened.Load(), 0)/usesTick) + 1)
}

// Peek is Lookup that does not count as a use.
func (tx *Txn) Peek(key []byte) *Row { return tx.lookup(key, true) }

// Touch is Lookup that counts as a use, even if the client said that its calls do not.
func (tx *Txn) Touch(key []byte) *Row { return tx.lookup(key, false) }

func (tx *Txn) lookup(key []byte, quiet bool) *Row {
	before := tx.quiet
	tx.quiet = quiet
	row := tx.Lookup(key)
	tx.quiet = before
	return row
}

// Usage tells what this node knows of the use of a key: of one that is not in the cache only since when the machine
// is open.
func (tx *Txn) Usage(key []byte) Usage {
	c := tx.m.cache
	if u, known := c.usage(tx.space(), keyHash(key), key); known {
		return u
	}
	return Usage{Idle: int64(c.uses.clock.Load())}
}

// usage is what the cache knows of the use of a key, if anything.
func (c *cache) usage(space uint32, hash uint64, key []byte) (u Usage, known bool) {
	id := cacheID(space, hash)
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries.get(id)
	if e == nil || e.used == 0 || !e.is(space, hash, key) {
		return Usage{}, false
	}
	now := max(c.uses.clock.Load(), e.used)
	return Usage{int64(now - e.used), c.uses.frequency(e, now)}, true
}
