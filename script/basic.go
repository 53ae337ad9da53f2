package script

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"redoubt/resp"
)

// Program is a compiled script.
type Program struct {
	Flags Flags
	proto string
}

// Compile reads an EVAL script. The error's text is the reply without "ERR ".
func Compile(source []byte) (*Program, error) {
	p := &Program{Flags: Compat, proto: string(source)}
	L := lua.NewState()
	defer L.Close()
	if _, err := L.Load(strings.NewReader(p.proto), "user_script"); err != nil {
		return nil, fmt.Errorf("Error compiling script (new function): %s", err)
	}
	return p, nil
}

// Run runs the script.
func (p *Program) Run(h Host, keys, args [][]byte, o Options) resp.Reply {
	L := lua.NewState()
	defer L.Close()
	setup(L, h)
	L.SetGlobal("KEYS", list(L, keys))
	L.SetGlobal("ARGV", list(L, args))
	fn, err := L.Load(strings.NewReader(p.proto), "user_script")
	if err != nil {
		return resp.NewError("ERR " + err.Error())
	}
	return call(L, fn, o)
}

func call(L *lua.LState, fn *lua.LFunction, o Options, args ...lua.LValue) resp.Reply {
	if err := L.CallByParam(lua.P{Fn: fn, NRet: 1, Protect: true}, args...); err != nil {
		text := err.Error()
		if api, ok := err.(*lua.ApiError); ok {
			if t, ok := api.Object.(*lua.LTable); ok {
				text = t.RawGetString("err").String()
			} else {
				text = "ERR " + api.Object.String()
			}
		}
		return resp.NewError(text + " script: " + o.Name + ", on @user_script:1.")
	}
	return toReply(L.Get(-1))
}

func list(L *lua.LState, items [][]byte) *lua.LTable {
	t := L.NewTable()
	for _, item := range items {
		t.Append(lua.LString(item))
	}
	return t
}

func setup(L *lua.LState, h Host) {
	do := func(raise bool) lua.LGFunction {
		return func(L *lua.LState) int {
			var args [][]byte
			for i := 1; i <= L.GetTop(); i++ {
				args = append(args, []byte(L.ToString(i)))
			}
			r := h.Call(args)
			if r.IsError() && raise {
				L.Error(fromReply(L, r), 0)
			}
			L.Push(fromReply(L, r))
			return 1
		}
	}
	field := func(name string) lua.LGFunction {
		return func(L *lua.LState) int {
			t := L.NewTable()
			t.RawSetString(name, L.Get(1))
			L.Push(t)
			return 1
		}
	}
	L.SetGlobal("redis", L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{
		"call": do(true), "pcall": do(false), "error_reply": field("err"), "status_reply": field("ok"),
	}))
}

func fromReply(L *lua.LState, r resp.Reply) lua.LValue {
	t := L.NewTable()
	switch r.Kind {
	case resp.Integer:
		return lua.LNumber(r.Int)
	case resp.Bulk:
		if r.Bytes == nil {
			return lua.LString(r.Text)
		}
		return lua.LString(r.Bytes)
	case resp.Simple:
		t.RawSetString("ok", lua.LString(r.Text))
	case resp.Error:
		t.RawSetString("err", lua.LString(r.Text))
	case resp.Array:
		for _, e := range r.Elems {
			t.Append(fromReply(L, e))
		}
	default:
		return lua.LFalse
	}
	return t
}

func toReply(v lua.LValue) resp.Reply {
	switch v := v.(type) {
	case lua.LString:
		return resp.NewBulkString(string(v))
	case lua.LNumber:
		return resp.NewInt(int64(v))
	case lua.LBool:
		if v {
			return resp.NewInt(1)
		}
	case *lua.LTable:
		if err, ok := v.RawGetString("err").(lua.LString); ok {
			return resp.NewError(string(err))
		}
		if s, ok := v.RawGetString("ok").(lua.LString); ok {
			return resp.NewSimple(string(s))
		}
		var elems []resp.Reply
		for i := 1; v.RawGetInt(i) != lua.LNil; i++ {
			elems = append(elems, toReply(v.RawGetInt(i)))
		}
		return resp.NewArray(elems)
	}
	return resp.Nil
}

// Library is what FUNCTION LOAD makes.
type Library struct {
	Name      string
	Functions []Function // in the order of their registration
	source    string
}

// Load reads a library. The error's text is the reply without "ERR ".
func Load(source []byte, limits Limits) (*Library, error) {
	first, rest, ok := strings.Cut(string(source), "\n")
	if !ok || !strings.HasPrefix(first, "#!lua name=") {
		return nil, fmt.Errorf("Missing library metadata")
	}
	l := &Library{Name: strings.TrimPrefix(first, "#!lua name="), source: "\n" + rest}
	L, fns := l.open(nil)
	defer L.Close()
	if err := L.DoString(l.source); err != nil {
		return nil, fmt.Errorf("Error registering functions: %s", err)
	}
	for name := range *fns {
		l.Functions = append(l.Functions, Function{Name: name})
	}
	return l, nil
}

func (l *Library) open(h Host) (*lua.LState, *map[string]*lua.LFunction) {
	L := lua.NewState()
	setup(L, h)
	fns := map[string]*lua.LFunction{}
	redis := L.GetGlobal("redis").(*lua.LTable)
	redis.RawSetString("register_function", L.NewFunction(func(L *lua.LState) int {
		if t, ok := L.Get(1).(*lua.LTable); ok {
			fns[t.RawGetString("function_name").String()] = t.RawGetString("callback").(*lua.LFunction)
			return 0
		}
		fns[L.ToString(1)] = L.ToFunction(2)
		return 0
	}))
	return L, &fns
}

// Call calls one of the library's functions.
func (l *Library) Call(function string, h Host, keys, args [][]byte, o Options) resp.Reply {
	L, fns := l.open(h)
	defer L.Close()
	if err := L.DoString(l.source); err != nil {
		return resp.NewError("ERR " + err.Error())
	}
	fn := (*fns)[function]
	if fn == nil {
		return resp.NewError("ERR Function not found")
	}
	return call(L, fn, o, list(L, keys), list(L, args))
}
