package script

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// greedy scripts would take memory, time or stack without end.
var greedy = []string{
	"while true do end",
	"repeat until false",
	"for i = 1, 1e18 do end",
	"local function f() return f() end return f()",
	"local function f() f() end while true do pcall(f) end",
	"while true do pcall(function() while true do end end) end",
	"local s = 'x' while true do s = s .. s end",
	"local s = 'x' while true do s = s:rep(2) end",
	"return ('x'):rep(1e9):rep(1e9)",
	"local t = {} while true do t = {t} end",
	"local t = {} for i = 1, 1e12 do t[i] = i end",
	"local t = {} for i = 1, 1e12 do t[i * 1e6] = i end",
	"local t = {} for i = 1, 1e12 do t[tostring(i)] = i end",
	"return (('a?'):rep(25) .. ('a'):rep(25)):match(('a?'):rep(25) .. ('a'):rep(25) .. 'b')",
	"return ('a'):rep(1e5):find(('.-'):rep(8) .. 'b')",
	"return ('a'):rep(1e6):match(('a?'):rep(1e5))",
	"return ('x'):rep(1e6):gsub('', ('y'):rep(1e6))",
	"return ('x'):rep(1e6):gsub('x', ('%0'):rep(1e6))",
	"local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1e6) end return table.concat(t)",
	"local t = {} t[1] = t t[2] = t return t",
	"local t = {} for i = 1, 60 do t = {t, t} end return t",
	"local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
	"local t = {} for i = 1, 15 do t = {t, t, t, t, t, t, t, t} end return cmsgpack.pack(t)",
	"return cmsgpack.unpack(('\\145'):rep(1e6))",
	"return cmsgpack.unpack('\\221\\255\\255\\255\\255' .. ('\\192'):rep(1e6))",
	"cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(1e6))",
	"cjson.encode_max_depth(2147483647) local t = {} for i = 1, 1e6 do t = {t} end return cjson.encode(t)",
	"return loadstring(('('):rep(1e6))",
	"return loadstring('return ' .. ('{'):rep(1e6))",
	"return loadstring('return ' .. ('-'):rep(1e6) .. '1')",
	"return loadstring('return 1' .. ('+1'):rep(1e6))",
	"return loadstring('x' .. ('.x'):rep(1e6) .. ' = 1')",
	"return loadstring(('do '):rep(1e6))",
	"return loadstring('return 1' .. ('+1'):rep(9000))()",
	"return loadstring('return 1' .. ('..1'):rep(9000))()",
	"local f = loadstring('local f = ... return ' .. ('1+'):rep(9000) .. 'f(f)') return f(f)",
	"local t = {} for i = 1, 1e6 do t[i] = coroutine.wrap(function() coroutine.yield() end) t[i]() end",
	"local function r(n) if n == 0 then coroutine.yield() end return 1 + r(n - 1) end for i = 1, 1e6 do coroutine.wrap(r)(15000) end",
	"local function f() return coroutine.wrap(f)() end return f()",
	"local co co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
	"local function f() return pcall(f) end return f()",
	"local function f() pcall(f) pcall(f) end f()",
	"local function f() return xpcall(f, f) end return f()",
	"local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
	"table.sort({3, 2, 1, 5, 4, 9, 8}, function() return true end)",
	"local t = {} for i = 1, 1e5 do t[i] = i % 7 end while true do table.sort(t, function(a, b) return a < b end) end",
	"while true do redis.call('ping') end",
	"while true do struct.pack('i', 1) end",
	"return struct.unpack('i', 'x', -9223372036854775808)",
	"return struct.unpack('Bc0', 'x', 1e300)",
	"return ('x'):sub(-1e300, 1e300), ('x'):byte(-1e300, 1e300)",
	"return unpack({}, -1e300, 1e300)",
	"return unpack({}, 1e9, 2e9)",
	"return table.concat({}, 'x', 1, 2147483647)",
	"return table.insert({}, -2147483648, 5)",
	"return table.insert({}, 2147483647, 5)",
	"local t = {} t[2^31] = 1 t[2^53] = 1 t[-2^31] = 1 t[1e308] = 1 return #t",
	"return string.format('%99.99f', 1e308)",
	"return error(setmetatable({}, {__tostring = function() while true do end end}))",
	"return load(function() return 'x' end)",
	"local u = newproxy(true) getmetatable(u).__gc = function() while true do end end return u",
}

func TestLimits(t *testing.T) {
	limits := Limits{Instructions: 500_000, StringBytes: 8 << 20}
	for _, source := range append(costly, greedy...) {
		p, err := Compile([]byte(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		first := string(p.Run(canned{t}, nil, nil, Options{Limits: limits}).Append(nil, 3))
		if again := string(p.Run(canned{t}, nil, nil, Options{Limits: limits}).Append(nil, 3)); again != first {
			t.Errorf("%s: first %.200q, then %.200q", source, first, again)
		}
		if strings.Contains(first, "internal error") {
			t.Errorf("%s: %.200q", source, first)
		}
	}
}

func TestLimitIsNotCaught(t *testing.T) {
	p, err := Compile([]byte("pcall(function() while true do end end) return 'caught'"))
	if err != nil {
		t.Fatal(err)
	}
	got := p.Run(canned{t}, nil, nil, Options{Limits: Limits{Instructions: 1000}})
	if want := "ERR script exceeded its limit of 1000 instructions"; got.Text != want {
		t.Errorf("got %q, want %q", got.Text, want)
	}
	stop := func() error { return errors.New("ERR stopped") }
	if got := p.Run(canned{t}, nil, nil, Options{Stop: stop}); got.Text != "ERR stopped" {
		t.Errorf("got %q", got.Text)
	}
}

// FuzzRun runs whatever compiles: it ends, never with a panic, and twice with the same reply.
func FuzzRun(f *testing.F) {
	for _, source := range slices.Concat(readScripts(f), greedy, costly) {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := Compile([]byte(source))
		if err != nil {
			return
		}
		o := Options{Limits: Limits{Instructions: 200_000, StringBytes: 1 << 20}}
		first := string(p.Run(canned{t}, nil, nil, o).Append(nil, 3))
		if again := string(p.Run(canned{t}, nil, nil, o).Append(nil, 3)); again != first {
			t.Errorf("first %.200q, then %.200q", first, again)
		}
		if strings.Contains(first, "internal error") {
			t.Errorf("%.300q", first)
		}
	})
}

// BenchmarkCall is a script that calls one command.
func BenchmarkCall(b *testing.B) {
	p, err := Compile([]byte("return redis.call('incr', KEYS[1])"))
	if err != nil {
		b.Fatal(err)
	}
	keys := [][]byte{[]byte("key")}
	b.ReportAllocs()
	for b.Loop() {
		p.Run(echo{}, keys, nil, Options{})
	}
}

// BenchmarkLoop is a script that calculates.
func BenchmarkLoop(b *testing.B) {
	p, err := Compile([]byte("local t = {} for i = 1, 1000 do t[i] = i * 2 + 1 end local s = 0 for i = 1, #t do s = s + t[i] end return s"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Run(echo{}, nil, nil, Options{})
	}
}
