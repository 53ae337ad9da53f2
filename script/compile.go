package script

// A tree is compiled into functions of Go, one for each node. Statements say how they ended.

type (
	evaluate  func(f *frame) value
	evaluates func(f *frame) []value
	execute   func(f *frame) signal
)

type signal uint8

const (
	normal signal = iota
	broken
	returned
	tailed
)

// proto is a function that is ready to run. Many runs share it.
type proto struct {
	body          execute
	slots, params int
	cells         []int // parameters that inner functions use
	dots          bool
	ups           []upvalue
	weight        int // what a call adds to the depth of the stack
	line          int
	source, chunk string
}

// nestingPerDepth is how much nesting of a function counts as one more call: it needs Go's stack.
const nestingPerDepth = 10

type compiler struct {
	source, chunk string
}

func (c *compiler) function(fn *function) *proto {
	p := &proto{
		slots: fn.slots, params: len(fn.params), dots: fn.dots, ups: fn.ups, line: fn.line,
		weight: 1 + fn.deepest/nestingPerDepth, source: c.source, chunk: c.chunk,
	}
	for _, v := range fn.params {
		if v.captured {
			p.cells = append(p.cells, v.slot)
		}
	}
	p.body = c.block(fn.body)
	return p
}

func (c *compiler) block(b *block) execute {
	list := make([]execute, len(b.stmts))
	for i, s := range b.stmts {
		list[i] = c.statement(s)
	}
	cost := b.cost
	switch len(list) {
	case 0:
		return func(f *frame) signal {
			f.r.charge(cost)
			return normal
		}
	case 1:
		only := list[0]
		return func(f *frame) signal {
			f.r.charge(cost)
			return only(f)
		}
	}
	return func(f *frame) signal {
		f.r.charge(cost)
		for _, s := range list {
			if sig := s(f); sig != normal {
				return sig
			}
		}
		return normal
	}
}

func (c *compiler) statement(s stmt) execute {
	switch s := s.(type) {
	case *localStmt:
		return c.local(s)
	case *assignStmt:
		return c.assign(s)
	case *callStmt:
		call := c.call(s.call)
		return func(f *frame) signal {
			call(f)
			return normal
		}
	case *doStmt:
		return c.block(s.body)
	case *whileStmt:
		cond, body := c.expr(s.cond), c.block(s.body)
		return func(f *frame) signal {
			for cond(f).truth() {
				if sig := body(f); sig == broken {
					break
				} else if sig != normal {
					return sig
				}
			}
			f.r.charge(1)
			return normal
		}
	case *repeatStmt:
		body, cond := c.block(s.body), c.expr(s.cond)
		return func(f *frame) signal {
			for {
				if sig := body(f); sig == broken {
					return normal
				} else if sig != normal {
					return sig
				}
				if cond(f).truth() {
					return normal
				}
			}
		}
	case *ifStmt:
		return c.ifElse(s)
	case *forStmt:
		return c.numericFor(s)
	case *forInStmt:
		return c.genericFor(s)
	case *localFuncStmt:
		store, make := c.declare(s.v), c.closure(s.fn)
		assign := c.storeLocal(s.v)
		return func(f *frame) signal {
			store(f, nilValue)
			assign(f, make(f))
			return normal
		}
	case *returnStmt:
		return c.ret(s)
	}
	return func(*frame) signal { return broken } // breakStmt
}

// declare begins the life of a variable: one that is captured gets a new cell.
func (c *compiler) declare(v *local) func(f *frame, val value) {
	slot := v.slot
	if v.captured {
		return func(f *frame, val value) { f.regs[slot] = value{o: &cell{val}} }
	}
	return func(f *frame, val value) { f.regs[slot] = val }
}

func (c *compiler) storeLocal(v *local) func(f *frame, val value) {
	slot := v.slot
	if v.captured {
		return func(f *frame, val value) { f.regs[slot].o.(*cell).v = val }
	}
	return func(f *frame, val value) { f.regs[slot] = val }
}

