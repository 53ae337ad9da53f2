package script

// expr compiles an expression for one value.
func (c *compiler) expr(e expr) evaluate {
	switch e := e.(type) {
	case *nilExpr:
		return func(*frame) value { return nilValue }
	case *boolExpr:
		return fixed(boolean(e.v))
	case *numberExpr:
		return fixed(number(e.n))
	case *stringExpr:
		return fixed(value{o: e.s})
	case *dotsExpr:
		return func(f *frame) value { return at(f.varargs, 0) }
	case *localExpr:
		slot := e.v.slot
		if e.v.captured {
			return func(f *frame) value { return f.regs[slot].o.(*cell).v }
		}
		return func(f *frame) value { return f.regs[slot] }
	case *upExpr:
		i := e.index
		return func(f *frame) value { return f.cl.up[i].v }
	case *globalExpr:
		return c.global(e)
	case *indexExpr:
		return c.index(e)
	case *callExpr:
		call := c.call(e)
		return func(f *frame) value { return first(call(f)) }
	case *binaryExpr:
		return c.binary(e)
	case *unaryExpr:
		return c.unary(e)
	case *parenExpr:
		return c.expr(e.inner)
	case *tableExpr:
		return c.table(e)
	}
	return c.closure(e.(*funcExpr).fn)
}

func fixed(v value) evaluate { return func(*frame) value { return v } }

// multi compiles an expression that can have any number of values, nil for all others.
func (c *compiler) multi(e expr) evaluates {
	switch e := e.(type) {
	case *callExpr:
		return c.call(e)
	case *dotsExpr:
		return func(f *frame) []value { return f.varargs }
	}
	return nil
}

func (c *compiler) global(e *globalExpr) evaluate {
	name, where := e.name, &site{line: e.line}
	long := len(name.s) > longText
	return func(f *frame) value {
		if long {
			f.r.chargeBytes(len(name.s))
		}
		if p := f.cl.env.findStr(name); p != nil && !p.isNil() {
			return *p
		}
		f.site = where
		return f.th.global(f.cl.env, name)
	}
}

// global is a variable that its environment does not have: the arguments of a script belong to the
// run, as the environment is that of all runs.
func (th *thread) global(env *table, name *str) value {
	if env == base.globals {
		if v := th.r.argument(name.s); !v.isNil() {
			return v
		}
	}
	return th.index(value{o: env}, value{o: name}, nil)
}

func (r *run) argument(name string) value {
	switch name {
	case "KEYS":
		return r.keys
	case "ARGV":
		return r.argv
	}
	return nilValue
}

func (c *compiler) index(e *indexExpr) evaluate {
	object, where := c.expr(e.object), &site{line: e.line}
	if s, ok := e.key.(*stringExpr); ok && len(s.s.s) <= longText {
		key := s.s
		return func(f *frame) value {
			v := object(f)
			if t, ok := v.o.(*table); ok {
				if p := t.findStr(key); p != nil && !p.isNil() {
					return *p
				}
			}
			f.site = where
			return f.th.index(v, value{o: key}, e.object)
		}
	}
	key := c.expr(e.key)
	return func(f *frame) value {
		v, k := object(f), key(f)
		f.r.pay(k)
		if t, ok := v.o.(*table); ok {
			if p := t.find(k); p != nil && !p.isNil() {
				return *p
			}
		}
		f.site = where
		return f.th.index(v, k, e.object)
	}
}

// callee is what errors call the function of a call.
func callee(e *callExpr) expr {
	if e.method != nil {
		return &methodName{e.method}
	}
	return e.fn
}

// prepare evaluates a function and its arguments onto the stack.
func (c *compiler) prepare(e *callExpr) (func(f *frame) (fn value, args []value), *site) {
	kind, name := describe(callee(e))
	if name == "?" {
		name = ""
	}
	where := &site{line: e.line, name: name, method: kind == "method"}
	fn := c.expr(e.fn)
	if e.method == nil {
		args := c.list(e.args)
		return func(f *frame) (value, []value) {
			v := fn(f)
			return v, args(f)
		}, where
	}
	args := c.list(append([]expr{&selfExpr{}}, e.args...))
	method := value{o: e.method}
	return func(f *frame) (value, []value) {
		object := fn(f)
		f.site = where
		v := f.th.index(object, method, e.fn)
		list := args(f)
		list[0] = object
		return v, list
	}, where
}

// selfExpr keeps the place of a method's object among its arguments.
type selfExpr = nilExpr

func (c *compiler) call(e *callExpr) evaluates {
	prepare, where := c.prepare(e)
	name := callee(e)
	return func(f *frame) []value {
		th := f.th
		stack, top := th.stack, th.top
		fn, args := prepare(f)
		f.site = where
		var ret []value
		switch x := fn.o.(type) {
		case *closure:
			ret = th.callLua(x, args)
		case *native:
			ret = th.callNative(x, args)
		default:
			ret = th.call(fn, args, name)
		}
		th.stack, th.top = stack, top
		return ret
	}
}

func (c *compiler) binary(e *binaryExpr) evaluate {
	left, right := c.expr(e.left), c.expr(e.right)
	where := &site{line: e.line}
	switch e.op {
	case tokAnd:
		return func(f *frame) value {
			if v := left(f); !v.truth() {
				return v
			}
			return right(f)
		}
	case tokOr:
		return func(f *frame) value {
			if v := left(f); v.truth() {
				return v
			}
			return right(f)
		}
	case tokConcat:
		return func(f *frame) value {
			a, b := left(f), right(f)
			f.site = where
			return f.th.concat(a, b, e.left, e.right)
		}
	case tokEq, tokNe:
		want := e.op == tokEq
		return func(f *frame) value {
			a, b := left(f), right(f)
			f.site = where
			return boolean(f.th.equal(a, b) == want)
		}
	case '<', '>':
		return compare(left, right, e.op == '>', where, func(a, b float64) bool { return a < b }, (*thread).less)
	case tokLe, tokGe:
		return compare(left, right, e.op == tokGe, where, func(a, b float64) bool { return a <= b }, (*thread).lessEqual)
	}
	return c.arithmetic(e, left, right, where)
}

