package script

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// deep makes trees that are as high as the source allows.
func deep(open, inner, end string, levels, chain int) string {
	s := strings.Repeat(open, levels) + inner
	for range levels {
		s += strings.Repeat(end, chain) + ")"
	}
	return s
}

// TestSources compiles what is large or deep: it ends with a program or an error, and not with Go's stack.
func TestSources(t *testing.T) {
	const size = 1 << 20
	units := []string{"(", "a=", "a,", "a.", "a(", "a{", "{", "[", "[[", "[=", "]", "if x then ", "if x then else", "while x do ", "do ", "for i=1,2 do ",
		"repeat ", "function f() ", "function() ", "local function f() ", "local a ", "local a=", "return ", "not ", "-", "--", "#", "..", "1..", "1+", "1^",
		"a and ", "\"", "'\\", "0x", "1e", "a:b", "a:b()", "a()", "a[1]", "a'x'", "a=function() return ", "{{},", "f{", "\n", "\x00", "\xff", "::", "elseif "}
	for _, unit := range units {
		for _, prefix := range []string{"", "return ", "x = "} {
			source := prefix + strings.Repeat(unit, size/len(unit)/8)
			if p, err := Compile([]byte(source)); err == nil {
				p.Run(canned{t}, nil, nil, Options{Limits: Limits{Instructions: 100_000}})
			}
		}
	}
	if _, err := Compile(make([]byte, maxSource+1)); err == nil {
		t.Error("a source without bounds was compiled")
	}
	for _, end := range []string{"+1", ".x", "()", "[1]", ":x()"} {
		for _, open := range []string{"(", "(function() return (", "f(", "{("} {
			source := "return " + deep(open, "f", end, 90, 5000)
			if _, err := Compile([]byte(source)); err == nil {
				t.Errorf("%s...%s... was compiled", open, end)
			}
		}
	}
	p, err := Compile([]byte("local f = ... local function g(n) return " + strings.Repeat("1+", 9000) + "g(n+1) end return g(0)"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Run(canned{t}, nil, nil, Options{}); !strings.Contains(got.Text, "stack overflow") {
		t.Errorf("got %.200q", got.Text)
	}
}

// TestAtOnce has many run the same program and the same library at once; what they share does not change.
func TestAtOnce(t *testing.T) {
	sources := []string{
		"local t = {} for i = 1, 50 do t['k' .. i] = KEYS[1] .. ARGV[1] end return {KEYS[1], #ARGV, cjson.encode(t), tostring(t)}",
		"local c = coroutine.wrap(function(...) coroutine.yield(...) error('x') end) return {c(KEYS[1]), pcall(c)}",
		"redis.call('echo', ARGV[1]) return redis.pcall('incr', 'h')",
		"local function f(n) if n == 0 then return {} end return f(n - 1) end return #f(300) .. string.rep('x', 100):gsub('x', '%0')",
		"while true do end",
		"return {unpack(KEYS), nosuch}",
		"local ok, e = pcall(function() string.x = 1 end) return e .. math.random() .. cmsgpack.unpack(cmsgpack.pack(KEYS))[1]",
	}
	library, err := Load([]byte("#!lua name=x\nlocal n = 0 redis.register_function('f', function(k, a) n = n + 1 return {k[1], a[1], n, redis.call('ping')} end)"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var runs []func(keys, args [][]byte) string
	o := Options{Limits: Limits{Instructions: 20_000}, Name: "f"}
	for _, source := range sources {
		p, err := Compile([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, func(keys, args [][]byte) string { return string(p.Run(canned{t}, keys, args, o).Append(nil, 3)) })
	}
	runs = append(runs, func(keys, args [][]byte) string {
		return string(library.Call("f", canned{t}, keys, args, o).Append(nil, 3))
	})
	arguments := func(i int) (keys, args [][]byte) {
		return [][]byte{fmt.Appendf(nil, "key%d", i%5)}, [][]byte{fmt.Appendf(nil, "%d", i%5), []byte("more")}[:1+i%2]
	}
	want := map[int]string{}
	for i := range 10 * len(runs) {
		keys, args := arguments(i)
		want[i] = runs[i%len(runs)](keys, args)
	}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for n := range 200 {
				i := (n*7 + g) % len(want)
				keys, args := arguments(i)
				got := runs[i%len(runs)](keys, args)
				clear(keys[0])
				if got != want[i] {
					t.Errorf("run %d: got %q, want %q", i, got, want[i])
					return
				}
			}
		})
	}
	all.Wait()
}
