package rdb

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Bounds of what compressed strings may become: one of them, and all of a payload together.
const (
	StringBytesMax = 64 << 20
	valueBytesMax  = 512 << 20
)

// Lengths have the number of their bytes in the upper two bits.
const (
	length6    = 0
	length14   = 1
	length32   = 0x80
	length64   = 0x81
	encoded    = 3 // a string in another way, which the lower six bits say
	encInt8    = 0
	encInt16   = 1
	encInt32   = 2
	encLZF     = 3
	integers   = 11 // no string that is longer can be one of these integers
	worthwhile = 20 // no string that is not longer is compressed
)

// reader reads a serialised value. After the first failure everything is empty.
type reader struct {
	b        []byte
	expanded int // bytes that compressed strings have become
	nodes    int // of a quicklist that were read
	bad      bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

// take returns the next n bytes.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// header reads a length, or how a string is encoded.
func (r *reader) header() (n uint64, isEncoded bool) {
	c := r.byte()
	switch c >> 6 {
	case length6:
		return uint64(c), false
	case length14:
		return uint64(c&0x3f)<<8 | uint64(r.byte()), false
	case encoded:
		return uint64(c & 0x3f), true
	}
	switch c {
	case length32:
		if b := r.take(4); b != nil {
			return uint64(binary.BigEndian.Uint32(b)), false
		}
	case length64:
		if b := r.take(8); b != nil {
			return binary.BigEndian.Uint64(b), false
		}
	}
	r.fail()
	return 0, false
}

func (r *reader) length() uint64 {
	n, isEncoded := r.header()
	if isEncoded {
		r.fail()
	}
	return n
}

// string reads a string, which may alias the payload.
func (r *reader) string() []byte {
	n, isEncoded := r.header()
	if !isEncoded {
		return r.take(n)
	}
	var v int64
	switch n {
	case encInt8:
		v = int64(int8(r.byte()))
	case encInt16:
		if b := r.take(2); b != nil {
			v = int64(int16(binary.LittleEndian.Uint16(b)))
		}
	case encInt32:
		if b := r.take(4); b != nil {
			v = int64(int32(binary.LittleEndian.Uint32(b)))
		}
	case encLZF:
		return r.compressed()
	default:
		r.fail()
	}
	if r.bad {
		return nil
	}
	return strconv.AppendInt(nil, v, 10)
}

func (r *reader) compressed() []byte {
	packed, size := r.length(), r.length()
	b := r.take(packed)
	if size > StringBytesMax || r.expanded+int(size) > valueBytesMax {
		r.fail()
	}
	if r.bad {
		return nil
	}
	r.expanded += int(size)
	if b = decompress(b, int(size)); b == nil {
		r.fail()
	}
	return b
}

// textScore reads a score as Redis before 4.0 wrote it.
func (r *reader) textScore() float64 {
	switch n := r.byte(); n {
	case 255:
		return math.Inf(-1)
	case 254:
		return math.Inf(1)
	case 253:
		return math.NaN()
	default:
		return r.score(r.take(uint64(n)))
	}
}

// score reads a score in a ziplist or listpack.
func (r *reader) score(text []byte) float64 {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !math.IsInf(f, 0) {
		r.fail()
	}
	return f
}
