package fsm

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
)

// A stream is never packed into its row. Its first tree holds the entries in the order of their ids: the block (see
// block.go), then fields and values. The second one holds the consumer groups, see group.go. The row has the numbers
// that streamNumbers lists, and the fields of the block that is being filled.
const (
	entryTree = 0
	groupTree = 1
)

// Key is where the stream is.
func (s *StreamValue) Key() []byte { return s.key }

// StreamID is the id of an entry of a stream.
type StreamID struct{ MS, Seq uint64 }

// MaxStreamID is the last one that there can be.
var MaxStreamID = StreamID{math.MaxUint64, math.MaxUint64}

const streamIDBytes = 8 + 8

// Compare is negative if id is below other, and positive if it is above.
func (id StreamID) Compare(other StreamID) int {
	return cmp.Or(cmp.Compare(id.MS, other.MS), cmp.Compare(id.Seq, other.Seq))
}

// Next is the id after this one. It is false for the last one.
func (id StreamID) Next() (StreamID, bool) {
	next := StreamID{id.MS, id.Seq + 1}
	if next.Seq == 0 {
		next.MS++
	}
	return next, next != StreamID{}
}

// Prev is the id before this one. It is false for the first one.
func (id StreamID) Prev() (StreamID, bool) {
	prev := StreamID{id.MS, id.Seq - 1}
	if id.Seq == 0 {
		prev.MS--
	}
	return prev, id != StreamID{}
}

func (id StreamID) appendTo(key []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, id.MS), id.Seq)
}

