package script

import (
	"fmt"
	"strings"
)

// raise raises v as an error, and remembers the place as Redis's error handler finds it.
func (th *thread) raise(v value) {
	th.r.charge(raiseCost)
	e := &luaError{v: v, line: -1, source: "=[C]", placed: true}
	if f := th.frame; f.cl != nil {
		e.source, e.line = f.cl.proto.source, f.line()
	} else if f.outer == nil {
		e.placed = false // nothing of Lua runs
	}
	panic(e)
}

func (f *frame) line() int {
	if f.site == nil {
		return f.cl.proto.line
	}
	return f.site.line
}

// place is the prefix of messages about a frame; functions of Go have none.
func (f *frame) place() string {
	if f == nil || f.cl == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", f.cl.proto.chunk, f.line())
}

// throw raises an error of the interpreter, in a function of Lua.
func (th *thread) throw(format string, args ...any) {
	th.raise(th.message(th.frame.place() + fmt.Sprintf(format, args...)))
}

// fail raises an error of a function of Go: it has the place where it was called.
func (th *thread) fail(format string, args ...any) {
	th.raise(th.message(th.frame.place() + fmt.Sprintf(format, args...)))
}

// failBare is fail without a place, as errors of Lua's own interface have none.
func (th *thread) failBare(message string) { th.raise(th.message(message)) }

func (th *thread) message(s string) value {
	return th.r.newString(cString(s))
}

// argError complains about an argument, counted from 0.
func (th *thread) argError(i int, message string) {
	name := "?"
	if f := th.frame; f.cl != nil && f.site != nil && f.site.name != "" {
		name = f.site.name
		if f.site.method {
			i--
			if i < 0 {
				th.fail("calling '%s' on bad self (%s)", name, message)
			}
		}
	}
	th.fail("bad argument #%d to '%s' (%s)", i+1, name, message)
}

func (th *thread) argType(args []value, i int, want string) {
	got := "no value"
	if i < len(args) {
		got = typeName(args[i])
	}
	th.argError(i, want+" expected, got "+got)
}

// describe says what a value was found in.
func describe(e expr) (kind, name string) {
	switch x := e.(type) {
	case *parenExpr:
		if _, ok := x.inner.(*callExpr); !ok {
			return describe(x.inner)
		}
	case *localExpr:
		return "local", x.v.name
	case *upExpr:
		return "upvalue", x.name
	case *globalExpr:
		return "global", x.name.s
	case *indexExpr:
		if s, ok := x.key.(*stringExpr); ok {
			return "field", s.s.s
		}
		return "field", "?"
	case *methodName:
		return "method", x.name.s
	}
	return "", ""
}

// methodName stands for the function of object:name() in errors.
type methodName struct{ name *str }

func (th *thread) typeError(operation string, v value, e expr) {
	if kind, name := describe(e); kind != "" {
		th.throw("attempt to %s %s '%s' (a %s value)", operation, kind, cString(name), typeName(v))
	}
	th.throw("attempt to %s a %s value", operation, typeName(v))
}

func (th *thread) compareError(a, b value) { th.throw("%s", incomparable(a, b)) }

func incomparable(a, b value) string {
	x, y := typeName(a), typeName(b)
	if x == y {
		return fmt.Sprintf("attempt to compare two %s values", x)
	}
	return fmt.Sprintf("attempt to compare %s with %s", x, y)
}

// chunkID is how a chunk is named in messages.
func chunkID(source string) string {
	const size = 60
	if strings.HasPrefix(source, "=") || strings.HasPrefix(source, "@") {
		name := source[1:]
		if limit := size - 1; source[0] == '=' && len(name) > limit {
			return name[:limit]
		} else if limit := size - len(" '...' ") - 1; source[0] == '@' && len(name) > limit {
			return "..." + name[len(name)-limit:]
		}
		return name
	}
	line := source
	if i := strings.IndexAny(source, "\r\n"); i >= 0 {
		line = source[:i]
	}
	limit := size - len(` [string "..."] `) - 1
	if len(line) > limit {
		return `[string "` + line[:limit] + `..."]`
	}
	if line != source {
		return `[string "` + line + `..."]`
	}
	return `[string "` + line + `"]`
}
