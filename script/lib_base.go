package script

import (
	"strings"
)

var baseFunctions = map[string]func(*thread, []value) []value{
	"assert": luaAssert, "collectgarbage": collectGarbage, "error": luaError_, "getfenv": getfenv, "setfenv": setfenv,
	"getmetatable": getMetatable, "setmetatable": setMetatable, "ipairs": ipairs, "load": load, "loadstring": loadString,
	"next": next, "pairs": pairs, "pcall": pcall, "xpcall": xpcall, "rawequal": luaRawEqual, "rawget": rawGet, "rawset": rawSet,
	"select": luaSelect, "tonumber": luaToNumber, "tostring": luaToString, "type": luaType, "unpack": unpack,
	"gcinfo":   func(th *thread, _ []value) []value { return th.ret(number(memoryFigure)) },
	"newproxy": newProxy,
}

// memoryFigure is what scripts are told of the memory in use, in KB. The true figure differs from
// node to node.
const memoryFigure = 64

// Arguments of functions of Go, as Lua's own library checks them.

func (th *thread) checkAny(args []value, i int) value {
	if i >= len(args) {
		th.argError(i, "value expected")
	}
	return args[i]
}

func (th *thread) checkTable(args []value, i int) *table {
	t := at(args, i).table()
	if t == nil {
		th.argType(args, i, "table")
	}
	return t
}

func (th *thread) checkNumber(args []value, i int) float64 {
	n, ok := toNumber(at(args, i))
	th.r.payNumeral(at(args, i), n)
	if !ok {
		th.argType(args, i, "number")
	}
	return n
}

func (th *thread) checkInt(args []value, i int) int { return toInt32(th.checkNumber(args, i)) }

// checkLong is an integer of 64 bits, as lengths and positions are.
func (th *thread) checkLong(args []value, i int) int { return int(toInt64(th.checkNumber(args, i))) }

func (th *thread) optLong(args []value, i, otherwise int) int {
	if at(args, i).isNil() {
		return otherwise
	}
	return th.checkLong(args, i)
}

func (th *thread) checkString(args []value, i int) string {
	s, ok := toText(at(args, i))
	if !ok {
		th.argType(args, i, "string")
	}
	return s
}

func (th *thread) optString(args []value, i int, otherwise string) string {
	if at(args, i).isNil() {
		return otherwise
	}
	return th.checkString(args, i)
}

func (th *thread) checkFunction(args []value, i int) value {
	if !at(args, i).isFunction() {
		th.argType(args, i, "function")
	}
	return args[i]
}

// tostring is the string of any value.
func (th *thread) tostring(v value) value {
	if handler := th.metamethod(v, "__tostring"); !handler.isNil() {
		return first(th.callback(handler, v))
	}
	if v.str() != nil {
		return v
	}
	return text(errorText(v))
}

func luaAssert(th *thread, args []value) []value {
	if th.checkAny(args, 0).truth() {
		return th.ret(args...)
	}
	th.fail("%s", th.optString(args, 1, "assertion failed!"))
	return nil
}

func collectGarbage(th *thread, args []value) []value {
	switch option := th.optString(args, 0, "collect"); option {
	case "count":
		return th.ret(number(memoryFigure))
	case "step":
		return th.ret(falseValue)
	case "collect", "stop", "restart", "setpause", "setstepmul":
		return th.ret(number(0))
	default:
		th.argError(0, "invalid option '"+cString(option)+"'")
	}
	return nil
}

// level finds a function that runs: 1 is who called the function of Go.
func (th *thread) level(n int) *frame {
	f := th.frame
	for ; n > 1 && f != nil && f.outer != nil; n-- {
		if f.tail {
			n--
			if n <= 1 {
				return &frame{} // it has been replaced
			}
		}
		f = f.outer
	}
	return f
}

func luaError_(th *thread, args []value) []value {
	level := 1
	if len(args) > 1 && !args[1].isNil() {
		level = th.checkInt(args, 1)
	}
	v := at(args, 0)
	if s, ok := toText(v); ok && level > 0 {
		v = th.r.newString(th.level(level).place() + s)
	}
	th.raise(v)
	return nil
}

