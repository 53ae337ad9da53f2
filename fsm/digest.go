package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
)

// Digest is a hash of the logical state: time, databases, keys, values, expiry times and versions.
// Nodes that applied the same entries have the same digest, whatever their files look like. It
// reads everything, while Apply and Read go on.
func (m *Machine) Digest() (uint64, error) {
	if err := m.enter(); err != nil {
		return 0, err
	}
	defer m.leave()
	if err := m.settle(); err != nil {
		return 0, err
	}
	m.mu.RLock()
	if err := m.drain(); err != nil { // what was published since
		m.mu.RUnlock()
		return 0, err
	}
	snapshot, ks, time := m.db.NewSnapshot(), m.ks, m.time
	m.mu.RUnlock()
	defer snapshot.Close()

	h := xxhash.New()
	writeNumbers(h, uint64(time), ks.version)
	h.Write(ks.settings.encode())
	for db := range ks.dbs {
		d := &ks.dbs[db]
		if db >= Databases && d.keys == 0 {
			continue
		}
		writeNumbers(h, uint64(db), uint64(d.keys), uint64(d.expires), uint64(d.bytes))
		for _, table := range []byte{tableRow, tablePage, tableExpiry} {
			if err := digestTable(h, snapshot, table, d.space); err != nil {
				return 0, fmt.Errorf("digest of database %d: %w", db, located(err))
			}
		}
	}
	return h.Sum64(), nil
}

// digestTable leaves the space number out: it is the name of the keyspace, not its content.
func digestTable(h *xxhash.Digest, r pebble.Reader, table byte, space uint32) error {
	it, err := r.NewIter(&pebble.IterOptions{
		LowerBound: appendSpace(nil, table, space), UpperBound: appendSpace(nil, table, space+1),
	})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		key, value := it.Key()[spacePrefix:], it.Value()
		writeNumbers(h, uint64(len(key)), uint64(len(value)))
		h.Write(key)
		h.Write(value)
	}
	return it.Close()
}

func writeNumbers(h *xxhash.Digest, numbers ...uint64) {
	var b [8]byte
	for _, n := range numbers {
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
}
