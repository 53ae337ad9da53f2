package rdb

import "encoding/binary"

// LZF is a sequence of
//
//	000nnnnn                    n+1 bytes follow
//	nnnooooo oooooooo           n+2 bytes as those o+1 bytes before, for n from 1 to 6
//	111ooooo nnnnnnnn oooooooo  n+9 bytes as those o+1 bytes before
const (
	lzfLiteralMax = 1 << 5
	lzfOffsetMax  = 1 << 13
	lzfMatchMax   = 264
	lzfHashBits   = 13
)

// compress returns b in LZF, or nil if that is not at least four bytes shorter.
func compress(b []byte) []byte {
	var seen [1 << lzfHashBits]int32 // the place after the first of three bytes with this hash
	out := make([]byte, 0, len(b))
	start, i := 0, 0
	for i+3 <= len(b) {
		h := lzfHash(b[i:])
		ref := int(seen[h]) - 1
		seen[h] = int32(i + 1)
		if ref < 0 || i-ref > lzfOffsetMax || b[ref] != b[i] || b[ref+1] != b[i+1] || b[ref+2] != b[i+2] {
			i++
			continue
		}
		n := 3
		for n < lzfMatchMax && i+n < len(b) && b[ref+n] == b[i+n] {
			n++
		}
		out = appendMatch(appendLiteral(out, b[start:i]), i-ref-1, n)
		i += n
		start = i
		if i+2 <= len(b) && i >= 1 { // what begins at the end of a match is often met again
			seen[lzfHash(b[i-1:min(i+2, len(b))])] = int32(i)
		}
		if len(out) >= len(b)-4 {
			return nil
		}
	}
	if out = appendLiteral(out, b[start:]); len(out) > len(b)-4 {
		return nil
	}
	return out
}

// lzfHash is of the first three bytes; it may be given two, and then is of no use.
func lzfHash(b []byte) uint32 {
	if len(b) < 3 {
		return 0
	}
	v := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	return v * 0x9e3779b1 >> (32 - lzfHashBits)
}

func appendLiteral(dst, b []byte) []byte {
	for len(b) > 0 {
		n := min(len(b), lzfLiteralMax)
		dst = append(append(dst, byte(n-1)), b[:n]...)
		b = b[n:]
	}
	return dst
}

func appendMatch(dst []byte, offset, n int) []byte {
	high := byte(offset >> 8)
	if n -= 2; n < 7 {
		return append(dst, byte(n)<<5|high, byte(offset))
	}
	return append(dst, 7<<5|high, byte(n-7), byte(offset))
}

// decompress returns the size bytes that b stands for, or nil if it is damaged.
func decompress(b []byte, size int) []byte {
	if size/(lzfMatchMax/3) > len(b) {
		return nil // it would be a lot, and can't be
	}
	out := make([]byte, 0, size)
	for len(b) > 0 {
		c := b[0]
		b = b[1:]
		if c < lzfLiteralMax {
			n := int(c) + 1
			if n > len(b) || len(out)+n > size {
				return nil
			}
			out, b = append(out, b[:n]...), b[n:]
			continue
		}
		n := int(c >> 5)
		if n == 7 {
			if len(b) == 0 {
				return nil
			}
			n += int(b[0])
			b = b[1:]
		}
		if n += 2; len(b) == 0 || len(out)+n > size {
			return nil
		}
		ref := len(out) - int(binary.BigEndian.Uint16([]byte{c & 0x1f, b[0]})) - 1
		if b = b[1:]; ref < 0 {
			return nil
		}
		for i := range n { // it may go into what is being written
			out = append(out, out[ref+i])
		}
	}
	if len(out) != size {
		return nil
	}
	return out
}
