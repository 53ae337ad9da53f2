package command

import (
	"bytes"
	"math"
	"math/big"
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

// cString cuts an argument at its first NUL byte: Redis compares options and prints words as
// C strings, so that "NX\x00..." is the option NX.
func cString(arg []byte) []byte {
	if i := bytes.IndexByte(arg, 0); i >= 0 {
		return arg[:i]
	}
	return arg
}

// isOption tells whether arg is the option with this name (in upper case), in any case.
func isOption(arg []byte, name string) bool {
	if len(arg) < len(name) || len(arg) > len(name) && arg[len(name)] != 0 {
		return false
	}
	for i := range len(name) {
		c := arg[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// parseInt reads a 64-bit integer in exactly the form in which it would be printed.
func parseInt(b []byte) (int64, bool) { return fsm.ParseInt(b) }

// formatInt prints n in the form that parseInt reads.
func formatInt(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// addInts adds two integers. It is false when the sum is out of range.
func addInts(a, b int64) (int64, bool) {
	if b < 0 && a < math.MinInt64-b || b > 0 && a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, true
}

// parseInt32 reads an integer of C's type int; the reply is the error if it is none.
func parseInt32(b []byte) (int, resp.Reply) {
	n, ok := parseInt(b)
	switch {
	case !ok:
		return 0, errNotInteger
	case n < math.MinInt32 || n > math.MaxInt32:
		return 0, errIntRange
	}
	return int(n), resp.Reply{}
}

// ParseDB reads the number of a database, as SELECT takes it. The reply is the error, of kind
// None if there is none.
func ParseDB(arg []byte) (int, resp.Reply) {
	db, bad := parseInt32(arg)
	if bad.IsError() {
		return 0, bad
	}
	if db < 0 || db >= fsm.Databases {
		return 0, errDBRange
	}
	return db, resp.Reply{}
}

// Floats are computed as Redis does on x86: in long doubles, which have a 64-bit mantissa.
const (
	floatBytesMax     = 5*1024 - 1 // longest text that is accepted
	floatPrecision    = 64
	floatExponentMax  = 16384  // of the largest long double, as in mantissa [0.5, 1) * 2^e
	floatExponentHalf = -16445 // of half the smallest one that is not zero
	decimalExponentAt = 4960   // powers of ten at least this far from 0 are out of range
)

// parseFloat reads what C's strtold reads, all of it: decimal or hexadecimal digits with an
// exponent, or an infinity. It refuses NaN, leading spaces, and what is too large or too small
// for a long double.
func parseFloat(b []byte) (*big.Float, bool) {
	if len(b) == 0 || len(b) > floatBytesMax {
		return nil, false
	}
	text := b
	negative := text[0] == '-'
	if negative || text[0] == '+' {
		text = text[1:]
	}
	if bytes.EqualFold(text, []byte("inf")) || bytes.EqualFold(text, []byte("infinity")) {
		return new(big.Float).SetInf(negative), true
	}
	base := 10
	if len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' {
		base, text = 16, text[2:]
	}
	digits, exponent, ok := splitFloat(text, base)
	if !ok {
		return nil, false
	}
	f, ok := makeFloat(digits, exponent, base)
	if ok && negative {
		f.Neg(f)
	}
	return f, ok
}

// splitFloat reads digits with an optional point and exponent. The value is digits times
// base^exponent for base 10, and times 2^exponent for base 16. The digits have no leading zeros:
// none at all mean zero.
func splitFloat(text []byte, base int) (digits []byte, exponent int, ok bool) {
	mark, digitBits := byte('e'), 1
	if base == 16 {
		mark, digitBits = 'p', 4
	}
	point, seen := false, false
	i := 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if !isDigit(c, base) {
			break
		}
		seen = true
		if point {
			exponent -= digitBits
		}
		if c != '0' || len(digits) > 0 {
			digits = append(digits, c)
		}
	}
	if !seen {
		return nil, 0, false
	}
	if i == len(text) {
		return digits, exponent, true
	}
	if text[i]|0x20 != mark {
		return nil, 0, false
	}
	power, ok := parseExponent(text[i+1:])
	return digits, exponent + power, ok
}

// parseExponent reads a decimal exponent. One that is far out of range is returned as some number
// that is out of range, too.
func parseExponent(text []byte) (int, bool) {
	const enough = 1 << 20
	negative := len(text) > 0 && text[0] == '-'
	if negative || len(text) > 0 && text[0] == '+' {
		text = text[1:]
	}
	n := 0
	for _, c := range text {
		if !isDigit(c, 10) {
			return 0, false
		}
		n = min(n*10+int(c-'0'), enough)
	}
	if negative {
		n = -n
	}
	return n, len(text) > 0
}

func isDigit(c byte, base int) bool {
	if base == 16 && 'a' <= c|0x20 && c|0x20 <= 'f' {
		return true
	}
	return '0' <= c && c <= '9'
}

// makeFloat rounds the exact value of the text once, to the nearest long double.
func makeFloat(digits []byte, exponent, base int) (*big.Float, bool) {
	f := new(big.Float).SetPrec(floatPrecision)
	if len(digits) == 0 {
		return f, true
	}
	mantissa, ok := new(big.Int).SetString(string(digits), base)
	if !ok {
		return nil, false
	}
	if base == 16 {
		f.SetInt(mantissa)
		f.SetMantExp(f, exponent)
		return f, inFloatRange(f)
	}
	// The bound comes before the power, which otherwise could have a billion digits.
	if at := len(digits) + exponent; at > decimalExponentAt || at < -decimalExponentAt {
		return nil, false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	if exponent >= 0 {
		f.SetInt(mantissa.Mul(mantissa, power))
	} else {
		f.SetRat(new(big.Rat).SetFrac(mantissa, power))
	}
	return f, inFloatRange(f)
}

// inFloatRange is false for what rounds to an infinity or to zero. Half of the smallest long
// double, a power of two, is rounded to zero, and anything above it is not.
func inFloatRange(f *big.Float) bool {
	e := f.MantExp(nil)
	return e <= floatExponentMax &&
		(e > floatExponentHalf || e == floatExponentHalf && f.MinPrec() > 1)
}

// addFloats adds two long doubles. It is false when the sum is not a finite number.
func addFloats(a, b *big.Float) (*big.Float, bool) {
	if a.IsInf() || b.IsInf() {
		return nil, false
	}
	sum := new(big.Float).SetPrec(floatPrecision).Add(a, b)
	return sum, sum.MantExp(nil) <= floatExponentMax
}

// formatFloat prints 17 digits after the point, without the zeros at the end.
func formatFloat(f *big.Float) []byte {
	text := f.Append(nil, 'f', 17)
	text = bytes.TrimRight(text, "0")
	text = bytes.TrimSuffix(text, []byte("."))
	if string(text) == "-0" {
		return []byte("0")
	}
	return text
}
