package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const maxFormatFlags = 5

// floatCost is more for numbers of which all digits are needed, and those may be hundreds.
func (d directive) floatCost(n float64) int64 {
	if d.verb != 'f' && d.precision <= 17 {
		return 20
	}
	_, exponent := math.Frexp(n)
	return int64(50 + 10*max(d.precision, 0) + max(exponent, -exponent)/2)
}

// directive is one "%..." of string.format.
type directive struct {
	flags     string
	width     int
	precision int // -1 is none
	verb      byte
}

func stringFormat(th *thread, args []value) []value {
	format := th.checkString(args, 0)
	var b strings.Builder
	arg := 0
	for i := 0; i < len(format); i++ {
		th.r.charge(1)
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		if i < len(format) && format[i] == '%' {
			b.WriteByte('%')
			continue
		}
		var d directive
		d, i = th.directive(format, i)
		arg++
		th.r.charge(numeralCost)
		s := th.formatOne(d, args, arg)
		th.r.checkLength(b.Len() + len(s))
		th.r.chargeBytes(len(s))
		b.WriteString(s)
	}
	return th.ret(th.r.newString(b.String()))
}

// directive reads what follows '%'; the result is the index of the verb.
func (th *thread) directive(format string, i int) (directive, int) {
	d := directive{precision: -1}
	start := i
	for i < len(format) && strings.IndexByte("-+ #0", format[i]) >= 0 {
		i++
	}
	d.flags = format[start:i]
	if len(d.flags) >= maxFormatFlags+1 {
		th.fail("invalid format (repeated flags)")
	}
	digits := func() (n int) {
		for j := 0; j < 2 && i < len(format) && '0' <= format[i] && format[i] <= '9'; j++ {
			n = n*10 + int(format[i]-'0')
			i++
		}
		return n
	}
	d.width = digits()
	if i < len(format) && format[i] == '.' {
		i++
		d.precision = digits()
	}
	if i < len(format) && '0' <= format[i] && format[i] <= '9' {
		th.fail("invalid format (width or precision too long)")
	}
	if i < len(format) {
		d.verb = format[i]
	}
	return d, i
}

func (th *thread) formatOne(d directive, args []value, arg int) string {
	if arg >= len(args) {
		th.argError(arg, "no value")
	}
	switch d.verb {
	case 'c':
		return cString(d.pad(string([]byte{byte(toInt32(th.checkNumber(args, arg)))})))
	case 'd', 'i':
		return d.integer(strconv.FormatInt(toInt64(th.checkNumber(args, arg)), 10))
	case 'o':
		return d.unsigned(th.checkNumber(args, arg), 8)
	case 'u':
		return d.unsigned(th.checkNumber(args, arg), 10)
	case 'x', 'X':
		return d.unsigned(th.checkNumber(args, arg), 16)
	case 'e', 'E', 'f', 'g', 'G':
		n := th.checkNumber(args, arg)
		th.r.charge(d.floatCost(n))
		return d.float(n)
	case 'q':
		return quote(th.checkString(args, arg))
	case 's':
		s := th.checkString(args, arg)
		if d.precision < 0 && len(s) >= 100 {
			return s
		}
		s = cString(s)
		if d.precision >= 0 && len(s) > d.precision {
			s = s[:d.precision]
		}
		return d.pad(s)
	}
	option := ""
	if d.verb != 0 {
		option = string([]byte{d.verb})
	}
	th.fail("invalid option '%%%s' to 'format'", option)
	return ""
}

func (d directive) has(flag string) bool { return strings.Contains(d.flags, flag) }

func (d directive) pad(s string) string {
	missing := d.width - len(s)
	switch {
	case missing <= 0:
		return s
	case d.has("-"):
		return s + strings.Repeat(" ", missing)
	}
	return strings.Repeat(" ", missing) + s
}

// signed pads a number, whose sign stays before the zeros.
func (d directive) signed(sign, prefix, digits string, zeros bool) string {
	if zeros && d.has("0") && !d.has("-") {
		if missing := d.width - len(sign) - len(prefix) - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
	}
	return d.pad(sign + prefix + digits)
}

func (d directive) sign(negative bool) string {
	switch {
	case negative:
		return "-"
	case d.has("+"):
		return "+"
	case d.has(" "):
		return " "
	}
	return ""
}

func (d directive) digits(s string) string {
	if d.precision == 0 && s == "0" {
		return ""
	}
	if missing := d.precision - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	return s
}

func (d directive) integer(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	return d.signed(d.sign(negative), "", d.digits(digits), d.precision < 0)
}

func (d directive) unsigned(n float64, radix int) string {
	u := uint64(toInt64(n))
	if n >= 9223372036854775808 && n < 18446744073709551616 {
		u = uint64(n)
	}
	s := strconv.FormatUint(u, radix)
	prefix := ""
	switch {
	case d.has("#") && radix == 16 && u != 0:
		prefix = "0x"
	case d.has("#") && radix == 8 && u != 0 && d.precision <= len(s):
		d.precision = len(s) + 1
		return d.signed("", "", d.digits(s), false)
	}
	s = d.digits(s)
	if d.verb == 'X' {
		s, prefix = strings.ToUpper(s), strings.ToUpper(prefix)
	}
	return d.signed("", prefix, s, d.precision < 0)
}

func (d directive) float(n float64) string {
	negative := math.Signbit(n) || n != n
	sign := d.sign(negative)
	upper := d.verb == 'E' || d.verb == 'G'
	if n != n || math.IsInf(n, 0) {
		s := "inf"
		if n != n {
			s = "nan"
		}
		if upper {
			s = strings.ToUpper(s)
		}
		return d.signed(sign, "", s, false)
	}
	precision := d.precision
	if precision < 0 {
		precision = 6
	}
	n = math.Abs(n)
	var s string
	switch {
	case d.has("#"):
		s = fmt.Sprintf("%#."+strconv.Itoa(max(precision, 0))+string([]byte{d.verb}), n)
	case d.verb|0x20 == 'g':
		s = strconv.FormatFloat(n, 'g', max(precision, 1), 64)
	default:
		s = strconv.FormatFloat(n, d.verb|0x20, precision, 64)
	}
	if upper {
		s = strings.ToUpper(s)
	}
	return d.signed(sign, "", s, true)
}

// quote writes a string as Lua can read it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch c {
		case '"', '\\', '\n':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\r':
			b.WriteString("\\r")
		case 0:
			b.WriteString("\\000")
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
