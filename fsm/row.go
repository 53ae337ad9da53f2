package fsm

import (
	"encoding/binary"
	"errors"
)

// Kind is the type of the value of a key. The numbers are part of the stored format.
type Kind uint8

// The kinds. A Page is a part of a collection that does not fit into its row, and no client's key.
const (
	String Kind = 1
	Hash   Kind = 2
	List   Kind = 3
	Set    Kind = 4
	ZSet   Kind = 5
	Stream Kind = 6
	Page   Kind = 0x40
)

// Row is the value of a key as commands see it. A Row that was handed out or stored never changes:
// Value may be shared with replies and with the cache, so nobody writes to it.
type Row struct {
	Kind     Kind
	ExpireAt int64  // milliseconds since 1970; 0 means never
	Version  uint64 // higher than that of every change before: see keyspace.nextVersion. Of a page, the log index
	Value    []byte
}

// orNil returns nil for what stands for no row.
func (r *Row) orNil() *Row {
	if r.Kind == 0 {
		return nil
	}
	return r
}

// A stored row is a header and the value:
//
//	kind 1 | version 8 | with expiryFlag in kind: expire-at 8 | value
const (
	expiryFlag    = 0x80
	headerSize    = 9
	headerSizeMax = 17
)

var errRow = errors.New("damaged row")

// encodedSize is the number of bytes that encode writes.
func (r *Row) encodedSize() int {
	if r.ExpireAt != 0 {
		return headerSizeMax + len(r.Value)
	}
	return headerSize + len(r.Value)
}

// bytes is how much a row under a key of this length counts for in the size of the data set: the bytes of its keys and
// values in the engine, those of its place in the expiry table and of the pages of a collection included.
func (r *Row) bytes(space uint32, keySize int) int64 {
	prefix := rowPrefix
	if space&pageBit != 0 {
		prefix = spacePrefix
	}
	n := prefix + keySize + r.encodedSize()
	if r.ExpireAt != 0 {
		n += expiryPrefix + keySize
	}
	return int64(n) + r.pageBytes()
}

// encode writes the row to dst, which has encodedSize bytes.
func (r *Row) encode(dst []byte) {
	dst[0] = byte(r.Kind)
	binary.BigEndian.PutUint64(dst[1:], r.Version)
	n := headerSize
	if r.ExpireAt != 0 {
		dst[0] |= expiryFlag
		binary.BigEndian.PutUint64(dst[n:], uint64(r.ExpireAt))
		n = headerSizeMax
	}
	copy(dst[n:], r.Value)
}

// decodeRow reads a stored row. Value aliases b.
func decodeRow(b []byte) (Row, error) {
	if len(b) < headerSize {
		return Row{}, errRow
	}
	r := Row{
		Kind:    Kind(b[0] &^ expiryFlag),
		Version: binary.BigEndian.Uint64(b[1:]),
		Value:   b[headerSize:],
	}
	if (r.Kind < String || r.Kind > Stream) && r.Kind != Page {
		return Row{}, errRow
	}
	if b[0]&expiryFlag == 0 {
		return r, nil
	}
	if len(b) < headerSizeMax {
		return Row{}, errRow
	}
	r.ExpireAt = int64(binary.BigEndian.Uint64(b[headerSize:]))
	r.Value = b[headerSizeMax:]
	if r.ExpireAt <= 0 {
		return Row{}, errRow
	}
	return r, nil
}