// streamIDAt reads the id that a key ends with.
func streamIDAt(key []byte) StreamID {
	if len(key) < streamIDBytes {
		return StreamID{}
	}
	b := key[len(key)-streamIDBytes:]
	return StreamID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// StreamEntry is an entry of a stream.
type StreamEntry struct {
	ID     StreamID
	Fields [][]byte // field, value, field, value
}

// StreamValue is the stream at a key. Changes are stored by Save.
type StreamValue struct {
	tx    *Txn
	key   []byte
	row   Row // Kind 0: there was none
	trees *trees

	// LastID is the largest id that an entry ever had, or what XSETID says, and MaxDeleted that of those XDEL took.
	LastID, MaxDeleted StreamID
	// Added counts the entries that there ever were.
	Added uint64

	named uint64 // the groups and consumers that were given a number
	tail  block

	filling bool // see FillGroups
	filled  [][2][]byte
}

// Stream returns the stream that row, of the Kind Stream or nil, is at a key.
func (tx *Txn) Stream(key []byte, row *Row) *StreamValue {
	s := &StreamValue{tx: tx, key: key}
	if row == nil {
		s.trees = tx.newTrees()
		return s
	}
	s.row, s.trees = *row, tx.openTrees(row.Value)
	numbers := s.numbers()
	s.tail.fields = s.uvarints(s.trees.rest, numbers[:]...)
	return s
}

// numbers are what the row of a stream holds.
func (s *StreamValue) numbers() [11]*uint64 {
	return [...]*uint64{&s.LastID.MS, &s.LastID.Seq, &s.MaxDeleted.MS, &s.MaxDeleted.Seq, &s.Added, &s.named,
		&s.tail.number, &s.tail.entries, &s.tail.bytes, &s.tail.first.MS, &s.tail.first.Seq}
}

// Save stores the stream, which may be empty.
func (s *StreamValue) Save() {
	rest := make([]byte, 0, 64+len(s.tail.fields))
	for _, n := range s.numbers() {
		rest = binary.AppendUvarint(rest, *n)
	}
	s.trees.rest = append(rest, s.tail.fields...)
	s.row.Kind, s.row.Value = Stream, s.trees.value(formLarge)
	s.tx.Keep(s.key, s.row)
}

func (s *StreamValue) entries() *tree { return &s.trees.tree[entryTree] }

// Len is the number of entries.
func (s *StreamValue) Len() int64 { return int64(s.entries().count) }

// Add puts an entry, whose id must be above LastID, at the end. fields and values take turns.
func (s *StreamValue) Add(id StreamID, fields [][]byte) {
	var c cursor
	last, some := uint64(0), false
	if t := s.entries(); t.count > 0 {
		t.seekRank(&c, t.count-1)
		if some = c.valid(); some {
			last, _ = s.blockOf(c.value())
			c.forward()
		}
	}
	s.tail.add(id, fields, some && last == s.tail.number, s.tx.Packing())
	c.t = s.entries()
	c.insert(id.appendTo(nil), s.appendEntry(nil, fields))
	s.LastID = id
	s.Added++
}

// appendEntry appends the stored value of an entry of the last block.
func (s *StreamValue) appendEntry(dst []byte, fields [][]byte) []byte {
	dst = binary.AppendUvarint(dst, s.tail.number)
	for i := 0; i+1 < len(fields); i += 2 {
		dst = appendPacked(dst, fields[i], fields[i+1])
	}
	return dst
}

// Fill puts all entries of a stream that had none, in the order of their ids, in one go however many there are.
func (s *StreamValue) Fill(entries iter.Seq2[StreamID, [][]byte]) {
	b := s.entries().build()
	var key, value []byte
	for id, fields := range entries {
		s.tail.add(id, fields, s.Len() > 0, s.tx.Packing())
		key, value = id.appendTo(key[:0]), s.appendEntry(value[:0], fields)
		b.add(key, value)
		s.LastID = id
		s.Added++
	}
	b.end()
}

// blockOf splits the stored value of an entry into its block and its fields.
func (s *StreamValue) blockOf(value []byte) (block uint64, fields []byte) {
	block, size := binary.Uvarint(value)
	if size <= 0 {
		s.tx.fail(errCollection)
		return 0, nil
	}
	return block, value[size:]
}

// entry is the one that a cursor is at.
func (s *StreamValue) entry(c *cursor) StreamEntry {
	_, packed := s.blockOf(c.value())
	e := StreamEntry{ID: streamIDAt(c.key())}
	for _, kv := range packedEntries(packed) {
		e.Fields = append(e.Fields, kv[0], kv[1])
	}
	return e
}

// Range goes over the entries from an id to another one, in their order.
func (s *StreamValue) Range(from, to StreamID) iter.Seq[StreamEntry] {
	return func(yield func(StreamEntry) bool) {
		var c cursor
		for s.entries().seek(&c, from.appendTo(nil)); c.valid(); c.forward() {
			if e := s.entry(&c); e.ID.Compare(to) > 0 || !yield(e) {
				return
			}
		}
	}
}

// Backward is Range from the last one to the first one.
func (s *StreamValue) Backward(from, to StreamID) iter.Seq[StreamEntry] {
	return func(yield func(StreamEntry) bool) {
		var c cursor
		for more := s.entries().seek(&c, to.appendTo(nil)) || c.back(); more; more = c.back() {
			if e := s.entry(&c); e.ID.Compare(from) < 0 || !yield(e) {
				return
			}
		}
	}
}

// Ranks returns the ranks of the entries from an id to another one, the second rank not being in it.
func (s *StreamValue) Ranks(from, to StreamID) (first, end int64) {
	var c cursor
	s.entries().seek(&c, from.appendTo(nil))
	first, end = int64(c.rank()), s.Len()
	if next, ok := to.Next(); ok {
		s.entries().seek(&c, next.appendTo(nil))
		end = int64(c.rank())
	}
	return first, max(first, end)
}

// From goes over the entries from a rank on, to the last one or back to the first one.
func (s *StreamValue) From(rank int64, back bool) iter.Seq[StreamEntry] {
	return func(yield func(StreamEntry) bool) {
		if rank < 0 {
			return
		}
		var c cursor
		s.entries().seekRank(&c, uint64(rank))
		for more := c.valid(); more && yield(s.entry(&c)); {
			if back {
				more = c.back()
			} else {
				c.forward()
				more = c.valid()
			}
		}
	}
}

// Get returns the entry with an id, and whether there is one.
func (s *StreamValue) Get(id StreamID) (StreamEntry, bool) {
	var c cursor
	if !s.entries().seek(&c, id.appendTo(nil)) {
		return StreamEntry{}, false
	}
	return s.entry(&c), true
}

// First is the id of the first entry, 0-0 without one.
func (s *StreamValue) First() StreamID { return s.idAt(0) }

// Last is the id of the last entry, 0-0 without one.
func (s *StreamValue) Last() StreamID { return s.idAt(s.entries().count - 1) }

func (s *StreamValue) idAt(rank uint64) StreamID {
	var c cursor
	if rank < s.entries().count {
		s.entries().seekRank(&c, rank)
	}
	if !c.valid() {
		return StreamID{}
	}
	return streamIDAt(c.key())
}

// Delete takes an entry out, and says whether there was one.
func (s *StreamValue) Delete(id StreamID) bool {
	var c cursor
	if !s.entries().seek(&c, id.appendTo(nil)) {
		return false
	}
	c.remove()
	if id.Compare(s.MaxDeleted) > 0 {
		s.MaxDeleted = id
	}
	return true
}

// Trim takes entries from the beginning: those below an id, and so many that no more than length are left. It
// returns how many.
func (s *StreamValue) Trim(below StreamID, length int64) int64 {
	var c cursor
	s.entries().seek(&c, below.appendTo(nil))
	n := max(c.rank(), uint64(max(0, s.Len()-length)))
	s.entries().removeRange(0, n, nil)
	return int64(n)
}
