package script

import (
	"math"
	"strconv"
	"strings"
)

// value is a value of Lua. o tells the type: nil is nil, isNumber and isBool mark those that are
// in n, all other types are pointers.
type value struct {
	o any
	n float64
}

type (
	isNumber struct{}
	isBool   struct{}
	isNull   struct{} // the light userdata of cjson.null
)

// str is a string. Its hash is made when it is first used as a key; those of strings that several
// runs share are made before.
type str struct {
	s      string
	hash   uint32
	hashed bool
}

// userdata is what newproxy makes.
type userdata struct {
	meta *table
	id   uint64
}

// native is a function that is written in Go. Its results may be in the thread's buffer: they hold
// until the next call.
type native struct {
	name string
	fn   func(t *thread, args []value) []value
	id   uint64
	lean bool // it pays for the strings that it looks at
}

// closure is a function that is written in Lua.
type closure struct {
	proto *proto
	up    []*cell
	env   *table
	id    uint64
}

// cell is a local variable that an inner function uses.
type cell struct{ v value }

var (
	nilValue   = value{}
	trueValue  = value{o: isBool{}, n: 1}
	falseValue = value{o: isBool{}}
	nullValue  = value{o: isNull{}}
)

func number(n float64) value { return value{o: isNumber{}, n: n} }

func boolean(b bool) value {
	if b {
		return trueValue
	}
	return falseValue
}

func text(s string) value { return value{o: &str{s: s}} }

// constant is a string that several runs may share.
func constant(s string) *str {
	c := &str{s: s}
	c.sum()
	return c
}

// sum is the hash of Lua 5.1 with Redis's change: all bytes count. Tables are traversed in its order.
func (s *str) sum() uint32 {
	if !s.hashed {
		h := uint32(len(s.s))
		for i := len(s.s) - 1; i >= 0; i-- {
			h ^= h<<5 + h>>2 + uint32(s.s[i])
		}
		s.hash, s.hashed = h, true
	}
	return s.hash
}

func (v value) isNil() bool { return v.o == nil }

func (v value) isNumber() bool {
	_, ok := v.o.(isNumber)
	return ok
}

func (v value) truth() bool {
	if v.o == nil {
		return false
	}
	_, ok := v.o.(isBool)
	return !ok || v.n != 0
}

func (v value) table() *table {
	t, _ := v.o.(*table)
	return t
}

// str is the string of v, or nil.
func (v value) str() *str {
	s, _ := v.o.(*str)
	return s
}

func (v value) isFunction() bool {
	switch v.o.(type) {
	case *closure, *native:
		return true
	}
	return false
}

func typeName(v value) string {
	switch v.o.(type) {
	case nil:
		return "nil"
	case isNumber:
		return "number"
	case isBool:
		return "boolean"
	case *str:
		return "string"
	case *table:
		return "table"
	case *closure, *native:
		return "function"
	case *thread:
		return "thread"
	}
	return "userdata"
}

func rawEqual(a, b value) bool {
	switch x := a.o.(type) {
	case nil:
		return b.o == nil
	case isNumber:
		return b.isNumber() && a.n == b.n
	case isBool:
		_, ok := b.o.(isBool)
		return ok && a.n == b.n
	case *str:
		y, ok := b.o.(*str)
		return ok && (x == y || x.s == y.s)
	}
	return a.o == b.o
}

// identity stands for the address of an object: addresses differ from node to node.
func identity(v value) uint64 {
	switch x := v.o.(type) {
	case *table:
		return x.id
	case *closure:
		return x.id
	case *native:
		return x.id
	case *thread:
		return x.id
	case *userdata:
		return x.id
	}
	return 0
}

// formatNumber is C's %.14g.
func formatNumber(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e14 && (n != 0 || !math.Signbit(n)) {
		return strconv.FormatInt(int64(n), 10)
	}
	return string(appendG(nil, n, 14))
}

