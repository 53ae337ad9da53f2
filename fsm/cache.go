package fsm

import (
	"bytes"
	"sync"
	"sync/atomic"
)

const (
	cacheShards = 64
	// entryOverhead is what an entry costs beside its key and value: the struct, two allocations'
	// rounding and its place in a shard's map. Measured, see TestEntryOverhead.
	entryOverhead = 200
	// A row is not cached when it would take more than this part of its shard.
	shardFraction = 4
)

// entry is a row in memory with its key. What names it never changes. The row is replaced when a new
// one is published, under the machine's lock, so that a hot key keeps its place in the maps and lists;
// the value that a row points to never changes. The flags and links belong to the shard.
type entry struct {
	hash   uint64 // of key
	space  uint32
	buffer uint32 // the number of the last buffer that took the entry in, 0: none did
	key    []byte
	short  [shortKey]byte // what key points to, if it is no longer: then a lookup reads no other memory
	row    Row            // Kind 0: there is none
	sum    uint64         // of the row, 0: not known; the writer's own

	cached, visited bool
	uses            uint8  // see uses
	used            uint32 // when, by the clock of uses; 0: not since it is in memory
	prev, next      *entry
}

// shortKey makes an entry as long as one of the sizes in which Go allocates memory.
const shortKey = 30

// newEntry copies the key.
func newEntry(space uint32, hash uint64, key []byte) *entry {
	e := &entry{hash: hash, space: space}
	e.key = append(e.short[:0], key...)
	return e
}

func (e *entry) is(space uint32, hash uint64, key []byte) bool {
	return e.hash == hash && e.space == space && bytes.Equal(e.key, key)
}

// found returns the row, or nil when there is none; e may be nil, too.
func (e *entry) found() *Row {
	if e == nil {
		return nil
	}
	return e.row.orNil()
}

func (e *entry) cost() int64 { return entryCost(e, &e.row) }

// entryCost is what an entry costs with this row.
func entryCost(e *entry, row *Row) int64 {
	return entryOverhead + int64(len(e.key)+len(row.Value))
}

// cacheID names a row in the maps of the cache and of the pending writes. Two rows may share one.
func cacheID(space uint32, hash uint64) uint64 {
	return hash ^ uint64(space)*golden
}

// cache holds rows that were read or written lately, bounded in bytes, so that a hot key is
// answered without Pebble. It holds committed rows only: writers put them in while they publish,
// readers offer them while they hold the machine's lock.
//
// What goes is decided by SIEVE (Zhang et al., NSDI 2024): a hit only marks an entry, and a hand
// that walks from old to new takes the first unmarked one. A scan of cold keys passes through
// without pushing out the hot ones.
//
// As long as the cache holds every row that there is, a key that is not in it does not exist, and
// nobody has to look in the engine: complete says so. It ends with the first row that the cache
// refuses or lets go, and comes back when the machine is empty.
type cache struct {
	shards   [cacheShards]shard
	complete atomic.Bool
	uses     uses
}

type shard struct {
	mu             sync.Mutex
	entries        table[*entry]
	head, tail     *entry // newest, oldest
	hand           *entry // next candidate, nil: start at tail
	used, capacity int64
	hits, misses   uint64
	random         uint64
	_              [24]byte // keeps shards on cache lines of their own
}

func newCache(capacity int64) *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i].capacity = max(capacity, 0) / cacheShards
	}
	return c
}

func (c *cache) shard(id uint64) *shard { return &c.shards[id%cacheShards] }

// get returns the cached row of a key, or nil. quiet: that is not a use.
func (c *cache) get(space uint32, hash uint64, key []byte, quiet bool) *entry {
	id := cacheID(space, hash)
	s := c.shard(id)
	s.mu.Lock()
	e := s.entries.get(id)
	if e == nil || !e.is(space, hash, key) {
		s.misses++
		s.mu.Unlock()
		return nil
	}
	if !quiet {
		e.visited = true
		c.uses.note(e, &s.random)
	}
	s.hits++
	s.mu.Unlock()
	return e
}

// put makes row the row of e and e that of its key in the cache.
func (c *cache) put(e *entry, row *Row) {
	id := cacheID(e.space, e.hash)
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.cached {
		s.used += entryCost(e, row) - e.cost()
		e.row = *row
		e.visited = true
		c.bound(s, id, e)
		return
	}
	e.row = *row
	c.insert(s, id, e)
	if e.used == 0 {
		c.uses.note(e, &s.random)
	}
}

// offer caches what a reader has found, unless somebody else was faster. quiet: that was not a use.
func (c *cache) offer(e *entry, quiet bool) {
	id := cacheID(e.space, e.hash)
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries.get(id); old == nil || !old.is(e.space, e.hash, e.key) {
		c.insert(s, id, e)
		if !quiet {
			c.uses.note(e, &s.random)
		}
	}
}

// insert takes e in, in place of what has its id.
func (c *cache) insert(s *shard, id uint64, e *entry) {
	if old := s.entries.get(id); old != nil {
		e.visited = old.visited
		s.unlink(id, old)
		if old.is(e.space, e.hash, e.key) {
			e.uses, e.used = old.uses, old.used
		} else {
			c.complete.Store(false)
		}
	}
	s.entries.set(id, e)
	s.used += e.cost()
	e.cached = true
	e.prev, e.next = nil, s.head
	if s.head != nil {
		s.head.prev = e
	} else {
		s.tail = e
	}
	s.head = e
	c.bound(s, id, e)
}

// bound makes room after e has been cached or has got another row.
func (c *cache) bound(s *shard, id uint64, e *entry) {
	if e.cost() > s.capacity/shardFraction {
		c.complete.Store(false)
		s.unlink(id, e)
	}
	for s.used > s.capacity {
		c.complete.Store(false)
		s.evict()
	}
}

// remove forgets a key.
func (c *cache) remove(e *entry) {
	id := cacheID(e.space, e.hash)
	s := c.shard(id)
	s.mu.Lock()
	if old := s.entries.get(id); old != nil && old.is(e.space, e.hash, e.key) {
		s.unlink(id, old)
	}
	e.used = 0 // one that comes after it is another key
	s.mu.Unlock()
}

// clear forgets everything, when there are no rows left.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.entries = table[*entry]{}
		s.head, s.tail, s.hand, s.used = nil, nil, nil, 0
		s.mu.Unlock()
	}
	c.complete.Store(true)
}

// evict takes out one entry; there is one.
func (s *shard) evict() {
	e := s.hand
	for {
		if e == nil {
			e = s.tail
		}
		if !e.visited {
			break
		}
		e.visited = false
		e = e.prev
	}
	s.hand = e
	s.unlink(cacheID(e.space, e.hash), e)
}

func (s *shard) unlink(id uint64, e *entry) {
	if s.hand == e {
		s.hand = e.prev
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		s.tail = e.prev
	}
	e.prev, e.next, e.cached = nil, nil, false
	s.entries.remove(id)
	s.used -= e.cost()
}

// addStats adds the figures of all shards to st.
func (c *cache) addStats(st *Stats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.CacheKeys += int64(s.entries.count)
		st.CacheBytes += s.used
		st.CacheCapacity += s.capacity
		st.CacheHits += s.hits
		st.CacheMisses += s.misses
		s.mu.Unlock()
	}
}
