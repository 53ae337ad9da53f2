package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// The engine's keys. This file is the only place that knows where their bytes are.
//
//	meta    'm' | name
//	row     'r' | space 4 | slot 2 | hash 6 | user key            -> row.go
//	page    'p' | space 4 | collection 8 | page 8                 -> row.go, node.go
//	expiry  'x' | space 4 | expire-at 8 | slot 2 | hash 6 | user key  -> nothing
//
// Numbers are big-endian. A space is the physical keyspace that a logical database has at the
// moment (see space.go). Slot is the hash slot of Redis Cluster, so that a slot is one range. Hash
// is the upper 48 bits of the key's xxhash64: it spreads the keys of a slot evenly, and slot and
// hash together are a SCAN cursor that needs no memory on the server and means the same on every
// node.
const (
	tableMeta   = 'm'
	tableRow    = 'r'
	tablePage   = 'p'
	tableExpiry = 'x'

	spacePrefix  = 1 + 4
	rowPrefix    = spacePrefix + 8
	expiryPrefix = spacePrefix + 8 + 8

	slotMask    = Slots - 1
	hashBits    = 48
	hashMask    = 1<<hashBits - 1
	positionEnd = uint64(slotMask+1) << hashBits // above every position
)

// Names in the meta table.
var (
	metaFormat   = []byte{tableMeta, 'f'} // formatVersion
	metaApplied  = []byte{tableMeta, 'a'} // index 8 | term 8 | time 8
	metaMember   = []byte{tableMeta, 'm'} // the caller's own bytes
	metaSpaces   = []byte{tableMeta, 's'} // the next space number 4
	metaSettings = []byte{tableMeta, 'c'} // see Settings
	metaVersion  = []byte{tableMeta, 'v'} // the last version of a row 8
)

var errKey = errors.New("damaged key")

// metaDB is the name of the row of a logical database.
func metaDB(db int) []byte { return []byte{tableMeta, 'd', byte(db)} }

func appendSpace(dst []byte, table byte, space uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, table), space)
}

func appendRowKey(dst []byte, space uint32, position uint64, key []byte) []byte {
	dst = binary.BigEndian.AppendUint64(appendSpace(dst, tableRow, space), position)
	return append(dst, key...)
}

// appendEntryKey is the key of a row or a page, whose space has pageBit.
func appendEntryKey(dst []byte, space uint32, hash uint64, key []byte) []byte {
	if space&pageBit != 0 {
		return append(appendSpace(dst, tablePage, space&^pageBit), key...)
	}
	return appendRowKey(dst, space, keyPosition(key, hash), key)
}

// appendCollection is at the beginning of the keys of all pages of a collection.
func appendCollection(dst []byte, space uint32, root uint64) []byte {
	return binary.BigEndian.AppendUint64(appendSpace(dst, tablePage, space), root)
}

func appendExpiryKey(dst []byte, space uint32, at int64, position uint64, key []byte) []byte {
	dst = appendExpiryBound(dst, space, at)
	dst = binary.BigEndian.AppendUint64(dst, position)
	return append(dst, key...)
}

// appendExpiryBound is at or below every expiry key of the space with this time or a later one.
func appendExpiryBound(dst []byte, space uint32, at int64) []byte {
	return binary.BigEndian.AppendUint64(appendSpace(dst, tableExpiry, space), uint64(at))
}

// splitRowKey returns the position and the user key, which aliases k.
func splitRowKey(k []byte) (position uint64, key []byte, err error) {
	if len(k) < rowPrefix || k[0] != tableRow {
		return 0, nil, errKey
	}
	return binary.BigEndian.Uint64(k[spacePrefix:]), k[rowPrefix:], nil
}

// splitExpiryKey returns the time and the user key, which aliases k.
func splitExpiryKey(k []byte) (at int64, key []byte, err error) {
	if len(k) < expiryPrefix || k[0] != tableExpiry {
		return 0, nil, errKey
	}
	return int64(binary.BigEndian.Uint64(k[spacePrefix:])), k[expiryPrefix:], nil
}

// keyHash is the 64-bit hash of a user key.
func keyHash(key []byte) uint64 { return xxhash.Sum64(key) }

// keyPosition is where a key stands in the order of its space: slot, then hash.
func keyPosition(key []byte, hash uint64) uint64 {
	return uint64(Slot(key))<<hashBits | hash>>(64-hashBits)
}

// Slots is the number of hash slots that Redis Cluster divides the keys into.
const Slots = 1 << 14

// Slot is the hash slot of Redis Cluster: CRC16 of the key, or of what stands between its first
// '{' and the next '}' when that is not empty.
func Slot(key []byte) uint16 {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		tag := key[open+1:]
		if end := bytes.IndexByte(tag, '}'); end > 0 {
			key = tag[:end]
		}
	}
	crc := uint16(0)
	for _, c := range key {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return crc & slotMask
}

// crcTable is that of CRC-16/XMODEM, polynomial 0x1021, as Redis Cluster prescribes.
var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()
