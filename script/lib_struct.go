package script

import (
	"encoding/binary"
	"math"
	"strings"
)

var structFunctions = map[string]func(*thread, []value) []value{
	"pack": structPack, "unpack": structUnpack, "size": structSize,
}

const (
	maxIntSize = 32
	maxAlign   = 8
)

// layout reads a format of package struct.
type layout struct {
	th    *thread
	fmt   string
	order binary.ByteOrder
	align int
}

func (l *layout) number(otherwise int) int {
	if l.fmt == "" || l.fmt[0] < '0' || l.fmt[0] > '9' {
		return otherwise
	}
	n := 0
	for l.fmt != "" && '0' <= l.fmt[0] && l.fmt[0] <= '9' {
		digit := int(l.fmt[0] - '0')
		if n > math.MaxInt32/10 || n*10 > math.MaxInt32-digit {
			l.th.fail("integral size overflow")
		}
		n = n*10 + digit
		l.fmt = l.fmt[1:]
	}
	return n
}

// option is the next one, with its size.
func (l *layout) option() (opt byte, size int) {
	l.th.r.charge(1)
	opt, l.fmt = l.fmt[0], l.fmt[1:]
	switch opt {
	case 'B', 'b', 'x':
		return opt, 1
	case 'H', 'h':
		return opt, 2
	case 'L', 'l', 'T', 'd':
		return opt, 8
	case 'f':
		return opt, 4
	case 'c':
		return opt, l.number(1)
	case 'i', 'I':
		size := l.number(4)
		if size > maxIntSize {
			l.th.fail("integral size %d is larger than limit of %d", size, maxIntSize)
		}
		return opt, size
	}
	return opt, 0
}

func (l *layout) padding(at int, opt byte, size int) int {
	if size == 0 || opt == 'c' {
		return 0
	}
	size = min(size, l.align)
	return (size - at&(size-1)) & (size - 1)
}

func (l *layout) control(opt byte) {
	switch opt {
	case ' ':
	case '>':
		l.order = binary.BigEndian
	case '<':
		l.order = binary.LittleEndian
	case '!':
		a := l.number(maxAlign)
		if a <= 0 || a&(a-1) != 0 {
			l.th.fail("alignment %d is not a power of 2", a)
		}
		l.align = a
	default:
		l.th.argError(0, "invalid format option '"+cString(string([]byte{opt}))+"'")
	}
}

func (th *thread) layout(args []value) *layout {
	return &layout{th: th, fmt: cString(th.checkString(args, 0)), order: binary.LittleEndian, align: 1}
}

func (l *layout) putInt(n float64, size int) []byte {
	u := uint64(toInt64(n))
	if n >= 9223372036854775808 && n < 18446744073709551616 {
		u = uint64(n)
	}
	b := make([]byte, size)
	for i := range b {
		at := i
		if l.order == binary.BigEndian {
			at = size - 1 - i
		}
		b[at] = byte(u)
		u >>= 8
	}
	return b
}

func structPack(th *thread, args []value) []value {
	l := th.layout(args)
	args = append(append([]value(nil), args...), nilValue) // what is missing is nil in errors
	var b []byte
	arg := 1
	for l.fmt != "" {
		opt, size := l.option()
		b = append(b, make([]byte, l.padding(len(b), opt, size))...)
		switch opt {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			b = append(b, l.putInt(th.checkNumber(args, arg), size)...)
			arg++
		case 'x':
			b = append(b, 0)
		case 'f':
			b = append(b, 0, 0, 0, 0)
			l.order.PutUint32(b[len(b)-4:], math.Float32bits(float32(th.checkNumber(args, arg))))
			arg++
		case 'd':
			b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
			l.order.PutUint64(b[len(b)-8:], math.Float64bits(th.checkNumber(args, arg)))
			arg++
		case 'c', 's':
			s := th.checkString(args, arg)
			arg++
			if size == 0 {
				size = len(s)
			}
			if len(s) < size {
				th.argError(arg, "string too short")
			}
			th.r.checkLength(len(b) + size)
			th.r.chargeBytes(size)
			b = append(b, s[:size]...)
			if opt == 's' {
				b = append(b, 0)
			}
		default:
			l.control(opt)
		}
	}
	return th.ret(th.r.newString(string(b)))
}

func (l *layout) getInt(data string, signed bool) float64 {
	var u uint64
	for i := range len(data) {
		at := i
		if l.order == binary.LittleEndian {
			at = len(data) - 1 - i
		}
		u = u<<8 | uint64(data[at])
	}
	if !signed {
		return float64(u)
	}
	mask := ^uint64(0) << ((uint(len(data))*8 - 1) & 63)
	if u&mask != 0 {
		u |= mask
	}
	return float64(int64(u))
}

func structUnpack(th *thread, args []value) []value {
	l := th.layout(args)
	data := th.checkString(args, 1)
	pos := th.optLong(args, 2, 1)
	if pos == 0 {
		th.argError(2, "offset must be 1 or greater")
	}
	pos--
	var out []value
	need := func(size int) {
		if size < 0 || size > len(data) || pos < 0 || pos > len(data)-size {
			th.argError(1, "data string too short")
		}
	}
	for l.fmt != "" {
		opt, size := l.option()
		pos += l.padding(pos, opt, size)
		need(size)
		if len(out) >= maxUnpack-10 {
			th.fail("stack overflow (too many results)")
		}
		switch opt {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			out = append(out, number(l.getInt(data[pos:pos+size], opt >= 'a')))
		case 'x':
		case 'f':
			out = append(out, number(float64(math.Float32frombits(l.order.Uint32([]byte(data[pos:pos+4]))))))
		case 'd':
			out = append(out, number(math.Float64frombits(l.order.Uint64([]byte(data[pos:pos+8])))))
		case 'c':
			if size == 0 {
				if len(out) == 0 || !out[len(out)-1].isNumber() {
					th.fail("format 'c0' needs a previous size")
				}
				size = int(toInt64(out[len(out)-1].n))
				out = out[:len(out)-1]
				need(size)
			}
			out = append(out, th.r.newString(data[pos:pos+size]))
		case 's':
			end := strings.IndexByte(data[pos:], 0)
			if end < 0 {
				th.fail("unfinished string in data")
			}
			size = end + 1
			out = append(out, th.r.newString(data[pos:pos+end]))
		default:
			l.control(opt)
		}
		pos += size
	}
	return th.ret(append(out, number(float64(pos+1)))...)
}

func structSize(th *thread, args []value) []value {
	l := th.layout(args)
	pos := 0
	for l.fmt != "" {
		opt, size := l.option()
		pos += l.padding(pos, opt, size)
		if opt == 's' {
			th.argError(0, "option 's' has no fixed size")
		} else if opt == 'c' && size == 0 {
			th.argError(0, "option 'c0' has no fixed size")
		}
		if !isAlnum(int(opt)) || opt == '_' {
			l.control(opt)
		}
		pos += size
	}
	return th.ret(number(float64(pos)))
}
