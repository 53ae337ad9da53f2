package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Redis keeps the entries of a stream in blocks: listpacks of so many entries, those that were deleted included, and
// of so many bytes, see Packing. XTRIM with ~ removes whole blocks, which is how clients see them. Here every entry has
// the number of the block that it would be in, and a stream knows so much of the last one as is needed to tell
// when it is full.
const (
	blockBytesMax = 1 << 30
	// blockFieldsMax is up to how many bytes of names of fields a stream knows the first entry of the last block. Of
	// longer ones it knows a hash.
	blockFieldsMax = 256
)

// block is the last one of a stream.
type block struct {
	number  uint64
	entries uint64   // that were put into it
	bytes   uint64   // of the listpack
	first   StreamID // the id from which the others are counted
	fields  []byte   // of the first entry, packed; others with the same ones are smaller
}

// The bytes of a listpack without entries.
const listpackHead = 6 + 1

// full says whether Redis would begin another block with an entry of so many bytes.
func (b *block) full(total uint64, p *Packing) bool {
	bytes := p.StreamBytes
	if bytes == 0 || bytes > blockBytesMax {
		bytes = blockBytesMax
	}
	return b.bytes+total >= uint64(bytes) || p.StreamEntries > 0 && b.entries >= uint64(p.StreamEntries)
}

// add counts an entry, which begins another block if the last one is full or gone.
func (b *block) add(id StreamID, fields [][]byte, open bool, p *Packing) {
	total := uint64(0)
	for _, f := range fields {
		total += uint64(len(f))
	}
	names, named := []byte{}, uint64(0)
	for i := 0; i < len(fields); i += 2 {
		names = append(binary.AppendUvarint(names, uint64(len(fields[i]))), fields[i]...)
		named += listpackBytes(fields[i])
	}
	if len(names) > blockFieldsMax {
		names = binary.BigEndian.AppendUint64(nil, xxhash.Sum64(names))
	}
	count := int64(len(fields) / 2)
	if !open || b.full(total, p) {
		*b = block{number: b.number + 1, first: id, fields: names}
		b.bytes = listpackHead + 2 + 2 + listpackInt(count) + named + 2
	}
	b.entries++
	pieces := count + 3
	if !bytes.Equal(names, b.fields) {
		pieces += count + 1
		b.bytes += listpackInt(count) + named
	}
	b.bytes += 2 + listpackInt(int64(id.MS-b.first.MS)) + listpackInt(int64(id.Seq-b.first.Seq)) + listpackInt(pieces)
	for i := 1; i < len(fields); i += 2 {
		b.bytes += listpackBytes(fields[i])
	}
}

// TrimBlocks is Trim of whole blocks, and of at most limit entries if that is not 0.
func (s *StreamValue) TrimBlocks(below StreamID, length, limit int64) int64 {
	removed, left := int64(0), s.Len()
	var c cursor
	s.entries().seekRank(&c, 0)
	for c.valid() {
		number, _ := s.blockOf(c.value())
		entries, last := int64(0), StreamID{}
		for ; c.valid(); c.forward() {
			if n, _ := s.blockOf(c.value()); n != number {
				break
			}
			entries, last = entries+1, streamIDAt(c.key())
			if limit > 0 && removed+entries > limit {
				break
			}
		}
		byLength, byID := left-entries >= length, last.Compare(below) < 0
		if limit > 0 && removed+entries > limit || !byLength && !byID {
			break
		}
		removed, left = removed+entries, left-entries
	}
	s.entries().removeRange(0, uint64(removed), nil)
	return removed
}

// Blocks is the number of blocks, and of those that are empty between them.
func (s *StreamValue) Blocks() int64 {
	var c cursor
	s.entries().seekRank(&c, 0)
	if !c.valid() {
		return 0
	}
	first, _ := s.blockOf(c.value())
	return int64(s.tail.number-first) + 1
}
