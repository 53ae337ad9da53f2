package rdb

import (
	"encoding/binary"
	"iter"
	"math"
	"slices"
	"strconv"
)

// The functions that begin with Append write a value of some type as Redis 7.2 would. Seal makes a payload of it.

// AppendString adds a string.
func AppendString(dst, value []byte) []byte { return appendString(append(dst, typeString), value) }

// AppendHash adds a hash of n fields, packed if Redis would keep it in a listpack.
func AppendHash(dst []byte, packed bool, n int, fields iter.Seq2[[]byte, []byte]) []byte {
	if packed {
		return appendPacked(append(dst, typeHashListpack), func(yield func(entry []byte) bool) {
			for field, value := range fields {
				if !yield(field) || !yield(value) {
					return
				}
			}
		})
	}
	dst = appendLength(append(dst, typeHash), uint64(n))
	for field, value := range fields {
		dst = appendString(appendString(dst, field), value)
	}
	return dst
}

// quicklistNodeBytes is how large a node of a list gets. A larger element is a node of its own.
const quicklistNodeBytes = 8 << 10

// AppendList adds a list.
func AppendList(dst []byte, elements iter.Seq[[]byte]) []byte {
	var nodes, pack []byte
	count, inPack := uint64(0), 0
	end := func() {
		if inPack > 0 {
			nodes = appendString(appendLength(nodes, nodePacked), endListpack(pack, inPack))
			pack, inPack = nil, 0
			count++
		}
	}
	for element := range elements {
		if inPack > 0 && len(pack)+len(element) > quicklistNodeBytes || len(element) > quicklistNodeBytes {
			end()
		}
		if len(element) > quicklistNodeBytes {
			nodes = appendString(appendLength(nodes, nodePlain), element)
			count++
			continue
		}
		if inPack == 0 {
			pack = beginListpack()
		}
		pack = appendListpack(pack, element)
		inPack++
	}
	end()
	return append(appendLength(append(dst, typeListQuicklist2), count), nodes...)
}

// AppendSet adds a set of n elements, packed if Redis would keep it in a listpack.
func AppendSet(dst []byte, packed bool, n int, elements iter.Seq[[]byte]) []byte {
	if packed {
		return appendPacked(append(dst, typeSetListpack), elements)
	}
	dst = appendLength(append(dst, typeSet), uint64(n))
	for element := range elements {
		dst = appendString(dst, element)
	}
	return dst
}

// AppendIntset adds a set of integers that Redis would keep in an intset. What is no integer is left out.
func AppendIntset(dst []byte, elements iter.Seq[[]byte]) []byte {
	var values []int64
	for element := range elements {
		if v, ok := canonical(element); ok {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	width := 2
	for _, v := range values {
		switch {
		case v != int64(int32(v)):
			width = 8
		case v != int64(int16(v)):
			width = max(width, 4)
		}
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(width))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(values)))
	for _, v := range values {
		b = append(b, binary.LittleEndian.AppendUint64(nil, uint64(v))[:width]...)
	}
	return appendString(append(dst, typeSetIntset), b)
}

// AppendZSet adds a sorted set of n members in their order, packed if Redis would keep it in a listpack.
func AppendZSet(dst []byte, packed bool, n int, members iter.Seq2[[]byte, float64]) []byte {
	if packed {
		return appendPacked(append(dst, typeZSetListpack), func(yield func(entry []byte) bool) {
			for member, score := range members {
				if !yield(member) || !yield(scoreText(score)) {
					return
				}
			}
		})
	}
	dst = appendLength(append(dst, typeZSet2), uint64(n))
	for member, score := range members {
		dst = binary.LittleEndian.AppendUint64(appendString(dst, member), math.Float64bits(score))
	}
	return dst
}

// scoreText is a score in a listpack: an integer as such, if that is exact without doubt.
func scoreText(score float64) []byte {
	switch {
	case math.IsInf(score, 1):
		return []byte("inf")
	case math.IsInf(score, -1):
		return []byte("-inf")
	case math.Abs(score) <= math.MaxInt64/2 && score == math.Trunc(score):
		return strconv.AppendInt(nil, int64(score), 10)
	}
	return strconv.AppendFloat(nil, score, 'g', -1, 64)
}

// appendPacked adds a string that is a listpack.
func appendPacked(dst []byte, entries iter.Seq[[]byte]) []byte {
	b, n := beginListpack(), 0
	for entry := range entries {
		b = appendListpack(b, entry)
		n++
	}
	return appendString(dst, endListpack(b, n))
}

func beginListpack() []byte { return make([]byte, listpackHead, 64) }

func endListpack(b []byte, entries int) []byte {
	b = append(b, 0xff)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint16(b[4:], uint16(min(entries, listpackMany)))
	return b
}

func appendLength(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, length14<<6|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, length32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, length64), n)
}

// appendString adds a string as an integer, compressed, or as it is.
func appendString(dst, s []byte) []byte {
	if v, ok := canonical(s); ok && len(s) <= integers && v == int64(int32(v)) {
		switch {
		case v == int64(int8(v)):
			return append(dst, encoded<<6|encInt8, byte(v))
		case v == int64(int16(v)):
			return binary.LittleEndian.AppendUint16(append(dst, encoded<<6|encInt16), uint16(v))
		}
		return binary.LittleEndian.AppendUint32(append(dst, encoded<<6|encInt32), uint32(v))
	}
	if len(s) > worthwhile {
		if b := compress(s); b != nil {
			dst = appendLength(append(dst, encoded<<6|encLZF), uint64(len(b)))
			return append(appendLength(dst, uint64(len(s))), b...)
		}
	}
	return append(appendLength(dst, uint64(len(s))), s...)
}
