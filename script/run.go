package script

import (
	"fmt"
	"math"
)

// run is one run of a script: what it may still spend, and what it can reach beside its variables.
type run struct {
	host    Host
	fuel    int64 // until the budget is looked at again
	left    int64 // of the budget, beyond fuel
	limits  Limits
	stop    func() error
	keys    value // the globals of EVAL
	argv    value
	proto   int // RESP version of the commands' replies
	random  uint64
	lastID  uint64
	json    *jsonConfig
	nested  int // calls of Lua from Go
	depth   int // calls of Lua, of all threads: those that wait keep their stacks
	threads []*thread
	loading *loading
	aborted *abort

	// What the next run uses again.
	spare                *thread
	texts                []str
	slots                []value
	list                 [][]byte
	main                 closure
	keysTable, argvTable table
}

// fuelStep is how often Stop is asked, in instructions.
const fuelStep = 1 << 14

// Bounds of recursion, those of Lua 5.1.
const (
	maxNested = 200
	maxDepth  = 20000
)

// abort ends a run; scripts can't catch it.
type abort struct{ text string }

// luaError is an error of Lua on its way to who catches it, with the place where it was raised.
type luaError struct {
	v      value
	source string
	line   int
	placed bool
}

// charge takes n instructions from the budget.
func (r *run) charge(n int64) {
	r.fuel -= n
	if r.fuel < 0 {
		r.refuel()
	}
}

// chargeBytes pays for n bytes that are copied or looked at.
func (r *run) chargeBytes(n int) { r.charge(int64(n) / bytesPerUnit) }

// chargeLook pays for n places of a table that are looked at, or copied, on the way to another.
func (r *run) chargeLook(n int) { r.charge(int64(n) / placesPerUnit) }

// longText is the length from which on a string is paid for wherever it is compared or read, and not only where it is made.
const longText = 64

// pay is for a value that is about to be compared or read, if it is a long string.
func (r *run) pay(v value) {
	if s, ok := v.o.(*str); ok && len(s.s) > longText {
		r.chargeBytes(len(s.s))
	}
}

// payNumeral is for a text that was read as a number. Those with many digits, and those next to zero, take long.
func (r *run) payNumeral(v value, n float64) {
	if s := v.str(); s != nil {
		r.payDigits(len(s.s), n)
	}
}

func (r *run) payDigits(length int, n float64) {
	cost := int64(numeralCost)
	if length > 19 {
		cost += int64(length)
	}
	if n != 0 && math.Abs(n) < 1e-290 {
		cost += 1000
	}
	r.charge(cost)
}

// What a call of Go costs, and a call from there.
const (
	bytesPerUnit  = 16
	placesPerUnit = 4
	raiseCost     = 16
	levelCost     = 32 // of the stack of a coroutine
	numeralCost   = 4  // of a number that becomes a text, beside that
	nativeCost    = 4
	callbackCost  = 8
)

func (r *run) refuel() {
	if r.aborted != nil {
		panic(r.aborted)
	}
	if r.stop != nil {
		if err := r.stop(); err != nil {
			r.abort(err.Error())
		}
	}
	need := -r.fuel
	if r.left < need {
		r.abort(fmt.Sprintf("ERR script exceeded its limit of %d instructions", r.limits.Instructions))
	}
	step := min(r.left, max(need, fuelStep))
	r.left -= step
	r.fuel += step
}

func (r *run) abort(text string) {
	r.aborted = &abort{text}
	panic(r.aborted)
}

func (r *run) id() uint64 {
	r.lastID++
	return r.lastID
}

func (r *run) newTable(array, hash int) *table {
	r.charge(tableCost)
	t := &table{id: r.id()}
	if array > 0 || hash > 0 {
		t.resize(r, array, hash)
	}
	return t
}

// newString pays for a string, and checks its length.
func (r *run) newString(s string) value {
	r.checkLength(len(s))
	r.chargeBytes(len(s))
	return text(s)
}

func (r *run) checkLength(n int) {
	if int64(n) > r.limits.StringBytes {
		r.abort(fmt.Sprintf("ERR script exceeded its limit of %d bytes for a string", r.limits.StringBytes))
	}
}

// thread is a coroutine, or the main thread.
type thread struct {
	r      *run
	frame  *frame
	root   frame
	buf    []value // results of the last call
	tail   []value // arguments of the call that replaces a function
	stack  []value
	top    int
	nested int // calls of Lua from Go in this thread
	depth  int // calls of Lua in this thread
	id     uint64
	co     *coroutine // nil in the main thread
}

// frame is a function of Lua that runs, or one of Go that has called into Lua.
type frame struct {
	th      *thread
	r       *run
	cl      *closure // nil for a function of Go
	regs    []value
	varargs []value
	ret     []value
	site    *site // where it is
	tailFn  *closure
	tail    bool // it has replaced its caller
	outer   *frame
	inner   *frame // kept for the next call
}

// site is a place in the source, with the name of what is called there.
type site struct {
	line   int
	name   string
	method bool
}

func (r *run) newThread() *thread {
	th := &thread{r: r, id: r.id()}
	th.root = frame{th: th, r: r}
	th.frame = &th.root
	return th
}

