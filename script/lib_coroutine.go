package script

import "iter"

var coroutineFunctions = map[string]func(*thread, []value) []value{
	"create": coCreate, "resume": coResume, "running": coRunning, "status": coStatus, "wrap": coWrap, "yield": coYield,
}

// coroutine is what a thread has that is not the main one. It runs on a stack of its own, never at
// the same time as another: who resumes it waits.
type coroutine struct {
	fn      value
	status  string
	next    func() ([]value, bool)
	stop    func()
	yield   func([]value) bool
	in      []value // what resume passes
	failure *luaError
	crash   any // a panic that is for the whole run
	resumer *thread
	deepest int
}

// coroutineCost is for its stack.
const coroutineCost = 5000

// stopped unwinds a coroutine that is left at the end of a run.
type stopped struct{}

func (th *thread) newCoroutine(fn value) *thread {
	th.r.charge(coroutineCost)
	co := th.r.newThread()
	co.co = &coroutine{fn: fn, status: "suspended"}
	co.co.next, co.co.stop = iter.Pull(func(yield func([]value) bool) {
		co.co.yield = yield
		co.body()
	})
	th.r.threads = append(th.r.threads, co)
	return co
}

func (th *thread) body() {
	co := th.co
	defer func() {
		switch e := recover().(type) {
		case nil, stopped:
		case *luaError:
			co.failure = e
		default:
			co.crash = e
		}
	}()
	ret := th.call(co.fn, co.in, nil)
	co.yield(append([]value(nil), ret...))
}

// finish ends the coroutines that a run has left.
func (r *run) finish() {
	for _, th := range r.threads {
		th.co.stop()
	}
	r.threads = nil
}

// resume runs a coroutine until it yields, ends or fails.
func (th *thread) resume(target *thread, args []value) (ret []value, failure value, ok bool) {
	if target.co == nil || target.co.status != "suspended" {
		return nil, text("cannot resume " + target.status(th) + " coroutine"), false
	}
	co := target.co
	if th.r.nested >= maxNested {
		return nil, text("C stack overflow"), false
	}
	nested := th.r.nested
	th.r.nested++
	th.r.charge(10)
	co.in = append([]value(nil), args...)
	co.status, co.resumer = "running", th
	if th.co != nil {
		th.co.status = "normal"
	}
	out, more := co.next()
	if th.co != nil {
		th.co.status = "running"
	}
	th.r.nested = nested
	switch {
	case co.crash != nil:
		co.status = "dead"
		panic(co.crash)
	case co.failure != nil:
		co.status = "dead"
		th.r.depth -= target.depth
		return nil, co.failure.v, false
	case !more:
		co.status = "dead"
		return nil, nilValue, true
	case co.status == "running": // the function has returned
		co.status = "dead"
	}
	return out, nilValue, true
}

// status of a thread, as another one sees it.
func (th *thread) status(from *thread) string {
	switch {
	case th == from:
		return "running"
	case th.co == nil:
		return "normal"
	}
	return th.co.status
}

func coCreate(th *thread, args []value) []value {
	if _, ok := at(args, 0).o.(*closure); !ok {
		th.argError(0, "Lua function expected")
	}
	return th.ret(value{o: th.newCoroutine(args[0])})
}

func (th *thread) checkThread(args []value) *thread {
	co, ok := at(args, 0).o.(*thread)
	if !ok {
		th.argError(0, "coroutine expected")
	}
	return co
}

func coResume(th *thread, args []value) []value {
	co := th.checkThread(args)
	ret, failure, ok := th.resume(co, args[1:])
	if !ok {
		return th.ret(falseValue, failure)
	}
	return th.ret(append([]value{trueValue}, ret...)...)
}

func coWrap(th *thread, args []value) []value {
	if _, ok := at(args, 0).o.(*closure); !ok {
		th.argError(0, "Lua function expected")
	}
	co := th.newCoroutine(args[0])
	return th.ret(value{o: &native{name: "wrap", id: th.r.id(), lean: true, fn: func(th *thread, args []value) []value {
		ret, failure, ok := th.resume(co, args)
		if !ok {
			if s, isText := toText(failure); isText {
				failure = th.r.newString(th.frame.place() + s)
			}
			th.raise(failure)
		}
		return th.ret(ret...)
	}}})
}

func coYield(th *thread, args []value) []value {
	if th.co == nil || th.nested > 0 {
		th.failBare("attempt to yield across metamethod/C-call boundary")
	}
	th.r.charge(10)
	th.co.status = "suspended"
	if !th.co.yield(append([]value(nil), args...)) {
		panic(stopped{})
	}
	return th.ret(th.co.in...)
}

func coRunning(th *thread, _ []value) []value {
	if th.co == nil {
		return th.ret(nilValue)
	}
	return th.ret(value{o: th})
}

func coStatus(th *thread, args []value) []value {
	co := th.checkThread(args)
	return th.ret(text(co.status(th)))
}