// environmentOf finds the function that getfenv and setfenv are about.
func (th *thread) environmentOf(args []value, missing int) (*closure, bool) {
	v := at(args, 0)
	if cl, ok := v.o.(*closure); ok {
		return cl, true
	}
	if _, ok := v.o.(*native); ok {
		return nil, true
	}
	level := missing
	if !v.isNil() || missing < 0 {
		level = th.checkInt(args, 0)
	}
	if level < 0 {
		th.argError(0, "level must be non-negative")
	}
	if level == 0 {
		return nil, false
	}
	f := th.level(level)
	if f == nil || f.outer == nil {
		th.argError(0, "invalid level")
	}
	return f.cl, true
}

func getfenv(th *thread, args []value) []value {
	if cl, ok := th.environmentOf(args, 1); ok && cl != nil {
		return th.ret(value{o: cl.env})
	}
	return th.ret(value{o: base.globals})
}

func setfenv(th *thread, args []value) []value {
	env := th.checkTable(args, 1)
	cl, ok := th.environmentOf(args, -1)
	if !ok {
		return nil // the environment of the thread is for functions that are loaded later
	}
	if cl == nil {
		th.fail("'setfenv' cannot change environment of given object")
	}
	cl.env = env
	return th.ret(value{o: cl})
}

func getMetatable(th *thread, args []value) []value {
	m := metatable(th.checkAny(args, 0))
	if m == nil {
		return th.ret(nilValue)
	}
	if hidden := m.field("__metatable"); !hidden.isNil() {
		return th.ret(hidden)
	}
	return th.ret(value{o: m})
}

func setMetatable(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	m := at(args, 1).table()
	if m == nil && (len(args) < 2 || !args[1].isNil()) {
		th.argError(1, "nil or table expected")
	}
	if t.meta != nil && !t.meta.field("__metatable").isNil() {
		th.fail("cannot change a protected metatable")
	}
	if t.readonly {
		th.failBare("Attempt to modify a readonly table")
	}
	t.meta = m
	return th.ret(args[0])
}

var ipairsNext = &native{name: "ipairs", fn: func(th *thread, args []value) []value {
	i := th.checkInt(args, 1) + 1
	t := th.checkTable(args, 0)
	v := t.getInt(i)
	if v.isNil() {
		return nil
	}
	return th.ret(number(float64(i)), v)
}}

func ipairs(th *thread, args []value) []value {
	th.checkTable(args, 0)
	return th.ret(value{o: ipairsNext}, args[0], number(0))
}

var nextFunction = &native{name: "next", fn: next}

func pairs(th *thread, args []value) []value {
	th.checkTable(args, 0)
	return th.ret(value{o: nextFunction}, args[0], nilValue)
}

func next(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	k, v, more, found := t.next(th.r, at(args, 1))
	if !found {
		th.failBare("invalid key to 'next'")
	}
	if !more {
		return th.ret(nilValue)
	}
	return th.ret(k, v)
}

// errorValue is what pcall of Redis returns: the message of an error table.
func errorValue(e *luaError) value {
	if t := e.v.table(); t != nil {
		if s, ok := toText(t.field("err")); ok {
			return text(s)
		}
	}
	return e.v
}

func pcall(th *thread, args []value) []value {
	if len(args) == 0 {
		return th.ret(falseValue, text("attempt to call a boolean value")) // what Redis's pcall has put there
	}
	ret, failure := th.try(args[0], args[1:], nil)
	if failure != nil {
		return th.ret(falseValue, errorValue(failure))
	}
	return th.ret(append([]value{trueValue}, ret...)...)
}

func xpcall(th *thread, args []value) []value {
	th.checkAny(args, 1)
	var handled []value
	ret, failure := th.try(args[0], nil, func(e *luaError) {
		again, inner := th.try(args[1], []value{e.v}, nil)
		if inner != nil {
			again = []value{inner.v}
		}
		handled = append([]value{falseValue}, first(again))
	})
	if failure != nil {
		return th.ret(handled...)
	}
	return th.ret(append([]value{trueValue}, ret...)...)
}

func luaRawEqual(th *thread, args []value) []value {
	th.checkAny(args, 0)
	return th.ret(boolean(rawEqual(args[0], th.checkAny(args, 1))))
}

func rawGet(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	k := th.checkAny(args, 1)
	if s := k.str(); s != nil && t == base.globals {
		if v := th.r.argument(s.s); !v.isNil() {
			return th.ret(v)
		}
	}
	return th.ret(t.get(k))
}

func rawSet(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	th.checkAny(args, 1)
	th.checkAny(args, 2)
	th.rawSet(t, args[1], args[2])
	return th.ret(args[0])
}

