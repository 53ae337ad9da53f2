package command

import (
	"bytes"
	"math"
	"strconv"
)

// Scores, weights and coordinates are C's doubles, and are read as its strtod reads them.

// parseDouble reads a number, or an infinity. It refuses NaN, leading spaces, and what is too large or too small for a
// double.
func parseDouble(b []byte) (float64, bool) {
	f, inRange, ok := strtod(b)
	return f, ok && inRange
}

// parseScoreBound reads an end of a range of scores, which is open after a parenthesis. Spaces may stand before the
// number, no number at all is 0, and what is out of range is the nearest number.
func parseScoreBound(arg []byte) (bound float64, open, ok bool) {
	text, open := bytes.CutPrefix(cString(arg), []byte("("))
	if len(text) == 0 {
		return 0, open, true
	}
	bound, _, ok = strtod(bytes.TrimLeft(text, " \t\n\v\f\r"))
	return bound, open, ok
}

// strtod reads the whole text. inRange is false when the number was too large, or so small that it became zero.
func strtod(text []byte) (f float64, inRange, ok bool) {
	unsigned := text
	negative := len(text) > 0 && text[0] == '-'
	if negative || len(text) > 0 && text[0] == '+' {
		unsigned = text[1:]
	}
	if bytes.EqualFold(unsigned, []byte("inf")) || bytes.EqualFold(unsigned, []byte("infinity")) {
		if negative {
			return math.Inf(-1), true, true
		}
		return math.Inf(1), true, true
	}
	base, digits := 10, unsigned
	if len(digits) > 2 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		base, digits = 16, digits[2:]
	}
	significant, _, ok := splitFloat(digits, base)
	if !ok {
		return 0, false, false
	}
	number := string(unsigned)
	if base == 16 && !bytes.ContainsAny(digits, "pP") {
		number += "p0"
	}
	f, err := strconv.ParseFloat(number, 64) // the text is right: it can only be out of range
	inRange = err == nil && (f != 0 || len(significant) == 0)
	if negative {
		f = -f
	}
	return f, inRange, true
}
