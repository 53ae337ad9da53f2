package script

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"redoubt/resp"
)

var infinity = math.Inf(1)

func sortedNames(m map[string]func(*thread, []value) []value) []string {
	return slices.Sorted(maps.Keys(m))
}

// refusal is an error whose text is that of Redis.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// Program is a compiled script. Any number of runs may use it at once.
type Program struct {
	Flags Flags
	proto *proto
}

// Compile reads an EVAL script. The error's text is the reply without "ERR ".
func Compile(source []byte) (*Program, error) {
	body := string(source)
	flags, skip, err := shebang(body)
	if err != nil {
		return nil, err
	}
	p, err := compile(body[skip:], "@user_script")
	if err != nil {
		return nil, refuse("Error compiling script (new function): %v", err)
	}
	return &Program{Flags: flags, proto: p}, nil
}

// maxSource bounds what is compiled: a function takes about a hundred times as much memory as its source.
const maxSource = 2 << 20

func compile(source, name string) (*proto, error) {
	chunk := chunkID(name)
	if len(source) > maxSource {
		return nil, refuse("%s: the source has more than %d bytes", chunk, maxSource)
	}
	fn, err := parse(source, chunk)
	if err != nil {
		return nil, err
	}
	c := &compiler{source: name, chunk: chunk}
	return c.function(fn), nil
}

// shebang reads "#!lua flags=a,b" in the first line. The line feed stays, so that lines keep their numbers.
func shebang(body string) (flags Flags, skip int, err error) {
	if !strings.HasPrefix(body, "#!") {
		return Compat, 0, nil
	}
	skip = strings.IndexByte(body, '\n')
	if skip < 0 {
		return 0, 0, refuse("Invalid script shebang")
	}
	parts, ok := splitArgs(body[:skip])
	if !ok || len(parts) == 0 {
		return 0, 0, refuse("Invalid engine in script shebang")
	}
	if parts[0] != "#!lua" {
		return 0, 0, refuse("Unexpected engine in script shebang: %s", parts[0])
	}
	for _, part := range parts[1:] {
		list, ok := strings.CutPrefix(part, "flags=")
		if !ok {
			return 0, 0, refuse("Unknown lua shebang option: %s", part)
		}
		if list == "" {
			continue
		}
		for _, name := range strings.Split(list, ",") {
			flag, ok := flagNamed(name, false)
			if !ok {
				return 0, 0, refuse("Unexpected flag in script shebang: %s", name)
			}
			flags |= flag
		}
	}
	return flags, skip, nil
}

func flagNamed(name string, anyCase bool) (Flags, bool) {
	for _, each := range flagNames {
		if each.name == name || anyCase && strings.EqualFold(each.name, name) {
			return each.flag, true
		}
	}
	return 0, false
}

// splitArgs splits a line at spaces; quotes hold parts together, as in an inline command.
func splitArgs(line string) (parts []string, ok bool) {
	for i := 0; ; {
		for i < len(line) && strings.IndexByte(spaces, line[i]) >= 0 {
			i++
		}
		if i == len(line) {
			return parts, true
		}
		var part strings.Builder
		for i < len(line) && strings.IndexByte(spaces, line[i]) < 0 {
			if line[i] != '"' && line[i] != '\'' {
				part.WriteByte(line[i])
				i++
				continue
			}
			end := strings.IndexByte(line[i+1:], line[i])
			if end < 0 {
				return nil, false
			}
			part.WriteString(line[i+1 : i+1+end])
			i += end + 2
			if i < len(line) && strings.IndexByte(spaces, line[i]) < 0 {
				return nil, false
			}
		}
		parts = append(parts, part.String())
	}
}

// Run runs the script.
func (p *Program) Run(h Host, keys, args [][]byte, o Options) resp.Reply {
	r := newRun(h, o)
	return r.perform(o.Name, func(th *thread) resp.Reply {
		r.arguments(keys, args)
		r.main = closure{proto: p.proto, env: base.globals, id: r.id()}
		return th.protected(value{o: &r.main}, nil, o.Name)
	})
}

// perform runs do in a new thread, and ends all coroutines that are left. Nothing that happens in a
// script, not even a defect of the interpreter, ends the process.
func (r *run) perform(name string, do func(th *thread) resp.Reply) (reply resp.Reply) {
	defer func() {
		defect := false
		switch e := recover().(type) {
		case nil:
		case *abort:
			reply = resp.NewError(e.text)
		case *luaError:
			reply = e.reply(name)
		default:
			reply, defect = resp.NewError(fmt.Sprintf("ERR internal error of the interpreter: %v", e)), true
		}
		r.finish()
		if !defect {
			r.release()
		}
	}()
	return do(r.mainThread())
}

// protected calls a function and makes a reply of what it returns or raises.
func (th *thread) protected(fn value, args []value, name string) resp.Reply {
	ret, failure := th.tryMain(fn, args)
	if failure != nil {
		return failure.reply(name)
	}
	return th.r.reply(first(ret))
}

// tryMain is try without a frame of Go below.
func (th *thread) tryMain(fn value, args []value) (ret []value, failure *luaError) {
	s := th.save()
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*luaError)
			if !ok {
				panic(r)
			}
			th.restore(s)
			failure = e
		}
	}()
	return th.call(fn, args, nil), nil
}

// reply is how an error that nobody caught is answered.
func (e *luaError) reply(name string) resp.Reply {
	message, source, line := "ERR "+errorText(e.v), e.source, fmt.Sprint(e.line)
	placed := e.placed
	if t := e.v.table(); t != nil {
		message = "(null)"
		if s, ok := toText(t.field("err")); ok {
			message = s
		}
		if !placed {
			var a, b bool
			source, a = toText(t.field("source"))
			line, b = toText(t.field("line"))
			placed = a && b
		}
	}
	if placed {
		message += fmt.Sprintf(" script: %s, on %s:%s.", name, source, line)
	}
	return resp.NewError(cString(message))
}

// errorText is tostring of an error without metamethods.
func errorText(v value) string {
	if s, ok := toText(v); ok {
		return s
	}
	switch v.o.(type) {
	case nil:
		return "nil"
	case isBool:
		return fmt.Sprint(v.truth())
	case isNull:
		return "userdata: (nil)"
	}
	return fmt.Sprintf("%s: 0x%012x", typeName(v), identity(v))
}
