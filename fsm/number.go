package fsm

import "math"

// ParseInt reads a 64-bit integer in exactly the form in which it would be printed: no spaces,
// no plus sign, no leading zeros, no "-0". So a string that parses is given back by printing.
func ParseInt(b []byte) (int64, bool) {
	const longest = len("-9223372036854775808")
	if len(b) == 0 || len(b) > longest {
		return 0, false
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64 // at most 20 digits, of which the first 19 can't overflow
	for _, c := range digits {
		if c < '0' || c > '9' || n > math.MaxUint64/10 {
			return 0, false
		}
		next := n*10 + uint64(c-'0')
		if next < n*10 {
			return 0, false
		}
		n = next
	}
	if b[0] == '-' {
		return int64(-n), n <= -math.MinInt64
	}
	return int64(n), n <= math.MaxInt64
}
