package script

// environment is what all runs share: the tables of the libraries, which nobody can change.
type environment struct {
	globals    *table // of EVAL
	functions  *table // of functions
	loading    *table // while a library is loaded
	stringMeta *table
}

var base *environment

func init() { base = newEnvironment() }

// builder makes the shared tables; everything in them has its identity before the first run.
type builder struct{ r *run }

func newEnvironment() *environment {
	b := builder{&run{fuel: 1 << 40}}
	e := &environment{}
	e.globals = b.environment(e, true)
	e.functions = b.environment(nil, false)
	api := b.table()
	b.functions(api, map[string]func(*thread, []value) []value{"register_function": registerFunction})
	b.logging(api)
	b.protect(api)
	e.loading = b.table()
	b.set(e.loading, "redis", value{o: api})
	b.protect(e.loading)
	for _, t := range []*table{e.globals, e.functions, e.loading} {
		lock(b.r, t)
	}
	return e
}

// ids of objects that runs make begin after those of the shared ones.
const firstID = 1 << 16

func (b builder) table() *table { return &table{id: b.r.id()} }

func (b builder) set(t *table, name string, v value) { t.set(b.r, value{o: constant(name)}, v) }

func (b builder) functions(t *table, functions map[string]func(*thread, []value) []value) {
	for _, name := range sortedNames(functions) {
		b.set(t, name, value{o: &native{name: name, fn: functions[name], id: b.r.id(), lean: lean[name]}})
	}
}

// lean are the functions that do not look at all of a string, or pay for it, or only pass it on: who reads a long string byte by
// byte does not pay for all of it each time.
var lean = map[string]bool{
	"byte": true, "len": true, "sub": true, "find": true, "match": true, "gmatch": true, "gsub": true, "type": true,
	"tostring": true, "select": true, "insert": true, "assert": true, "error": true, "call": true, "pcall": true, "xpcall": true,
	"create": true, "resume": true, "wrap": true, "yield": true, "unpack": true, "unpack_one": true, "unpack_limit": true,
	"log": true, "setmetatable": true, "decode": true, "encode": true,
}

// protect makes it an error to read what a table does not have.
func (b builder) protect(t *table) {
	t.meta = b.table()
	b.set(t.meta, "__index", value{o: &native{name: "__index", fn: undefined, id: b.r.id()}})
}

func undefined(th *thread, args []value) []value {
	if len(args) != 2 {
		th.fail("Wrong number of arguments to luaProtectedTableError")
	}
	name, ok := toText(args[1])
	if !ok {
		th.fail("Second argument to luaProtectedTableError must be a string or number")
	}
	if args[0].table() == base.globals {
		if v := th.r.argument(name); !v.isNil() {
			return th.ret(v)
		}
	}
	th.fail("Script attempted to access nonexistent global variable '%s'", cString(name))
	return nil
}

// lock makes a table and all that it leads to read-only.
func lock(r *run, t *table) {
	if t.readonly {
		return
	}
	t.readonly = true
	for k, v, more, _ := t.next(r, nilValue); more; k, v, more, _ = t.next(r, k) {
		if s := k.str(); s != nil {
			s.sum()
		}
		if inner := v.table(); inner != nil {
			lock(r, inner)
		}
	}
	if t.meta != nil {
		lock(r, t.meta)
	}
}

func (b builder) environment(e *environment, eval bool) *table {
	g := b.table()
	b.functions(g, baseFunctions)
	b.set(g, "_G", value{o: g})
	b.set(g, "_VERSION", text("Lua 5.1"))
	for _, lib := range []struct {
		name      string
		functions map[string]func(*thread, []value) []value
	}{
		{"table", tableFunctions}, {"string", stringFunctions}, {"math", mathFunctions}, {"coroutine", coroutineFunctions},
		{"cjson", jsonFunctions}, {"struct", structFunctions}, {"cmsgpack", msgpackFunctions}, {"bit", bitFunctions},
		{"redis", redisFunctions},
	} {
		t := b.table()
		b.functions(t, lib.functions)
		b.set(g, lib.name, value{o: t})
	}
	b.constants(g)
	api := g.field("redis").table()
	b.logging(api)
	for _, c := range []struct {
		name string
		n    float64
	}{{"REPL_NONE", 0}, {"REPL_AOF", 1}, {"REPL_SLAVE", 2}, {"REPL_REPLICA", 2}, {"REPL_ALL", 3}} {
		b.set(api, c.name, number(c.n))
	}
	if eval {
		b.functions(api, debugFunctions)
		b.functions(g, map[string]func(*thread, []value) []value{"__redis__err__handler": errorHandler})
		e.stringMeta = b.table()
		b.set(e.stringMeta, "__index", g.field("string"))
		lock(b.r, e.stringMeta)
	}
	b.protect(g)
	return g
}

func (b builder) constants(g *table) {
	m := g.field("math").table()
	b.set(m, "pi", number(3.141592653589793))
	b.set(m, "huge", value{o: isNumber{}, n: infinity})
	b.set(m, "mod", m.field("fmod"))
	s := g.field("string").table()
	b.set(s, "gfind", s.field("gmatch"))
	j := g.field("cjson").table()
	b.set(j, "null", nullValue)
	b.set(j, "_NAME", text("cjson"))
	b.set(j, "_VERSION", text("2.1.0"))
	p := g.field("cmsgpack").table()
	b.set(p, "_NAME", text("cmsgpack"))
	b.set(p, "_VERSION", text("lua-cmsgpack 0.4.0"))
	b.set(p, "_COPYRIGHT", text("Copyright (C) 2012, Redis Ltd."))
	b.set(p, "_DESCRIPTION", text("MessagePack C implementation for Lua"))
}

// version is that of the Redis whose scripts run here.
const (
	version       = "7.2.6"
	versionNumber = 0x070206
)

func (b builder) logging(api *table) {
	b.functions(api, map[string]func(*thread, []value) []value{"log": redisLog})
	for i, name := range []string{"LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"} {
		b.set(api, name, number(float64(i)))
	}
	b.set(api, "REDIS_VERSION", text(version))
	b.set(api, "REDIS_VERSION_NUM", number(versionNumber))
}