// appendG is C's %.*g. Whether a NaN has a sign depends on the processor, so it always has the one
// that 0/0 has where Redis usually runs.
func appendG(dst []byte, n float64, precision int) []byte {
	switch {
	case math.IsNaN(n):
		return append(dst, "-nan"...)
	case math.IsInf(n, 1):
		return append(dst, "inf"...)
	case math.IsInf(n, -1):
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, n, 'g', precision, 64)
}

// toText is the string of a string or a number.
func toText(v value) (string, bool) {
	switch x := v.o.(type) {
	case *str:
		return x.s, true
	case isNumber:
		return formatNumber(v.n), true
	}
	return "", false
}

// toNumber is the number of a number, or of a string that reads as one.
func toNumber(v value) (float64, bool) {
	switch x := v.o.(type) {
	case isNumber:
		return v.n, true
	case *str:
		return parseNumber(x.s)
	}
	return 0, false
}

const spaces = " \t\n\v\f\r"

// parseNumber reads all of s as C's strtod does, with space around it.
func parseNumber(s string) (float64, bool) {
	if len(s) > maxNumeral {
		s = strings.Trim(s, spaces)
	}
	n, used := scanNumber(s)
	if used == 0 || strings.Trim(s[used:], spaces) != "" {
		return 0, false
	}
	return n, true
}

// maxNumeral is how long a number may be before it is looked at more closely.
const maxNumeral = 400

// scanNumber reads the longest number that s begins with, as strtod: also hexadecimal, inf and nan.
func scanNumber(s string) (n float64, used int) {
	i := 0
	for i < len(s) && strings.IndexByte(spaces, s[i]) >= 0 {
		i++
	}
	start := i
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	sign := 1.0
	if i > start && s[start] == '-' {
		sign = -1
	}
	lower := strings.ToLower(s[i:min(len(s), i+8)])
	switch {
	case strings.HasPrefix(lower, "infinity"):
		return math.Inf(int(sign)), i + 8
	case strings.HasPrefix(lower, "inf"):
		return math.Inf(int(sign)), i + 3
	case strings.HasPrefix(lower, "nan"):
		return math.NaN(), i + 3
	case strings.HasPrefix(lower, "0x"):
		if end := scanDigits(s, i+2, true); end > i+2 {
			n := parseHex(s[i+2 : end])
			return sign * n, end
		}
		return 0 * sign, i + 1
	}
	end := scanDigits(s, i, false)
	if end == i {
		return 0, 0
	}
	n, _ = strconv.ParseFloat(s[i:end], 64) // out of range gives infinity or 0, as in C
	return sign * n, end
}

// scanDigits is where the digits, with a point and an exponent, end that begin at i; i if there are none.
func scanDigits(s string, i int, hex bool) int {
	start, digits, point := i, 0, false
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case '0' <= c && c <= '9' || hex && isHex(c):
			digits++
			continue
		case c == '.' && !point:
			point = true
			continue
		}
		break
	}
	if digits == 0 {
		return start
	}
	if i < len(s) && (!hex && s[i]|0x20 == 'e' || hex && s[i]|0x20 == 'p') {
		e := i + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if e < len(s) && '0' <= s[e] && s[e] <= '9' {
			for i = e; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			}
		}
	}
	return i
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func parseHex(s string) float64 {
	if !strings.ContainsAny(s, "pP") {
		s += "p0"
	}
	n, _ := strconv.ParseFloat("0x"+s, 64)
	return n
}

// toInt32 is C's conversion of a double to an int, where Redis usually runs.
func toInt32(n float64) int {
	if n > -2147483649 && n < 2147483648 {
		return int(n)
	}
	return math.MinInt32
}

// toInt64 is the same for a long.
func toInt64(n float64) int64 {
	if n >= -9223372036854775808 && n < 9223372036854775808 {
		return int64(n)
	}
	return math.MinInt64
}