// compare evaluates left before right, and compares them the other way round when swapped.
func compare(left, right evaluate, swap bool, where *site, numbers func(a, b float64) bool,
	others func(th *thread, a, b value) bool) evaluate {
	return func(f *frame) value {
		a, b := left(f), right(f)
		if swap {
			a, b = b, a
		}
		if a.isNumber() && b.isNumber() {
			return boolean(numbers(a.n, b.n))
		}
		f.site = where
		return boolean(others(f.th, a, b))
	}
}

func (c *compiler) arithmetic(e *binaryExpr, left, right evaluate, where *site) evaluate {
	slow := func(f *frame, a, b value) value {
		f.site = where
		return f.th.arithmetic(e.op, a, b, e.left, e.right)
	}
	switch op := e.op; op {
	case '+':
		return func(f *frame) value {
			a, b := left(f), right(f)
			if a.isNumber() && b.isNumber() {
				return number(a.n + b.n)
			}
			return slow(f, a, b)
		}
	case '-':
		return func(f *frame) value {
			a, b := left(f), right(f)
			if a.isNumber() && b.isNumber() {
				return number(a.n - b.n)
			}
			return slow(f, a, b)
		}
	case '*':
		return func(f *frame) value {
			a, b := left(f), right(f)
			if a.isNumber() && b.isNumber() {
				return number(a.n * b.n)
			}
			return slow(f, a, b)
		}
	default:
		return func(f *frame) value {
			a, b := left(f), right(f)
			if a.isNumber() && b.isNumber() {
				return number(calculate(op, a.n, b.n))
			}
			return slow(f, a, b)
		}
	}
}

func (c *compiler) unary(e *unaryExpr) evaluate {
	operand, where := c.expr(e.operand), &site{line: e.line}
	switch e.op {
	case tokNot:
		return func(f *frame) value { return boolean(!operand(f).truth()) }
	case '-':
		return func(f *frame) value {
			v := operand(f)
			if v.isNumber() {
				return number(-v.n)
			}
			f.site = where
			return f.th.negate(v, e.operand)
		}
	}
	return func(f *frame) value {
		v := operand(f)
		f.site = where
		return f.th.length(v, e.operand)
	}
}

// flush is how many elements of a list Lua 5.1 stores at once.
const flush = 50

func (c *compiler) table(e *tableExpr) evaluate {
	where := &site{line: e.line}
	var items []func(f *frame, t *table, pending []value) []value
	list, hash := 0, 0
	for i, item := range e.items {
		if item.key != nil {
			hash++
			items = append(items, c.keyed(item, where))
			continue
		}
		if i == len(e.items)-1 {
			if last := c.multi(item.val); last != nil {
				items = append(items, func(f *frame, t *table, pending []value) []value {
					return append(pending, last(f)...)
				})
				continue
			}
		}
		list++
		items = append(items, c.listed(c.expr(item.val), list))
	}
	stored := list / flush * flush
	if list > 0 && list%flush == 0 {
		stored -= flush // the last part waits for the end
	}
	array, hashSize := hint(list), hint(hash)
	return func(f *frame) value {
		t := f.r.newTable(array, hashSize)
		var pending []value
		for _, item := range items {
			pending = item(f, t, pending)
		}
		if len(pending) > 0 {
			f.r.charge(int64(len(pending)))
			storeList(f.r, t, stored, pending)
		}
		return value{o: t}
	}
}

func (c *compiler) keyed(item tableItem, where *site) func(*frame, *table, []value) []value {
	key, val := c.expr(item.key), c.expr(item.val)
	return func(f *frame, t *table, pending []value) []value {
		k := key(f)
		v := val(f)
		f.site = where
		f.r.pay(k)
		f.th.checkKey(k, (*thread).throw)
		t.set(f.r, k, v)
		return pending
	}
}

func (c *compiler) listed(val evaluate, n int) func(*frame, *table, []value) []value {
	return func(f *frame, t *table, pending []value) []value {
		if len(pending) == flush {
			storeList(f.r, t, n-1-flush, pending)
			pending = pending[:0]
		}
		return append(pending, val(f))
	}
}

// storeList stores values after the first n; the array part grows to hold them.
func storeList(r *run, t *table, n int, values []value) {
	if n+len(values) > len(t.array) {
		t.resize(r, n+len(values), len(t.nodes))
	}
	for i, v := range values {
		t.setInt(r, n+i+1, v)
	}
}

// hint is a size as Lua 5.1 writes it into a byte: it is rounded up to three bits and an exponent.
func hint(n int) int {
	exponent := 0
	for n >= 16 {
		n = (n + 1) >> 1
		exponent++
	}
	return n << exponent
}

func (c *compiler) closure(fn *function) evaluate {
	p := c.function(fn)
	return func(f *frame) value {
		f.r.charge(int64(tableCost + 2*len(p.ups)))
		cl := &closure{proto: p, env: f.cl.env, id: f.r.id()}
		if len(p.ups) > 0 {
			cl.up = make([]*cell, len(p.ups))
		}
		for i, up := range p.ups {
			if up.local != nil {
				cl.up[i] = f.regs[up.local.slot].o.(*cell)
			} else {
				cl.up[i] = f.cl.up[up.index]
			}
		}
		return value{o: cl}
	}
}