// alloc takes n values from the stack. Whoever calls it restores stack and top.
func (th *thread) alloc(n int) []value {
	if th.top+n > len(th.stack) {
		th.stack = make([]value, max(2*len(th.stack), n, 64))
		th.top = 0
	}
	s := th.stack[th.top : th.top+n : th.top+n]
	th.top += n
	clear(s)
	return s
}

func (th *thread) push(cl *closure) *frame {
	f := th.frame.inner
	if f == nil {
		f = &frame{th: th, r: th.r, outer: th.frame}
		th.frame.inner = f
	}
	f.cl, f.site, f.tail = cl, nil, false
	th.frame = f
	return f
}

// callLua calls a function of Lua. The results hold until the next call.
func (th *thread) callLua(cl *closure, args []value) []value {
	stack, top := th.stack, th.top
	tail := false
	for {
		p := cl.proto
		if th.r.depth+p.weight > maxDepth {
			th.throw("stack overflow")
		}
		th.r.depth += p.weight
		th.depth += p.weight
		if th.co != nil && th.depth > th.co.deepest { // its stack grows, and stays as large
			th.r.charge(int64(th.depth-th.co.deepest) * levelCost)
			th.co.deepest = th.depth
		}
		regs := th.alloc(p.slots)
		copy(regs[:p.params], args)
		th.r.charge(2 * int64(len(p.cells)))
		for _, slot := range p.cells {
			regs[slot] = value{o: &cell{regs[slot]}}
		}
		var rest []value
		if p.dots && len(args) > p.params {
			rest = th.alloc(len(args) - p.params)
			th.r.charge(2 * int64(len(rest)))
			copy(rest, args[p.params:])
		}
		f := th.push(cl)
		f.regs, f.varargs, f.tail = regs, rest, tail
		s := p.body(f)
		ret := f.ret
		f.ret = nil
		th.frame = f.outer
		th.stack, th.top = stack, top
		th.r.depth -= p.weight
		th.depth -= p.weight
		switch s {
		case tailed:
			cl, args, tail = f.tailFn, th.tail, true
			continue
		case returned:
			return ret
		}
		return nil
	}
}

// call calls anything that can be called.
func (th *thread) call(fn value, args []value, e expr) []value {
	switch x := fn.o.(type) {
	case *closure:
		return th.callLua(x, args)
	case *native:
		return th.callNative(x, args)
	}
	handler := th.metamethod(fn, "__call")
	if !handler.isFunction() {
		th.typeError("call", fn, e)
	}
	all := make([]value, 0, len(args)+1)
	return th.call(handler, append(append(all, fn), args...), nil)
}

// callNative calls a function of Go. Most look at all of their strings.
func (th *thread) callNative(x *native, args []value) []value {
	th.r.charge(nativeCost)
	if !x.lean {
		for i := range args {
			th.r.pay(args[i])
		}
	}
	return x.fn(th, args)
}

// callback calls from Go. Lua 5.1 has a limit for these.
func (th *thread) callback(fn value, args ...value) []value {
	th.enterGo()
	ret := th.call(fn, args, nil)
	th.leaveGo()
	return ret
}

func (th *thread) enterGo() {
	if th.r.nested >= maxNested {
		th.throw("C stack overflow")
	}
	th.r.charge(callbackCost)
	th.r.nested++
	th.nested++
	th.push(nil)
}

func (th *thread) leaveGo() {
	th.r.nested--
	th.nested--
	th.frame = th.frame.outer
}

// handle calls a metamethod, for one result.
func (th *thread) handle(fn value, args ...value) value {
	if th.r.nested >= maxNested {
		th.throw("C stack overflow")
	}
	th.r.nested++
	th.nested++
	v := first(th.call(fn, args, nil))
	th.r.nested--
	th.nested--
	return v
}

func first(values []value) value {
	if len(values) == 0 {
		return nilValue
	}
	return values[0]
}

// ret puts results into the buffer.
func (th *thread) ret(values ...value) []value {
	th.buf = append(th.buf[:0], values...)
	return th.buf
}

// savepoint is what has to be as it was when an error is caught.
type savepoint struct {
	frame                *frame
	stack                []value
	top                  int
	nested, inRun, depth int
}

func (th *thread) save() savepoint {
	return savepoint{th.frame, th.stack, th.top, th.nested, th.r.nested, th.depth}
}

func (th *thread) restore(s savepoint) {
	th.frame, th.stack, th.top, th.nested = s.frame, s.stack, s.top, s.nested
	th.r.nested = s.inRun
	th.r.depth -= th.depth - s.depth
	th.depth = s.depth
}

// try calls fn from Go and catches what it raises; handler sees the error before the stack is gone.
func (th *thread) try(fn value, args []value, handler func(*luaError)) (ret []value, failure *luaError) {
	s := th.save()
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		e, ok := r.(*luaError)
		if !ok {
			panic(r)
		}
		if handler != nil {
			handler(e)
		}
		th.restore(s)
		ret, failure = nil, e
	}()
	th.enterGo()
	ret = th.call(fn, args, nil)
	th.leaveGo()
	return ret, nil
}
