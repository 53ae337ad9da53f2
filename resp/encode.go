package resp

import (
	"bytes"
	"math"
	"strconv"
)

const crlf = "\r\n"

// Append writes the reply at the end of dst for protocol version 2 or 3 and returns the longer
// slice. It allocates only to make dst longer.
func (r Reply) Append(dst []byte, proto int) []byte {
	if r.Kind == None {
		return dst
	}
	return r.append(dst, proto)
}

func (r *Reply) append(dst []byte, proto int) []byte {
	switch r.Kind {
	case Simple:
		return appendLine(append(dst, '+'), r.Text)
	case Error:
		return appendLine(append(dst, '-'), r.Text)
	case Integer:
		return appendNumber(dst, ':', r.Int)
	case Bulk:
		return r.appendBulk(dst)
	case Array, Map, Pairs, PairMap, Set, Push:
		return r.appendElems(dst, proto)
	case Double:
		return r.appendDouble(dst, proto)
	case Boolean:
		return appendBool(dst, proto, r.Int != 0)
	case BigNumber:
		if proto == 3 {
			return appendLine(append(dst, '('), r.Text)
		}
		return appendString(dst, '$', r.Text)
	case Verbatim:
		return appendVerbatim(dst, proto, r.Text)
	case NullArray:
		if proto != 3 {
			return append(dst, "*-1\r\n"...)
		}
	}
	if proto == 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// appendLine writes s and the end of the line. A line break inside s would let a client's bytes
// pass for another reply, so it becomes a space.
func appendLine(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, crlf...)
}

func appendNumber(dst []byte, mark byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, mark), n, 10)
	return append(dst, crlf...)
}

func appendString(dst []byte, mark byte, s string) []byte {
	dst = appendNumber(dst, mark, int64(len(s)))
	dst = append(dst, s...)
	return append(dst, crlf...)
}

func (r *Reply) appendBulk(dst []byte) []byte {
	if r.Bytes == nil {
		return appendString(dst, '$', r.Text)
	}
	dst = appendNumber(dst, '$', int64(len(r.Bytes)))
	dst = append(dst, r.Bytes...)
	return append(dst, crlf...)
}

func (r *Reply) appendElems(dst []byte, proto int) []byte {
	if r.Stream != nil {
		return r.Stream.append(dst, proto)
	}
	elems := r.Elems
	if r.Kind == Map || r.Kind == Pairs || r.Kind == PairMap {
		elems = elems[:len(elems)&^1]
	}
	mark, count := aggregateMark(r.Kind, len(elems), proto)
	dst = appendNumber(dst, mark, int64(count))
	if isNested(r.Kind, proto) {
		return appendPairs(dst, elems, proto)
	}
	for i := range elems {
		dst = elems[i].append(dst, proto)
	}
	return dst
}

// aggregateMark is how an aggregate begins, and the number that it gives as its length.
func aggregateMark(kind Kind, elems, proto int) (mark byte, count int) {
	switch {
	case isNested(kind, proto):
		return '*', elems / 2
	case proto == 3:
		switch kind {
		case Map, PairMap:
			return '%', elems / 2
		case Set:
			return '~', elems
		case Push:
			return '>', elems
		}
	}
	return '*', elems
}

func appendBool(dst []byte, proto int, b bool) []byte {
	switch {
	case proto == 3 && b:
		return append(dst, "#t\r\n"...)
	case proto == 3:
		return append(dst, "#f\r\n"...)
	case b:
		return append(dst, ":1\r\n"...)
	}
	return append(dst, ":0\r\n"...)
}

// verbatimPrefix is the length of "txt:".
const verbatimPrefix = 4

func appendVerbatim(dst []byte, proto int, s string) []byte {
	if proto == 3 {
		return appendString(dst, '=', s)
	}
	return appendString(dst, '$', s[min(verbatimPrefix, len(s)):])
}

func (r *Reply) appendDouble(dst []byte, proto int) []byte {
	var scratch [64]byte
	digits := append(scratch[:0], r.Text...)
	if r.Text == "" {
		digits = AppendDouble(digits, r.Float)
	}
	if proto == 3 {
		dst = append(append(dst, ','), digits...)
		return append(dst, crlf...)
	}
	dst = appendNumber(dst, '$', int64(len(digits)))
	dst = append(dst, digits...)
	return append(dst, crlf...)
}

// AppendDouble writes f as Redis 7.2 prints scores: integers up to half of the int64 range in
// full, everything else with the fewest digits that read back as f, and an exponent only for
// numbers that would need many zeros. (Redis 7.0 printed 17 digits instead.)
func AppendDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == 0 && math.Signbit(f):
		return append(dst, "-0"...)
	}
	if math.Abs(f) <= math.MaxInt64/2 && f == math.Trunc(f) {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	// Scientific notation of strconv: an optional sign, d.ddd, e, sign, exponent.
	var scratch [32]byte
	sci := strconv.AppendFloat(scratch[:0], f, 'e', -1, 64)
	e := bytes.IndexByte(sci, 'e')
	exponent, _ := strconv.Atoi(string(sci[e+1:])) // strconv wrote it
	digits := 0
	for _, c := range sci[:e] {
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	scale := exponent - digits + 1 // f is its digits, as an integer, times 10^scale
	switch {
	case scale >= 0 && exponent < digits+7,
		scale < 0 && (scale > -7 || -4 < exponent && exponent < 4):
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	case exponent >= 0:
		dst = append(append(dst, sci[:e]...), "e+"...)
	default:
		dst = append(append(dst, sci[:e]...), 'e')
	}
	return strconv.AppendInt(dst, int64(exponent), 10)
}

// isNested says whether each two elements of an aggregate are an array of their own.
func isNested(kind Kind, proto int) bool {
	return kind == Pairs && proto == 3 || kind == PairMap && proto != 3
}

// appendPairs writes each two elements as an array of their own.
func appendPairs(dst []byte, elems []Reply, proto int) []byte {
	for i := range elems {
		if i%2 == 0 {
			dst = append(dst, "*2\r\n"...)
		}
		dst = elems[i].append(dst, proto)
	}
	return dst
}
