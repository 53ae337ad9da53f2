package fsm

// table maps ids to values. An id is a hash already: its bits are its place, and what finds that taken
// comes right after (linear probing, Knuth vol. 3, 6.4), so that one cache line answers most lookups,
// where a map of Go reads two. The zero value of V stands for nothing there.
type table[V comparable] struct {
	slots []slot[V] // as many as a power of two, a fourth of them free
	count int
}

type slot[V comparable] struct {
	id    uint64
	value V
}

const tableMin = 16 // slots

// place is where an id belongs. The lowest bits have chosen the shard of the cache.
func (t *table[V]) place(id uint64) int { return int(id/cacheShards) & (len(t.slots) - 1) }

// find returns where id is, or the free slot where it would be. There are slots.
func (t *table[V]) find(id uint64) int {
	var none V
	i := t.place(id)
	for t.slots[i].id != id && t.slots[i].value != none {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

// get returns the value of id, or nothing.
func (t *table[V]) get(id uint64) (value V) {
	if t.count == 0 {
		return value
	}
	return t.slots[t.find(id)].value
}

// set gives id a value that is not nothing.
func (t *table[V]) set(id uint64, value V) {
	if 4*t.count >= 3*len(t.slots) {
		t.grow()
	}
	var none V
	s := &t.slots[t.find(id)]
	if s.value == none {
		t.count++
	}
	*s = slot[V]{id, value}
}

func (t *table[V]) grow() {
	old := t.slots
	t.slots = make([]slot[V], max(2*len(old), tableMin))
	var none V
	for _, s := range old {
		if s.value != none {
			t.slots[t.find(s.id)] = s
		}
	}
}

// remove forgets id, and moves what comes after it to where a lookup finds it without it.
func (t *table[V]) remove(id uint64) {
	if t.count == 0 {
		return
	}
	var none V
	mask := len(t.slots) - 1
	hole := t.find(id)
	if t.slots[hole].value == none {
		return
	}
	for i := (hole + 1) & mask; t.slots[i].value != none; i = (i + 1) & mask {
		if (i-t.place(t.slots[i].id))&mask >= (i-hole)&mask {
			t.slots[hole] = t.slots[i]
			hole = i
		}
	}
	t.slots[hole] = slot[V]{}
	t.count--
}