func luaSelect(th *thread, args []value) []value {
	if s := at(args, 0).str(); s != nil && strings.HasPrefix(s.s, "#") {
		return th.ret(number(float64(len(args) - 1)))
	}
	i := th.checkInt(args, 0)
	if i < 0 {
		i += len(args)
	} else if i > len(args) {
		i = len(args)
	}
	if i < 1 {
		th.argError(0, "index out of range")
	}
	return th.ret(args[i:]...)
}

func luaToNumber(th *thread, args []value) []value {
	radix := 10
	if !at(args, 1).isNil() {
		radix = th.checkInt(args, 1)
	}
	if radix == 10 {
		if n, ok := toNumber(th.checkAny(args, 0)); ok {
			th.r.payNumeral(args[0], n)
			return th.ret(number(n))
		}
		return th.ret(nilValue)
	}
	s := strings.Trim(cString(th.checkString(args, 0)), spaces)
	if radix < 2 || radix > 36 {
		th.argError(1, "base out of range")
	}
	return th.ret(parseRadix(s, radix))
}

// parseRadix is C's strtoul, which wraps around negative numbers.
func parseRadix(s string, radix int) value {
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if radix == 16 && len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		s = s[2:]
	}
	var n uint64
	overflow := false
	for _, c := range []byte(s) {
		digit := 99
		switch {
		case '0' <= c && c <= '9':
			digit = int(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			digit = int(c|0x20-'a') + 10
		}
		if digit >= radix {
			return nilValue
		}
		if n > (1<<64-1-uint64(digit))/uint64(radix) {
			overflow = true
		}
		n = n*uint64(radix) + uint64(digit)
	}
	switch {
	case s == "":
		return nilValue
	case overflow:
		n = 1<<64 - 1
	case negative:
		n = -n
	}
	return number(float64(n))
}

func luaToString(th *thread, args []value) []value {
	return th.ret(th.tostring(th.checkAny(args, 0)))
}

func luaType(th *thread, args []value) []value {
	return th.ret(typeNames[typeName(th.checkAny(args, 0))])
}

var typeNames = func() map[string]value {
	m := map[string]value{}
	for _, name := range []string{"nil", "number", "boolean", "string", "table", "function", "thread", "userdata"} {
		m[name] = value{o: constant(name)}
	}
	return m
}()

// maxUnpack is how many values fit on Lua's stack.
const maxUnpack = 8000

func unpack(th *thread, args []value) []value {
	t := th.checkTable(args, 0)
	from, to := th.optSpan(t, args, 1)
	n := to - from + 1
	if n <= 0 {
		return nil
	}
	if n >= maxUnpack {
		th.fail("too many results to unpack")
	}
	th.r.charge(int64(n))
	th.buf = th.buf[:0]
	for i := from; i <= to; i++ {
		th.buf = append(th.buf, t.getInt(i))
	}
	return th.buf
}

func newProxy(th *thread, args []value) []value {
	th.r.charge(tableCost)
	u := &userdata{id: th.r.id()}
	switch v := at(args, 0); x := v.o.(type) {
	case nil:
	case isBool:
		if v.truth() {
			u.meta = th.r.newTable(0, 0)
		}
	case *userdata:
		u.meta = x.meta
	default:
		th.argError(0, "boolean or proxy expected")
	}
	return th.ret(value{o: u})
}

func loadString(th *thread, args []value) []value {
	source := th.checkString(args, 0)
	return th.loadChunk(source, th.optString(args, 1, source))
}

func load(th *thread, args []value) []value {
	name := th.optString(args, 1, "=(load)")
	reader := th.checkFunction(args, 0)
	var b strings.Builder
	for {
		piece := first(th.callback(reader))
		if piece.isNil() {
			break
		}
		s, ok := toText(piece)
		if !ok {
			return th.ret(nilValue, text("reader function must return a string"))
		}
		if s == "" {
			break
		}
		th.r.checkLength(b.Len() + len(s))
		th.r.chargeBytes(len(s))
		b.WriteString(s)
	}
	return th.loadChunk(b.String(), name)
}

// compileCost is what a byte of source costs when a script compiles it.
const compileCost = 12

func (th *thread) loadChunk(source, name string) []value {
	th.r.charge(int64(len(source)) * compileCost)
	p, err := compile(source, cString(name))
	if err != nil {
		return th.ret(nilValue, th.r.newString(err.Error()))
	}
	env := base.globals
	if th.r.loading != nil {
		env = th.r.loading.env
	}
	return th.ret(value{o: &closure{proto: p, env: env, id: th.r.id()}})
}
