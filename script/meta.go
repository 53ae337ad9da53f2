package script

import "math"

// maxChainMeta bounds tables that refer to each other by __index or __newindex.
const maxChainMeta = 100

var (
	keyIndex    = constant("__index")
	keyNewIndex = constant("__newindex")
)

// metatable of a value, or nil.
func metatable(v value) *table {
	switch x := v.o.(type) {
	case *table:
		return x.meta
	case *str:
		return base.stringMeta
	case *userdata:
		return x.meta
	}
	return nil
}

func (th *thread) metamethod(v value, event string) value {
	if m := metatable(v); m != nil {
		return m.field(event)
	}
	return nilValue
}

// index reads v[key]. e is the expression of v, for errors.
func (th *thread) index(v, key value, e expr) value {
	for range maxChainMeta {
		th.r.charge(1)
		th.r.pay(key)
		var handler value
		if t := v.table(); t != nil {
			if p := t.find(key); p != nil && !p.isNil() || t.meta == nil {
				if p == nil {
					return nilValue
				}
				return *p
			}
			if handler = t.meta.getStr(keyIndex); handler.isNil() {
				return nilValue
			}
		} else {
			m := metatable(v)
			if m == nil {
				th.typeError("index", v, e)
			}
			if handler = m.getStr(keyIndex); handler.isNil() {
				th.typeError("index", v, e)
			}
		}
		if handler.isFunction() {
			return th.handle(handler, v, key)
		}
		v, e = handler, nil
	}
	th.throw("loop in gettable")
	return nilValue
}

// setIndex is v[key] = val.
func (th *thread) setIndex(v, key, val value, e expr) {
	for range maxChainMeta {
		th.r.charge(1)
		th.r.pay(key)
		var handler value
		if t := v.table(); t != nil {
			if t.readonly {
				th.throw("Attempt to modify a readonly table")
			}
			p := t.find(key)
			if p == nil {
				th.checkKey(key, (*thread).throw)
				p = t.insert(th.r, key)
			}
			if !p.isNil() || t.meta == nil {
				*p = val
				return
			}
			if handler = t.meta.getStr(keyNewIndex); handler.isNil() {
				*p = val
				return
			}
		} else if handler = th.metamethod(v, "__newindex"); handler.isNil() {
			th.typeError("index", v, e)
		}
		if handler.isFunction() {
			th.handle(handler, v, key, val)
			return
		}
		v, e = handler, nil
	}
	th.throw("loop in settable")
}

func (th *thread) checkKey(key value, fail func(*thread, string, ...any)) {
	if key.isNil() {
		fail(th, "table index is nil")
	}
	if key.isNumber() && key.n != key.n {
		fail(th, "table index is NaN")
	}
}

// rawSet is a change of a table by a function of Go.
func (th *thread) rawSet(t *table, key, val value) {
	if t.readonly {
		th.failBare("Attempt to modify a readonly table")
	}
	th.checkKey(key, func(th *thread, s string, _ ...any) { th.failBare(s) })
	t.set(th.r, key, val)
}

var events = map[token]string{
	'+': "__add", '-': "__sub", '*': "__mul", '/': "__div", '%': "__mod", '^': "__pow",
}

func calculate(op token, a, b float64) float64 {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	case '/':
		return a / b
	case '%':
		return a - float64(math.Floor(a/b)*b) // not fused into one operation, which some processors round differently
	}
	return power(a, b)
}

// power is C's pow; Go differs for one base.
func power(a, b float64) float64 {
	if b == 2 {
		return a * a
	}
	return math.Pow(a, b)
}

// arithmetic is the way of operands that are not both numbers.
func (th *thread) arithmetic(op token, a, b value, left, right expr) value {
	th.r.pay(a)
	th.r.pay(b)
	x, xOK := toNumber(a)
	y, yOK := toNumber(b)
	th.r.payNumeral(a, x)
	th.r.payNumeral(b, y)
	if xOK && yOK {
		return number(calculate(op, x, y))
	}
	handler := th.metamethod(a, events[op])
	if handler.isNil() {
		handler = th.metamethod(b, events[op])
	}
	if !handler.isNil() {
		return th.handle(handler, a, b)
	}
	if !xOK {
		th.typeError("perform arithmetic on", a, left)
	}
	th.typeError("perform arithmetic on", b, right)
	return nilValue
}

func (th *thread) negate(a value, e expr) value {
	th.r.pay(a)
	if n, ok := toNumber(a); ok {
		th.r.payNumeral(a, n)
		return number(-n)
	}
	handler := th.metamethod(a, "__unm")
	if handler.isNil() {
		th.typeError("perform arithmetic on", a, e)
	}
	return th.handle(handler, a, a)
}

func (th *thread) length(a value, e expr) value {
	switch x := a.o.(type) {
	case *table:
		th.r.charge(1)
		return number(float64(x.length(th.r)))
	case *str:
		return number(float64(len(x.s)))
	}
	handler := th.metamethod(a, "__len")
	if handler.isNil() {
		th.typeError("get length of", a, e)
	}
	return th.handle(handler, a)
}

func (th *thread) concat(a, b value, left, right expr) value {
	x, xOK := toText(a)
	y, yOK := toText(b)
	if xOK && yOK {
		if a.str() == nil || b.str() == nil {
			th.r.charge(numeralCost)
		}
		th.r.checkLength(len(x) + len(y))
		return th.r.newString(x + y)
	}
	handler := th.metamethod(a, "__concat")
	if handler.isNil() {
		handler = th.metamethod(b, "__concat")
	}
	if !handler.isNil() {
		return th.handle(handler, a, b)
	}
	if xOK {
		a, left = b, right
	}
	th.typeError("concatenate", a, left)
	return nilValue
}

func (th *thread) equal(a, b value) bool {
	th.r.pay(a)
	if rawEqual(a, b) {
		return true
	}
	switch a.o.(type) {
	case *table:
		if b.table() == nil {
			return false
		}
	case *userdata:
		if _, ok := b.o.(*userdata); !ok {
			return false
		}
	default:
		return false
	}
	handler := th.metamethod(a, "__eq")
	if handler.isNil() || !rawEqual(handler, th.metamethod(b, "__eq")) {
		return false
	}
	return th.handle(handler, a, b).truth()
}

func (th *thread) less(a, b value) bool {
	if a.isNumber() && b.isNumber() {
		return a.n < b.n
	}
	if x, y := a.str(), b.str(); x != nil && y != nil {
		th.r.chargeBytes(min(len(x.s), len(y.s)))
		return x.s < y.s
	}
	if v, ok := th.compareBy("__lt", a, b); ok {
		return v
	}
	th.compareError(a, b)
	return false
}

func (th *thread) lessEqual(a, b value) bool {
	if a.isNumber() && b.isNumber() {
		return a.n <= b.n
	}
	if x, y := a.str(), b.str(); x != nil && y != nil {
		th.r.chargeBytes(min(len(x.s), len(y.s)))
		return x.s <= y.s
	}
	if v, ok := th.compareBy("__le", a, b); ok {
		return v
	}
	if v, ok := th.compareBy("__lt", b, a); ok {
		return !v
	}
	th.compareError(a, b)
	return false
}

// compareBy needs one handler that both values have.
func (th *thread) compareBy(event string, a, b value) (result, ok bool) {
	if typeName(a) != typeName(b) {
		return false, false
	}
	handler := th.metamethod(a, event)
	if handler.isNil() || !rawEqual(handler, th.metamethod(b, event)) {
		return false, false
	}
	return th.handle(handler, a, b).truth(), true
}
