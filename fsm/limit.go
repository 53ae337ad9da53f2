package fsm

import "sync/atomic"

// Policy says which keys go when the data set is larger than its limit.
type Policy uint8

// Redis's policies. The numbers are part of the stored format.
const (
	NoEviction Policy = iota
	AllKeysLRU
	AllKeysLFU
	AllKeysRandom
	VolatileLRU
	VolatileLFU
	VolatileRandom
	VolatileTTL
	policies
)

var policyNames = [policies]string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
	"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"}

// String is the name that Redis has for the policy.
func (p Policy) String() string { return policyNames[min(p, policies-1)] }

// ParsePolicy finds a policy by its name.
func ParsePolicy(name string) (Policy, bool) {
	for p, n := range policyNames {
		if n == name {
			return Policy(p), true
		}
	}
	return 0, false
}

// Volatile says whether only keys with an expiry time go.
func (p Policy) Volatile() bool { return p >= VolatileLRU }

// LFU says whether the keys go that are used least often.
func (p Policy) LFU() bool { return p == AllKeysLFU || p == VolatileLFU }

// Limit bounds the data set. It is one of the Settings.
type Limit struct {
	MaxMemory int64 // bytes; 0: no limit
	Policy    Policy
	Samples   int64 // keys that are looked at for each that goes
	LogFactor int64 // of the counter of uses: how slowly it grows
	DecayTime int64 // minutes in which it loses one; 0: it loses none
}

// DefaultLimit is Redis's.
var DefaultLimit = Limit{Samples: 5, LogFactor: 10, DecayTime: 1}

// Valid says whether the values are in their bounds.
func (l Limit) Valid() bool {
	return l.MaxMemory >= 0 && l.Policy < policies && l.Samples > 0 && l.LogFactor >= 0 && l.DecayTime >= 0
}

// OrDefault is the limit that counts: the default until one was set.
func (l Limit) OrDefault() Limit {
	if l == (Limit{}) {
		return DefaultLimit
	}
	return l
}

// bytes is the size of the data set: see Row.bytes.
func (ks *keyspace) bytes() (n int64) {
	for i := range ks.dbs {
		n += ks.dbs[i].bytes
	}
	return n
}

// evictable says whether there are keys that the policy lets go.
func (ks *keyspace) evictable() bool {
	policy := ks.settings.Limit.OrDefault().Policy
	for i := range Databases {
		if d := &ks.dbs[i]; policy != NoEviction && (d.expires > 0 || d.keys > 0 && !policy.Volatile()) {
			return true
		}
	}
	return false
}

// DataBytes is the size of the data set: see Row.bytes.
func (tx *Txn) DataBytes() int64 { return tx.ks.bytes() }

// Size is how much of it a row at a key is.
func (tx *Txn) Size(key []byte, row *Row) int64 { return row.bytes(tx.space(), len(key)) }

// Evict deletes a key of the current database, unless it was written after version, or the data set is within its limit
// already. It says whether to go on.
func (tx *Txn) Evict(key []byte, version uint64) (more bool) {
	limit := tx.ks.settings.Limit.OrDefault()
	if tx.err != nil || limit.MaxMemory == 0 || tx.ks.bytes() <= limit.MaxMemory {
		return false
	}
	row := tx.Peek(key)
	if row != nil && row.Version == version {
		tx.replace(tx.space(), keyHash(key), key, Row{})
		tx.m.evicted.Add(1)
	}
	return true
}

// Memory is what decides whether a write has to wait for room.
type Memory struct {
	Limit
	Set       bool  // the limit was set once
	DataBytes int64 // the size of the data set
	Evictable bool  // there are keys that the policy lets go
}

// Over says whether the data set is above its limit.
func (m Memory) Over() bool { return m.MaxMemory > 0 && m.DataBytes > m.MaxMemory }

// memory is what Memory answers from: it takes no lock.
type memory struct {
	bytes     atomic.Int64
	evictable atomic.Bool
	settings  atomic.Pointer[Settings]
}

// Memory returns the present figures.
func (m *Machine) Memory() Memory {
	limit := m.memory.settings.Load().Limit
	return Memory{limit.OrDefault(), limit != (Limit{}), m.memory.bytes.Load(), m.memory.evictable.Load()}
}

// noteMemory is called when another state is published.
func (m *Machine) noteMemory() {
	m.memory.bytes.Store(m.ks.bytes())
	m.memory.evictable.Store(m.ks.evictable())
	if old := m.memory.settings.Load(); old == nil || *old != m.ks.settings {
		settings := m.ks.settings
		m.memory.settings.Store(&settings)
		m.cache.uses.configure(settings.Limit.OrDefault())
	}
}
