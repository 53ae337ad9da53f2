package script

import (
	"encoding/binary"
	"math"
)

var msgpackFunctions = map[string]func(*thread, []value) []value{
	"pack": msgpackPack,
	"unpack": func(th *thread, args []value) []value {
		return th.ret(th.msgpackUnpack(args, 0, 0)...)
	},
	"unpack_one": func(th *thread, args []value) []value {
		return th.ret(th.msgpackUnpack(args, 1, th.optLong(args, 1, 0))...)
	},
	"unpack_limit": func(th *thread, args []value) []value {
		limit := th.checkLong(args, 1)
		return th.ret(th.msgpackUnpack(args, limit, th.optLong(args, 2, 0))...)
	},
}

// maxPackDepth is where cmsgpack writes nil instead of a table.
const maxPackDepth = 16

type packer struct {
	th  *thread
	out []byte
}

func msgpackPack(th *thread, args []value) []value {
	if len(args) == 0 {
		th.argError(-1, "MessagePack pack needs input.")
	}
	p := &packer{th: th}
	for _, v := range args {
		p.value(v, 0)
	}
	return th.ret(th.r.newString(string(p.out)))
}

func (p *packer) value(v value, depth int) {
	p.th.r.charge(1)
	p.th.r.checkLength(len(p.out))
	switch x := v.o.(type) {
	case *str:
		p.string(x.s)
	case isBool:
		p.out = append(p.out, 0xc2+byte(v.n))
	case isNumber:
		if i := toInt64(v.n); float64(i) == v.n && v.n < 9223372036854775808 {
			p.int(i)
		} else if f := float32(v.n); float64(f) == v.n {
			p.out = binary.BigEndian.AppendUint32(append(p.out, 0xca), math.Float32bits(f))
		} else {
			p.out = binary.BigEndian.AppendUint64(append(p.out, 0xcb), math.Float64bits(v.n))
		}
	case *table:
		if depth < maxPackDepth {
			p.table(x, depth)
			return
		}
		p.out = append(p.out, 0xc0)
	default:
		p.out = append(p.out, 0xc0)
	}
}

func (p *packer) string(s string) {
	p.th.r.chargeBytes(len(s))
	p.th.r.checkLength(len(p.out) + len(s))
	switch n := len(s); {
	case n < 32:
		p.out = append(p.out, 0xa0|byte(n))
	case n <= 0xff:
		p.out = append(p.out, 0xd9, byte(n))
	default:
		p.size(n, 0xda)
	}
	p.out = append(p.out, s...)
}

// size writes a length in two bytes, or in four after the next code.
func (p *packer) size(n int, code byte) {
	if n <= 0xffff {
		p.out = binary.BigEndian.AppendUint16(append(p.out, code), uint16(n))
		return
	}
	p.out = binary.BigEndian.AppendUint32(append(p.out, code+1), uint32(n))
}

func (p *packer) int(n int64) {
	switch {
	case n >= -32 && n <= 127:
		p.out = append(p.out, byte(n))
	case n >= 0 && n <= math.MaxUint8:
		p.out = append(p.out, 0xcc, byte(n))
	case n >= 0 && n <= math.MaxUint16:
		p.out = binary.BigEndian.AppendUint16(append(p.out, 0xcd), uint16(n))
	case n >= 0 && n <= math.MaxUint32:
		p.out = binary.BigEndian.AppendUint32(append(p.out, 0xce), uint32(n))
	case n >= 0:
		p.out = binary.BigEndian.AppendUint64(append(p.out, 0xcf), uint64(n))
	case n >= math.MinInt8:
		p.out = append(p.out, 0xd0, byte(n))
	case n >= math.MinInt16:
		p.out = binary.BigEndian.AppendUint16(append(p.out, 0xd1), uint16(n))
	case n >= math.MinInt32:
		p.out = binary.BigEndian.AppendUint32(append(p.out, 0xd2), uint32(n))
	default:
		p.out = binary.BigEndian.AppendUint64(append(p.out, 0xd3), uint64(n))
	}
}

func (p *packer) table(t *table, depth int) {
	count, most, list := 0, 0.0, true
	for k, _, more, _ := t.next(p.th.r, nilValue); more; k, _, more, _ = t.next(p.th.r, k) {
		p.th.r.charge(1)
		count++
		if !k.isNumber() || k.n <= 0 || float64(toInt32(k.n)) != k.n {
			list = false
			continue
		}
		most = max(most, k.n)
	}
	if list && most == float64(count) {
		if count <= 15 {
			p.out = append(p.out, 0x90|byte(count))
		} else {
			p.size(count, 0xdc)
		}
		for i := 1; i <= count; i++ {
			p.value(p.th.index(value{o: t}, number(float64(i)), nil), depth+1)
		}
		return
	}
	if count <= 15 {
		p.out = append(p.out, 0x80|byte(count))
	} else {
		p.size(count, 0xde)
	}
	for k, v, more, _ := t.next(p.th.r, nilValue); more; k, v, more, _ = t.next(p.th.r, k) {
		p.value(k, depth+1)
		p.value(v, depth+1)
	}
}

