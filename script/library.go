package script

import (
	"errors"
	"strings"

	"redoubt/resp"
)

// Function is a function of a library.
type Function struct {
	Name        string
	Description string
	HasDesc     bool // whether a description was given
	Flags       Flags
}

// Library is what FUNCTION LOAD makes. Any number of calls may use it at once: each begins with the
// variables as they are after loading, so that a call leaves nothing behind for the next.
type Library struct {
	Name      string
	Functions []Function // in the order of their registration
	proto     *proto
}

// loading is the registration of functions, in a run that loads a library.
type loading struct {
	env       *table
	open      bool
	functions []Function
	callbacks map[string]value
}

// Load reads a library. The error's text is the reply without "ERR ".
func Load(source []byte, limits Limits) (*Library, error) {
	name, body, err := header(string(source))
	if err != nil {
		return nil, err
	}
	p, err := compile(body, "@user_function")
	if err != nil {
		return nil, refuse("Error compiling function: %v", err)
	}
	l := &Library{Name: name, proto: p}
	r := newRun(silent{}, Options{Limits: limits})
	var found *loading
	reply := r.perform("", func(th *thread) resp.Reply {
		failure := th.load(l)
		found = r.loading
		if failure != nil {
			message := "ERR " + errorText(failure.v)
			if t := failure.v.table(); t != nil {
				message, _ = toText(t.field("err"))
			}
			return resp.NewError("ERR Error registering functions: " + cString(message))
		}
		return resp.OK
	})
	if reply.IsError() {
		return nil, errors.New(strings.TrimPrefix(reply.Text, "ERR "))
	}
	if len(found.functions) == 0 {
		return nil, refuse("No functions registered")
	}
	l.Functions = found.functions
	return l, nil
}

// silent is the host while a library is loaded, which can call nothing.
type silent struct{}

func (silent) Call([][]byte) resp.Reply               { return resp.NewError("ERR no command can be called here") }
func (silent) Allowed([][]byte) (allowed, known bool) { return false, false }
func (silent) Log(int, string)                        {}
func (silent) SetRESP(int)                            {}

// header reads "#!lua name=x".
func header(source string) (name, body string, err error) {
	if !strings.HasPrefix(source, "#!") {
		return "", "", refuse("Missing library metadata")
	}
	end := strings.IndexByte(source, '\n')
	if end < 0 {
		return "", "", refuse("Invalid library metadata")
	}
	parts, ok := splitArgs(source[:end])
	if !ok || len(parts) == 0 {
		return "", "", refuse("Invalid library metadata")
	}
	engine, named := strings.TrimPrefix(parts[0], "#!"), false
	for _, part := range parts[1:] {
		if len(part) < 5 || !strings.EqualFold(part[:5], "name=") {
			return "", "", refuse("Invalid metadata value given: %s", part)
		}
		if named {
			return "", "", refuse("Invalid metadata value, name argument was given multiple times")
		}
		name, named = part[5:], true
	}
	switch {
	case !named:
		return "", "", refuse("Library name was not given")
	case !goodName(name):
		return "", "", refuse("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
	case !strings.EqualFold(engine, "lua"):
		return "", "", refuse("Engine '%s' not found", engine)
	}
	return name, source[end:], nil
}

func goodName(name string) bool {
	for _, c := range []byte(name) {
		if !isAlnum(int(c)) {
			return false
		}
	}
	return name != ""
}

// load runs the source of a library, in an environment that has nothing but the registration.
func (th *thread) load(l *Library) *luaError {
	r := th.r
	meta := &table{id: r.id(), readonly: true}
	meta.set(r, value{o: keyIndex}, value{o: base.loading})
	env := &table{id: r.id(), meta: meta, readonly: true}
	r.loading = &loading{env: env, open: true, callbacks: map[string]value{}}
	_, failure := th.tryMain(value{o: &closure{proto: l.proto, env: env, id: r.id()}}, nil)
	r.loading.open = false
	meta.set(r, value{o: keyIndex}, value{o: base.functions})
	return failure
}

// Call calls one of the library's functions. What loading costs is not taken from the limits.
func (l *Library) Call(function string, h Host, keys, args [][]byte, o Options) resp.Reply {
	r := newRun(h, o)
	left := r.left
	r.left = 1 << 40
	return r.perform(function, func(th *thread) resp.Reply {
		if failure := th.load(l); failure != nil {
			return resp.NewError("ERR Error registering functions: " + errorText(failure.v))
		}
		r.left, r.fuel, r.random = left, 0, seed(0)
		fn, ok := r.loading.callbacks[function]
		if !ok {
			return resp.NewError("ERR Function not found")
		}
		r.arguments(keys, args)
		return th.protected(fn, []value{r.keys, r.argv}, function)
	})
}

func registerFunction(th *thread, args []value) []value {
	l := th.r.loading
	if l == nil || !l.open {
		th.failRedis("redis.register_function can only be called on FUNCTION LOAD command")
	}
	if len(args) < 1 || len(args) > 2 {
		th.failRedis("wrong number of arguments to redis.register_function")
	}
	var f Function
	var callback value
	if len(args) == 1 {
		f, callback = th.namedFunction(args[0])
	} else {
		name, ok := toText(args[0])
		if !ok {
			th.failRedis("first argument to redis.register_function must be a string")
		}
		if !args[1].isFunction() {
			th.failRedis("second argument to redis.register_function must be a function")
		}
		f.Name, callback = name, args[1]
	}
	if !goodName(f.Name) {
		th.failRedis("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long")
	}
	if _, taken := l.callbacks[f.Name]; taken {
		th.failRedis("Function already exists in the library")
	}
	l.callbacks[f.Name] = callback
	l.functions = append(l.functions, f)
	return nil
}

// namedFunction reads the form with a table.
func (th *thread) namedFunction(v value) (f Function, callback value) {
	t := v.table()
	if t == nil {
		th.failRedis("calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
	}
	named := false
	for k, v, more, _ := t.next(th.r, nilValue); more; k, v, more, _ = t.next(th.r, k) {
		key, ok := toText(k)
		if !ok {
			th.failRedis("named argument key given to redis.register_function is not a string")
		}
		s, isText := toText(v)
		switch strings.ToLower(cString(key)) {
		case "function_name":
			if !isText {
				th.failRedis("function_name argument given to redis.register_function must be a string")
			}
			f.Name, named = s, true
		case "description":
			if !isText {
				th.failRedis("description argument given to redis.register_function must be a string")
			}
			f.Description, f.HasDesc = s, true
		case "callback":
			if !v.isFunction() {
				th.failRedis("callback argument given to redis.register_function must be a function")
			}
			callback = v
		case "flags":
			f.Flags = th.functionFlags(v)
		default:
			th.failRedis("unknown argument given to redis.register_function")
		}
	}
	if !named {
		th.failRedis("redis.register_function must get a function name argument")
	}
	if callback.isNil() {
		th.failRedis("redis.register_function must get a callback argument")
	}
	return f, callback
}

func (th *thread) functionFlags(v value) (flags Flags) {
	t := v.table()
	if t == nil {
		th.failRedis("flags argument to redis.register_function must be a table representing function flags")
	}
	for i := 1; ; i++ {
		v := th.index(value{o: t}, number(float64(i)), nil)
		if v.isNil() {
			return flags
		}
		name, ok := toText(v)
		flag, known := flagNamed(cString(name), true)
		if !ok || !known {
			th.failRedis("unknown flag given")
		}
		flags |= flag
	}
}