func (c *compiler) local(s *localStmt) execute {
	stores := make([]func(*frame, value), len(s.vars))
	for i, v := range s.vars {
		stores[i] = c.declare(v)
	}
	if len(s.vars) == 1 && len(s.vals) == 1 {
		store, val := stores[0], c.expr(s.vals[0])
		return func(f *frame) signal {
			store(f, val(f))
			return normal
		}
	}
	vals := c.list(s.vals)
	return func(f *frame) signal {
		th := f.th
		stack, top := th.stack, th.top
		list := vals(f)
		for i, store := range stores {
			store(f, at(list, i))
		}
		th.stack, th.top = stack, top
		return normal
	}
}

func at(list []value, i int) value {
	if i < len(list) {
		return list[i]
	}
	return nilValue
}

// list evaluates expressions onto the stack; the last may give any number of values.
func (c *compiler) list(exprs []expr) evaluates {
	n := len(exprs)
	if n == 0 {
		return func(*frame) []value { return nil }
	}
	var last evaluates
	if last = c.multi(exprs[n-1]); last != nil {
		n--
	}
	each := make([]evaluate, n)
	for i := range each {
		each[i] = c.expr(exprs[i])
	}
	if last == nil {
		return func(f *frame) []value {
			list := f.th.alloc(n)
			for i, e := range each {
				list[i] = e(f)
			}
			return list
		}
	}
	return func(f *frame) []value {
		list := f.th.alloc(n)
		for i, e := range each {
			list[i] = e(f)
		}
		rest := last(f)
		if len(rest) == 0 {
			return list
		}
		f.r.charge(int64(len(rest)))
		all := f.th.alloc(n + len(rest))
		copy(all, list)
		copy(all[n:], rest)
		return all
	}
}

// assigner stores a value in a target whose parts have been evaluated to a and b.
type target struct {
	object, key evaluate // nil for variables
	store       func(f *frame, object, key, val value)
}

func (c *compiler) target(e expr, line int) target {
	where := &site{line: line}
	switch e := e.(type) {
	case *localExpr:
		store := c.storeLocal(e.v)
		return target{store: func(f *frame, _, _, val value) { store(f, val) }}
	case *upExpr:
		i := e.index
		return target{store: func(f *frame, _, _, val value) { f.cl.up[i].v = val }}
	case *globalExpr:
		name := value{o: e.name}
		return target{store: func(f *frame, _, _, val value) {
			f.site = where
			f.r.pay(name)
			f.th.setIndex(value{o: f.cl.env}, name, val, nil)
		}}
	}
	x := e.(*indexExpr)
	return target{c.expr(x.object), c.expr(x.key), func(f *frame, object, key, val value) {
		f.r.pay(key)
		if t, ok := object.o.(*table); ok && t.meta == nil && !t.readonly {
			if p := t.find(key); p != nil {
				*p = val
				return
			}
		}
		f.site = where
		f.th.setIndex(object, key, val, x.object)
	}}
}

func (c *compiler) assign(s *assignStmt) execute {
	targets := make([]target, len(s.targets))
	for i, e := range s.targets {
		targets[i] = c.target(e, s.line)
	}
	if len(targets) == 1 && len(s.vals) == 1 {
		to, val := targets[0], c.expr(s.vals[0])
		if to.object == nil {
			return func(f *frame) signal {
				to.store(f, nilValue, nilValue, val(f))
				return normal
			}
		}
		return func(f *frame) signal {
			object := to.object(f)
			key := to.key(f)
			to.store(f, object, key, val(f))
			return normal
		}
	}
	vals := c.list(s.vals)
	return func(f *frame) signal {
		th := f.th
		stack, top := th.stack, th.top
		places := th.alloc(2 * len(targets))
		for i, to := range targets {
			if to.object != nil {
				places[2*i] = to.object(f)
				places[2*i+1] = to.key(f)
			}
		}
		list := vals(f)
		for i := len(targets) - 1; i >= 0; i-- {
			targets[i].store(f, places[2*i], places[2*i+1], at(list, i))
		}
		th.stack, th.top = stack, top
		return normal
	}
}

