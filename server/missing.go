package server

import (
	"sync"
	"sync/atomic"

	"redoubt/fsm"
)

// missing knows the keys that sessions of this node watch and that did not exist then. In the log such a key is the same
// again when it was made and deleted since, while its client may have read it in between. What a client reads here was
// applied here, so that it is enough to note what comes to be on this node.
type missing struct {
	count atomic.Int64 // keys; read while entries are applied

	mu   sync.Mutex
	keys [fsm.Databases]map[string]map[*absence]bool
}

// absence is what a session's transaction has of its missing keys.
type absence struct {
	keys map[watchedKey]bool // made on this node since; guarded by the lock of missing
}

// expect has a transaction told when keys come to be. It has to be called before it is read whether they are there.
func (m *missing) expect(a *absence, db int, keys [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.keys == nil {
		a.keys = map[watchedKey]bool{}
	}
	for _, key := range keys {
		at := watchedKey{db, string(key)}
		if _, known := a.keys[at]; known {
			continue
		}
		a.keys[at] = false
		if m.keys[db] == nil {
			m.keys[db] = map[string]map[*absence]bool{}
		}
		if m.keys[db][at.key] == nil {
			m.keys[db][at.key] = map[*absence]bool{}
		}
		m.keys[db][at.key][a] = true
		m.count.Add(1)
	}
}

// drop ends that for a key.
func (m *missing) drop(a *absence, at watchedKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropLocked(a, at)
}

// dropAll ends that for all keys of a transaction.
func (m *missing) dropAll(a *absence) {
	if len(a.keys) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for at := range a.keys {
		m.dropLocked(a, at)
	}
	a.keys = nil
}

func (m *missing) dropLocked(a *absence, at watchedKey) {
	if _, known := a.keys[at]; !known {
		return
	}
	delete(a.keys, at)
	who := m.keys[at.db][at.key]
	if delete(who, a); len(who) == 0 {
		delete(m.keys[at.db], at.key)
	}
	m.count.Add(-1)
}

// came says whether one of the keys came to be.
func (m *missing) came(a *absence) bool {
	if len(a.keys) == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, made := range a.keys {
		if made {
			return true
		}
	}
	return false
}

// applied is told what entries of the log have changed. That a key has gone is nothing new: its time may have passed
// before it was watched.
func (m *missing) applied(e *fsm.Effects) {
	if m.count.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range e.Changed {
		if c := &e.Changed[i]; c.Kind != 0 {
			at := watchedKey{c.DB, string(c.Key)}
			for a := range m.keys[c.DB][at.key] {
				a.keys[at] = true
			}
		}
	}
}

// skipped is told that anything may have come and gone.
func (m *missing) skipped() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for db, keys := range m.keys {
		for key, who := range keys {
			for a := range who {
				a.keys[watchedKey{db, key}] = true
			}
		}
	}
}
