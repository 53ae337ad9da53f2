package fsm

import (
	"sync"

	"github.com/cespare/xxhash/v2"
)

// Every logical database keeps the sum of the hashes of its rows. A sum does not depend on an order
// and is kept up to date row by row: what is written is added, what was there before is taken away.
// Replicas that applied the same entries have the same sums, whatever their files and caches look
// like; one whose rows differ from those that the entries made has others, or rows that do not add
// up to its sums: see Hash and Check.

// rowSum is what a row adds to the sum of its database; hash is that of its key.
func rowSum(hash uint64, r *Row) uint64 {
	s := mix(hash + uint64(r.Kind)*golden)
	s = mix(s + uint64(r.ExpireAt))
	s = mix(s + r.Version)
	return mix(s + xxhash.Sum64(r.Value))
}

// headerOf is the header of a row that is to be stored under a key of this length.
func headerOf(space uint32, hash uint64, keySize int, r *Row) header {
	if r.Kind == 0 {
		return header{}
	}
	return header{true, r.root(), r.ExpireAt, rowSum(hash, r), r.bytes(space, keySize)}
}

// header describes the row of e. Only the writer calls it: that is who may touch the sum.
func (e *entry) header() header {
	if e.row.Kind == 0 {
		return header{}
	}
	if e.sum == 0 {
		e.sum = rowSum(e.hash, &e.row)
	}
	return header{true, e.row.root(), e.row.ExpireAt, e.sum, e.row.bytes(e.space, len(e.key))}
}

// header describes what the change leaves of its key.
func (c *change) header() header {
	if c.row.Kind == 0 {
		return header{}
	}
	return header{true, c.row.root(), c.row.ExpireAt, c.sum, c.row.bytes(c.entry.space, len(c.entry.key))}
}

// hash is that of the whole logical state at a time of the log. The numbers of spaces are left out:
// they are names. An empty database adds nothing, so that this costs little after every entry.
func (ks *keyspace) hash(time int64) uint64 {
	h := mix(uint64(time) + golden)
	if ks.settings != (Settings{Packing: DefaultPacking}) {
		h += xxhash.Sum64(ks.settings.encode())
	}
	if ks.version != 0 {
		h += mix(ks.version ^ golden)
	}
	for i := range ks.dbs {
		if d := &ks.dbs[i]; d.keys != 0 {
			h += mix(mix(mix(mix(d.sum+uint64(i+1)*golden)+uint64(d.keys))+uint64(d.expires)) + uint64(d.bytes))
		}
	}
	return h
}

// hashesKept is for how many entries a machine remembers the hash of the state after them: more than
// replicas that keep up with each other are apart.
const hashesKept = 4096

// hashRing remembers the hash of the state after each of the last entries.
type hashRing struct {
	mu sync.Mutex
	at [hashesKept]stateHash
}

type stateHash struct{ index, hash uint64 }

func (r *hashRing) note(index, hash uint64) {
	r.mu.Lock()
	r.at[index%hashesKept] = stateHash{index, hash}
	r.mu.Unlock()
}

func (r *hashRing) find(index uint64) (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.at[index%hashesKept]
	return s.hash, s.index == index && index != 0
}

// Hash is a hash of the logical state (keys, values, expiry times, versions, the time of the log) as
// it was right after the entry with this index, which is the same on all replicas. ok is false for
// an entry that was not applied yet, or too long ago.
func (m *Machine) Hash(index uint64) (hash uint64, ok bool) { return m.hashes.find(index) }
