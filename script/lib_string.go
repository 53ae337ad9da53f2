package script

import (
	"strings"
)

var stringFunctions = map[string]func(*thread, []value) []value{
	"byte": stringByte, "char": stringChar, "dump": stringDump, "find": stringFind, "format": stringFormat,
	"gmatch": stringGmatch, "gsub": stringGsub, "len": stringLen, "lower": stringLower, "match": stringMatch,
	"rep": stringRep, "reverse": stringReverse, "sub": stringSub, "upper": stringUpper,
}

// position makes an index from the end one from the begin.
func position(i, length int) int {
	if i < 0 {
		i += length + 1
	}
	return max(i, 0)
}

func stringByte(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	from := position(th.optLong(args, 1, 1), len(s))
	to := min(position(th.optLong(args, 2, from), len(s)), len(s))
	from = max(from, 1)
	if from > to {
		return nil
	}
	if to-from >= maxUnpack {
		th.fail("stack overflow (string slice too long)")
	}
	th.r.charge(int64(to - from))
	th.buf = th.buf[:0]
	for _, c := range []byte(s[from-1 : to]) {
		th.buf = append(th.buf, number(float64(c)))
	}
	return th.buf
}

func stringChar(th *thread, args []value) []value {
	b := make([]byte, len(args))
	for i := range args {
		c := th.checkInt(args, i)
		if c < 0 || c > 255 {
			th.argError(i, "invalid value")
		}
		b[i] = byte(c)
	}
	return th.ret(th.r.newString(string(b)))
}

func stringDump(th *thread, args []value) []value {
	th.checkFunction(args, 0)
	th.fail("unable to dump given function") // nothing could load it
	return nil
}

func stringLen(th *thread, args []value) []value {
	return th.ret(number(float64(len(th.checkString(args, 0)))))
}

func mapBytes(th *thread, args []value, change func(byte) byte) []value {
	b := []byte(th.checkString(args, 0))
	for i, c := range b {
		b[i] = change(c)
	}
	return th.ret(th.r.newString(string(b)))
}

func stringLower(th *thread, args []value) []value {
	return mapBytes(th, args, func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	})
}

func stringUpper(th *thread, args []value) []value {
	return mapBytes(th, args, func(c byte) byte {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		return c
	})
}

func stringReverse(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	b := make([]byte, len(s))
	for i := range len(s) {
		b[len(s)-1-i] = s[i]
	}
	return th.ret(th.r.newString(string(b)))
}

func stringRep(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	n := th.checkInt(args, 1)
	if n <= 0 || s == "" {
		return th.ret(text(""))
	}
	if int64(n) > th.r.limits.StringBytes {
		n = int(th.r.limits.StringBytes) + 1 // too long even of one byte
		th.r.checkLength(n)
	}
	th.r.checkLength(n * len(s))
	th.r.chargeBytes(n * len(s))
	return th.ret(text(strings.Repeat(s, n)))
}

func stringSub(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	from := max(position(th.checkLong(args, 1), len(s)), 1)
	to := min(position(th.optLong(args, 2, -1), len(s)), len(s))
	if from > to {
		return th.ret(text(""))
	}
	return th.ret(th.r.newString(s[from-1 : to]))
}

func stringFind(th *thread, args []value) []value { return findOrMatch(th, args, true) }

func stringMatch(th *thread, args []value) []value { return findOrMatch(th, args, false) }

func findOrMatch(th *thread, args []value, find bool) []value {
	s := th.checkString(args, 0)
	pattern := th.checkString(args, 1)
	th.r.chargeBytes(len(pattern))
	init := min(max(position(th.optLong(args, 2, 1), len(s))-1, 0), len(s))
	if find && (at(args, 3).truth() || !strings.ContainsAny(pattern, patternSpecial)) {
		th.r.chargeBytes(len(s) - init)
		if i := strings.Index(s[init:], pattern); i >= 0 {
			return th.ret(number(float64(init+i+1)), number(float64(init+i+len(pattern))))
		}
		return th.ret(nilValue)
	}
	m := &matcher{th: th, src: s, pat: pattern}
	from, to := m.find(init)
	switch {
	case from < 0:
		return th.ret(nilValue)
	case find:
		return th.ret(append([]value{number(float64(from + 1)), number(float64(to))}, m.captures(from, to, false)...)...)
	}
	return th.ret(m.captures(from, to, true)...)
}

func stringGmatch(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	pattern := th.checkString(args, 1)
	th.r.chargeBytes(len(pattern))
	pos := 0
	th.r.charge(tableCost)
	return th.ret(value{o: &native{name: "gmatch", id: th.r.id(), lean: true, fn: func(th *thread, _ []value) []value {
		m := &matcher{th: th, src: s, pat: pattern}
		for ; pos <= len(s); pos++ {
			m.level = 0
			if e := m.match(pos, 0); e >= 0 {
				start := pos
				pos = e
				if e == start {
					pos++
				}
				return th.ret(m.captures(start, e, true)...)
			}
		}
		return nil
	}}})
}

func stringGsub(th *thread, args []value) []value {
	s := th.checkString(args, 0)
	pattern := th.checkString(args, 1)
	th.r.chargeBytes(len(pattern))
	with := at(args, 2)
	if _, ok := toText(with); !ok && with.table() == nil && !with.isFunction() {
		th.argError(2, "string/function/table expected")
	}
	most := len(s) + 1
	if !at(args, 3).isNil() {
		most = th.checkInt(args, 3)
	}
	m := &matcher{th: th, src: s, pat: pattern}
	p := 0
	anchor := strings.HasPrefix(pattern, "^")
	if anchor {
		p = 1
	}
	var b strings.Builder
	n, pos := 0, 0
	for n < most {
		m.level = 0
		e := m.match(pos, p)
		if e >= 0 {
			n++
			m.replace(&b, with, pos, e)
		}
		switch {
		case e > pos:
			pos = e
		case pos < len(s):
			b.WriteByte(s[pos])
			pos++
		default:
			pos++
		}
		if pos > len(s) || anchor {
			break
		}
	}
	if pos < len(s) {
		b.WriteString(s[pos:])
	}
	return th.ret(th.r.newString(b.String()), number(float64(n)))
}

func (m *matcher) replace(b *strings.Builder, with value, s, e int) {
	var v value
	switch {
	case with.table() != nil:
		v = m.th.index(with, m.captured(0, s, e), nil)
	case with.isFunction():
		v = first(m.th.callback(with, m.captures(s, e, true)...))
	default:
		template, _ := toText(with)
		m.expand(b, template, s, e)
		return
	}
	if !v.truth() {
		m.add(b, m.src[s:e])
		return
	}
	t, ok := toText(v)
	if !ok {
		m.th.fail("invalid replacement value (a %s)", typeName(v))
	}
	m.add(b, t)
}

func (m *matcher) add(b *strings.Builder, s string) {
	m.th.r.checkLength(b.Len() + len(s))
	m.th.r.chargeBytes(len(s))
	b.WriteString(s)
}

func (m *matcher) expand(b *strings.Builder, template string, s, e int) {
	m.th.r.charge(int64(len(template)))
	for i := 0; i < len(template); i++ {
		c := template[i]
		if c != '%' {
			b.WriteByte(c)
			continue
		}
		i++
		switch {
		case i >= len(template):
			b.WriteByte(0)
		case template[i] < '0' || template[i] > '9':
			b.WriteByte(template[i])
		case template[i] == '0':
			m.add(b, m.src[s:e])
		default:
			t, _ := toText(m.captured(int(template[i]-'1'), s, e))
			m.add(b, t)
		}
	}
	m.th.r.checkLength(b.Len())
}
