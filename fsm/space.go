package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Databases is the number of logical databases, those that SELECT reaches.
const Databases = 16

// SessionDB is the number of a database beside those, which clients do not reach and nothing empties: its keys are
// sessions. After it come those of programs.go. allDatabases counts them all.
const (
	SessionDB    = Databases
	allDatabases = Databases + 3
)

// lastSpace is not given to a database any more. Above it are the first spaces of the databases that clients do not reach.
const lastSpace = pageBit - 4

// database is what is known of one logical database. Its keys live in a physical keyspace, the
// space. FLUSHDB gives the database a fresh space and drops the old one as two ranges; SWAPDB
// exchanges two databases' spaces. A space number is never used twice.
type database struct {
	space   uint32
	keys    int64  // rows, those that are due but not yet deleted included
	expires int64  // rows with an expiry time
	sum     uint64 // of rowSum over all rows
	bytes   int64  // of Row.bytes over all rows
}

const databaseSize = 4 + 8 + 8 + 8 + 8

func (d *database) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, databaseSize), d.space)
	b = binary.BigEndian.AppendUint64(b, uint64(d.keys))
	b = binary.BigEndian.AppendUint64(b, uint64(d.expires))
	b = binary.BigEndian.AppendUint64(b, d.sum)
	return binary.BigEndian.AppendUint64(b, uint64(d.bytes))
}

func decodeDatabase(b []byte) (database, error) {
	if len(b) != databaseSize {
		return database{}, fmt.Errorf("database row of %d bytes, want %d", len(b), databaseSize)
	}
	return database{
		space:   binary.BigEndian.Uint32(b),
		keys:    int64(binary.BigEndian.Uint64(b[4:])),
		expires: int64(binary.BigEndian.Uint64(b[12:])),
		sum:     binary.BigEndian.Uint64(b[20:]),
		bytes:   int64(binary.BigEndian.Uint64(b[28:])),
	}, nil
}

// keyspace is all databases, the number that the next fresh space gets, the version that a row was given last, and
// the settings.
type keyspace struct {
	dbs      [allDatabases]database
	next     uint32
	version  uint64 // see nextVersion
	settings Settings
}

// freshKeyspace is the keyspace before the first entry.
func freshKeyspace() keyspace {
	ks := keyspace{next: Databases, settings: Settings{Packing: DefaultPacking}}
	for i := range Databases {
		ks.dbs[i].space = uint32(i)
	}
	ks.dbs[SessionDB].space, ks.dbs[scriptsDB].space, ks.dbs[librariesDB].space = lastSpace+1, lastSpace+2, lastSpace+3
	return ks
}

// nextVersion is that of a row which the entry with this index writes. It is the index, or one more than the last version
// where that is as high already: versions grow with every change, those of one entry included, also when a key is deleted
// and made anew. So they can tell the holders of a lock apart in their order.
func (ks *keyspace) nextVersion(index uint64) uint64 {
	ks.version = max(ks.version+1, index)
	return ks.version
}

// find returns the database that has a space now, or nil.
func (ks *keyspace) find(space uint32) *database {
	for i := range ks.dbs {
		if ks.dbs[i].space == space {
			return &ks.dbs[i]
		}
	}
	return nil
}

// empty says whether no database has a key.
func (ks *keyspace) empty() bool {
	for i := range ks.dbs {
		if ks.dbs[i].keys != 0 {
			return false
		}
	}
	return true
}

// writeTo adds the rows that differ from old to the batch.
func (ks *keyspace) writeTo(b *pebble.Batch, old *keyspace) error {
	for i := range ks.dbs {
		if ks.dbs[i] == old.dbs[i] {
			continue
		}
		if err := b.Set(metaDB(i), ks.dbs[i].encode(), nil); err != nil {
			return err
		}
	}
	if ks.settings != old.settings {
		if err := b.Set(metaSettings, ks.settings.encode(), nil); err != nil {
			return err
		}
	}
	if ks.version != old.version {
		if err := b.Set(metaVersion, binary.BigEndian.AppendUint64(nil, ks.version), nil); err != nil {
			return err
		}
	}
	if ks.next == old.next {
		return nil
	}
	return b.Set(metaSpaces, binary.BigEndian.AppendUint32(nil, ks.next), nil)
}

// readKeyspace returns the stored keyspace; databases that were never written are as at the start.
func readKeyspace(r pebble.Reader) (keyspace, error) {
	ks := freshKeyspace()
	for i := range ks.dbs {
		b, err := readMeta(r, metaDB(i))
		if err != nil {
			return ks, err
		}
		if b == nil {
			continue
		}
		if ks.dbs[i], err = decodeDatabase(b); err != nil {
			return ks, err
		}
	}
	var err error
	if ks.settings, err = readSettings(r); err != nil {
		return ks, err
	}
	if ks.version, err = readVersion(r); err != nil {
		return ks, err
	}
	b, err := readMeta(r, metaSpaces)
	if err != nil || b == nil {
		return ks, err
	}
	if len(b) != 4 {
		return ks, fmt.Errorf("space counter of %d bytes, want 4", len(b))
	}
	ks.next = binary.BigEndian.Uint32(b)
	return ks, nil
}

// readVersion returns the version that was given last, 0 when none was.
func readVersion(r pebble.Reader) (uint64, error) {
	b, err := readMeta(r, metaVersion)
	if err != nil || b == nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("version row of %d bytes, want 8", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}