func (c *compiler) ifElse(s *ifStmt) execute {
	conds, bodies := make([]evaluate, len(s.conds)), make([]execute, len(s.bodies))
	for i, e := range s.conds {
		conds[i] = c.expr(e)
	}
	for i, b := range s.bodies {
		bodies[i] = c.block(b)
	}
	return func(f *frame) signal {
		for i, cond := range conds {
			if cond(f).truth() {
				return bodies[i](f)
			}
		}
		if len(bodies) > len(conds) {
			return bodies[len(conds)](f)
		}
		return normal
	}
}

func (c *compiler) numericFor(s *forStmt) execute {
	start, stop := c.expr(s.start), c.expr(s.stop)
	step := evaluate(func(*frame) value { return number(1) })
	if s.step != nil {
		step = c.expr(s.step)
	}
	declare, body := c.declare(s.v), c.block(s.body)
	where := &site{line: s.line}
	check := func(f *frame, v value, what string) float64 {
		f.r.pay(v)
		n, ok := toNumber(v)
		if !ok {
			f.site = where
			f.th.throw("'for' %s must be a number", what)
		}
		return n
	}
	return func(f *frame) signal {
		v1, v2, v3 := start(f), stop(f), step(f)
		i, limit, by := check(f, v1, "initial value"), check(f, v2, "limit"), check(f, v3, "step")
		for ; by > 0 && i <= limit || by <= 0 && limit <= i; i += by {
			declare(f, number(i))
			if sig := body(f); sig == broken {
				break
			} else if sig != normal {
				return sig
			}
		}
		return normal
	}
}

func (c *compiler) genericFor(s *forInStmt) execute {
	vals, body := c.list(s.vals), c.block(s.body)
	declares := make([]func(*frame, value), len(s.vars))
	for i, v := range s.vars {
		declares[i] = c.declare(v)
	}
	where := &site{line: s.line, name: "for iterator"}
	base := s.base
	return func(f *frame) signal {
		th := f.th
		stack, top := th.stack, th.top
		list := vals(f)
		hidden := f.regs[base : base+3]
		hidden[0], hidden[1], hidden[2] = at(list, 0), at(list, 1), at(list, 2)
		th.stack, th.top = stack, top
		for {
			args := th.alloc(2)
			args[0], args[1] = hidden[1], hidden[2]
			f.site = where
			ret := th.call(hidden[0], args, nil)
			th.stack, th.top = stack, top
			hidden[2] = first(ret)
			if hidden[2].isNil() {
				return normal
			}
			for i, declare := range declares {
				declare(f, at(ret, i))
			}
			if sig := body(f); sig == broken {
				return normal
			} else if sig != normal {
				return sig
			}
		}
	}
}

func (c *compiler) ret(s *returnStmt) execute {
	if len(s.vals) == 1 {
		if e, ok := s.vals[0].(*callExpr); ok {
			return c.tailCall(e)
		}
		if c.multi(s.vals[0]) == nil {
			val := c.expr(s.vals[0])
			return func(f *frame) signal {
				v := val(f)
				f.th.buf = append(f.th.buf[:0], v)
				f.ret = f.th.buf
				return returned
			}
		}
	}
	vals := c.list(s.vals)
	return func(f *frame) signal {
		th := f.th
		stack, top := th.stack, th.top
		f.ret = th.ret(vals(f)...)
		th.stack, th.top = stack, top
		return returned
	}
}

func (c *compiler) tailCall(e *callExpr) execute {
	prepare, where := c.prepare(e)
	return func(f *frame) signal {
		th := f.th
		stack, top := th.stack, th.top
		fn, args := prepare(f)
		f.site = where
		if cl, ok := fn.o.(*closure); ok {
			f.tailFn = cl
			th.tail = append(th.tail[:0], args...)
			th.stack, th.top = stack, top
			return tailed
		}
		f.ret = th.call(fn, args, callee(e))
		th.stack, th.top = stack, top
		return returned
	}
}
