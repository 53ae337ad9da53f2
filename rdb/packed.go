package rdb

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// listpack is one that is being read: its size 4, the number of entries 2, the entries, 0xff. An entry is its encoding,
// which has its length or is a small integer, its bytes, and the size of both backwards.
type listpack struct {
	r           *reader
	b           []byte // the entries that are left
	want, count int
}

const listpackHead = 4 + 2

// openListpack begins to read a listpack. What is wrong with it fails the reader.
func (r *reader) openListpack(b []byte) *listpack {
	if len(b) <= listpackHead || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)) || b[len(b)-1] != 0xff {
		r.fail()
		return &listpack{r: r}
	}
	return &listpack{r: r, b: b[listpackHead : len(b)-1], want: int(binary.LittleEndian.Uint16(b[4:]))}
}

// next returns the next entry, or false at the end.
func (l *listpack) next() ([]byte, bool) {
	if l.r.bad {
		return nil, false
	}
	if len(l.b) == 0 {
		if l.want != l.count && l.want != listpackMany {
			l.r.fail()
		}
		return nil, false
	}
	entry, size := listpackEntry(l.b)
	var space [5]byte
	back := appendBackLength(space[:0], size)
	if size == 0 || !bytes.HasPrefix(l.b[size:], back) {
		l.r.fail()
		return nil, false
	}
	l.b = l.b[size+len(back):]
	l.count++
	return entry, true
}

// listpack goes over the entries of a listpack.
func (r *reader) listpack(b []byte, yield func(entry []byte) bool) {
	l := r.openListpack(b)
	for entry, ok := l.next(); ok && yield(entry); entry, ok = l.next() {
	}
}

// listpackMany stands for a number of entries that two bytes can't hold.
const listpackMany = 0xffff

// listpackEntry reads an entry. Its size is 0 when b does not begin with one.
func listpackEntry(b []byte) (entry []byte, size int) {
	at := func(i int) int {
		if i < len(b) {
			return int(b[i])
		}
		return 0
	}
	switch c := at(0); {
	case c < 0x80:
		return strconv.AppendInt(nil, int64(c), 10), 1
	case c < 0xc0:
		return slice(b, 1, c&0x3f)
	case c < 0xe0:
		v := int64(int16(c&0x1f<<11|at(1)<<3)) >> 3
		return integer(b, 1, 1, v)
	case c < 0xf0:
		return slice(b, 2, c&0xf<<8|at(1))
	case c == 0xf0:
		return slice(b, 5, at(1)|at(2)<<8|at(3)<<16|at(4)<<24)
	case c == 0xf1:
		return integer(b, 1, 2, 0)
	case c == 0xf2:
		return integer(b, 1, 3, 0)
	case c == 0xf3:
		return integer(b, 1, 4, 0)
	case c == 0xf4:
		return integer(b, 1, 8, 0)
	}
	return nil, 0
}

// slice is an entry of n bytes after a head.
func slice(b []byte, head, n int) (entry []byte, size int) {
	if n < 0 || n > len(b)-head {
		return nil, 0
	}
	return b[head : head+n : head+n], head + n
}

// integer is an entry that has n bytes after a head. One byte is not in them but v.
func integer(b []byte, head, n int, v int64) (entry []byte, size int) {
	if head+n > len(b) {
		return nil, 0
	}
	if n > 1 {
		v = littleEndian(b[head : head+n])
	}
	return strconv.AppendInt(nil, v, 10), head + n
}

// littleEndian is a signed integer of up to 8 bytes.
func littleEndian(b []byte) int64 {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	shift := 64 - 8*len(b)
	return int64(v<<shift) >> shift
}

// appendListpack adds an entry to a listpack that is being made, as Redis does: integers as such.
func appendListpack(dst, entry []byte) []byte {
	from := len(dst)
	if v, ok := canonical(entry); ok {
		dst = appendListpackInt(dst, v)
	} else {
		switch n := len(entry); {
		case n < 1<<6:
			dst = append(dst, 0x80|byte(n))
		case n < 1<<12:
			dst = append(dst, 0xe0|byte(n>>8), byte(n))
		default:
			dst = binary.LittleEndian.AppendUint32(append(dst, 0xf0), uint32(n))
		}
		dst = append(dst, entry...)
	}
	return appendBackLength(dst, len(dst)-from)
}

func appendListpackInt(dst []byte, v int64) []byte {
	switch {
	case 0 <= v && v < 1<<7:
		return append(dst, byte(v))
	case -1<<12 <= v && v < 1<<12:
		return append(dst, 0xc0|byte(v>>8)&0x1f, byte(v))
	case -1<<15 <= v && v < 1<<15:
		return binary.LittleEndian.AppendUint16(append(dst, 0xf1), uint16(v))
	case -1<<23 <= v && v < 1<<23:
		return append(dst, 0xf2, byte(v), byte(v>>8), byte(v>>16))
	case -1<<31 <= v && v < 1<<31:
		return binary.LittleEndian.AppendUint32(append(dst, 0xf3), uint32(v))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xf4), uint64(v))
}