// unpacker reads values; problem is set when it can't go on.
type unpacker struct {
	th      *thread
	src     string
	depth   int
	problem string
}

// maxUnpackDepth is where Redis runs out of Lua's stack.
const maxUnpackDepth = 3990

func (th *thread) msgpackUnpack(args []value, limit, offset int) []value {
	s := th.checkString(args, 0)
	all := limit == 0 && offset == 0
	switch {
	case offset < 0 || limit < 0:
		th.fail("Invalid request to unpack with offset of %d and limit of %d.", int32(offset), int32(len(s)))
	case offset > len(s):
		th.fail("Start offset %d greater than input length %d.", int32(offset), int32(len(s)))
	}
	if all {
		limit = math.MaxInt32
	}
	u := &unpacker{th: th, src: s[offset:]}
	var out []value
	for u.src != "" && len(out) < limit {
		if len(out) >= maxUnpack-10 {
			u.overflow()
		}
		v := u.value()
		if u.problem != "" {
			th.fail("%s", u.problem)
		}
		out = append(out, v)
	}
	if all {
		return out
	}
	next := len(s) - len(u.src)
	if u.src == "" {
		next = -1
	}
	return append([]value{number(float64(next))}, out...)
}

func (u *unpacker) overflow() {
	u.th.fail("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
}

// take is the next n bytes after skip others.
func (u *unpacker) take(skip, n int) string {
	if len(u.src) < skip+n {
		u.problem = "Missing bytes in input."
		return ""
	}
	s := u.src[skip : skip+n]
	u.src = u.src[skip+n:]
	return s
}

// uint is a number of n bytes after the code.
func (u *unpacker) uint(n int) (v uint64) {
	for _, c := range []byte(u.take(1, n)) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (u *unpacker) value() value {
	u.th.r.charge(1)
	if u.src == "" {
		u.problem = "Missing bytes in input."
		return nilValue
	}
	u.depth++
	defer func() { u.depth-- }()
	if u.depth > maxUnpackDepth {
		u.overflow()
	}
	c := u.src[0]
	switch {
	case c < 0x80:
		return number(float64(u.take(0, 1)[0]))
	case c >= 0xe0:
		return number(float64(int8(u.take(0, 1)[0])))
	case c >= 0xa0 && c < 0xc0:
		return u.string(1, int(c&0x1f))
	case c >= 0x90 && c < 0xa0:
		u.take(0, 1)
		return u.list(int(c & 15))
	case c < 0x90:
		u.take(0, 1)
		return u.hash(int(c & 15))
	}
	return u.coded(c)
}

func (u *unpacker) coded(c byte) value {
	switch c {
	case 0xcc, 0xcd, 0xce, 0xcf:
		return number(float64(u.uint(1 << (c - 0xcc))))
	case 0xd0:
		return number(float64(int8(u.uint(1))))
	case 0xd1:
		return number(float64(int16(u.uint(2))))
	case 0xd2:
		return number(float64(int32(u.uint(4))))
	case 0xd3:
		return number(float64(int64(u.uint(8))))
	case 0xc0, 0xc2, 0xc3:
		u.take(0, 1)
		if c == 0xc0 {
			return nilValue
		}
		return boolean(c == 0xc3)
	case 0xca:
		return number(float64(math.Float32frombits(uint32(u.uint(4)))))
	case 0xcb:
		return number(math.Float64frombits(u.uint(8)))
	case 0xd9:
		return u.string(0, int(u.uint(1)))
	case 0xda:
		return u.string(0, int(u.uint(2)))
	case 0xdb:
		return u.string(0, int(u.uint(4)))
	case 0xdc:
		return u.list(int(u.uint(2)))
	case 0xdd:
		return u.list(int(u.uint(4)))
	case 0xde:
		return u.hash(int(u.uint(2)))
	case 0xdf:
		return u.hash(int(u.uint(4)))
	}
	u.problem = "Bad data format in input."
	return nilValue
}

func (u *unpacker) string(skip, n int) value {
	if u.problem != "" {
		return nilValue
	}
	return u.th.r.newString(u.take(skip, n))
}

func (u *unpacker) list(n int) value {
	t := u.th.r.newTable(0, 0)
	for i := 1; i <= n && u.problem == ""; i++ {
		if v := u.value(); u.problem == "" {
			t.setInt(u.th.r, i, v)
		}
	}
	return value{o: t}
}

func (u *unpacker) hash(n int) value {
	t := u.th.r.newTable(0, 0)
	for ; n > 0 && u.problem == ""; n-- {
		k := u.value()
		if u.problem != "" {
			break
		}
		if v := u.value(); u.problem == "" {
			u.th.rawSet(t, k, v)
		}
	}
	return value{o: t}
}