// canonical reads an integer that is written as it would be printed.
func canonical(b []byte) (int64, bool) {
	const longest = 20
	if len(b) == 0 || len(b) > longest || b[0] != '-' && (b[0] < '0' || b[0] > '9') {
		return 0, false
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, false
	}
	var printed [longest]byte
	return v, bytes.Equal(strconv.AppendInt(printed[:0], v, 10), b)
}

// The length at the end of an entry has seven bits a byte, to be read backwards. Redis takes a byte more than
// it needs for the last number of each size but the first.
func backLength(n int) int {
	switch {
	case n <= 127:
		return 1
	case n < 1<<14-1:
		return 2
	case n < 1<<21-1:
		return 3
	case n < 1<<28-1:
		return 4
	}
	return 5
}

func appendBackLength(dst []byte, n int) []byte {
	for i := backLength(n) - 1; i >= 0; i-- {
		c := byte(n >> (7 * i))
		if i == backLength(n)-1 {
			dst = append(dst, c&0x7f)
		} else {
			dst = append(dst, c|0x80)
		}
	}
	return dst
}

// ziplist goes over the entries of a ziplist: its size 4, the place of the last entry 4, their number 2, the entries, 0xff.
// An entry is the size of the one before, in 1 byte or after 0xfe in 4, and its encoding and bytes.
func (r *reader) ziplist(b []byte, yield func(entry []byte) bool) {
	const head = 10
	if len(b) <= head || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)) || b[len(b)-1] != 0xff {
		r.fail()
		return
	}
	want, count := int(binary.LittleEndian.Uint16(b[8:])), 0
	for b = b[head : len(b)-1]; len(b) > 0; count++ {
		before := 1
		if b[0] >= 0xfe {
			before = 5
		}
		if before >= len(b) {
			r.fail()
			return
		}
		entry, size := ziplistEntry(b[before:])
		if size == 0 {
			r.fail()
			return
		}
		b = b[before+size:]
		if !yield(entry) {
			return
		}
	}
	if want != count && want != listpackMany {
		r.fail()
	}
}

// ziplistEntry reads what comes after the size of the entry before.
func ziplistEntry(b []byte) (entry []byte, size int) {
	switch c := b[0]; {
	case c < 0x40:
		return slice(b, 1, int(c))
	case c < 0x80:
		if len(b) > 1 {
			return slice(b, 2, int(c&0x3f)<<8|int(b[1]))
		}
	case c < 0xc0:
		if len(b) > 4 {
			return slice(b, 5, int(binary.BigEndian.Uint32(b[1:])))
		}
	case c == 0xc0:
		return integer(b, 1, 2, 0)
	case c == 0xd0:
		return integer(b, 1, 4, 0)
	case c == 0xe0:
		return integer(b, 1, 8, 0)
	case c == 0xf0:
		return integer(b, 1, 3, 0)
	case c == 0xfe:
		if len(b) > 1 {
			return integer(b, 1, 1, int64(int8(b[1])))
		}
	case c > 0xf0 && c < 0xfe:
		return strconv.AppendInt(nil, int64(c&0xf)-1, 10), 1
	}
	return nil, 0
}

// zipmap goes over the keys and values of a zipmap, which hashes were before Redis 2.6: their number 1, and in turns
// the length of a key and the key, the length of a value, how much room is left after it, and the value; at the end 0xff.
func (r *reader) zipmap(b []byte, yield func(entry []byte) bool) {
	if len(b) < 2 || b[len(b)-1] != 0xff {
		r.fail()
		return
	}
	m := reader{b: b[1 : len(b)-1]}
	for value := false; len(m.b) > 0; value = !value {
		n := uint64(m.byte())
		if n == 0xfe {
			if long := m.take(4); long != nil {
				n = uint64(binary.LittleEndian.Uint32(long))
			}
		} else if n == 0xff {
			m.fail()
		}
		var room byte
		if value {
			room = m.byte()
		}
		entry := m.take(n)
		m.take(uint64(room))
		if m.bad || !yield(entry) {
			break
		}
	}
	if m.bad {
		r.fail()
	}
}

// intset goes over the integers of an intset: bytes of each 4, their number 4, the integers in order.
func (r *reader) intset(b []byte, yield func(entry []byte) bool) {
	const head = 8
	if len(b) <= head {
		r.fail()
		return
	}
	width, count := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	b = b[head:]
	if width != 2 && width != 4 && width != 8 || uint64(width)*uint64(count) != uint64(len(b)) {
		r.fail()
		return
	}
	for i, last := uint32(0), int64(0); i < count; i++ {
		v := littleEndian(b[:width])
		if i > 0 && last >= v {
			r.fail()
			return
		}
		b, last = b[width:], v
		if !yield(strconv.AppendInt(nil, v, 10)) {
			return
		}
	}
}
