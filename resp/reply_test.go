package resp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The bytes were taken from a live Redis (DEBUG PROTOCOL and ordinary commands); the digits of
// doubles are those of Redis 7.2.
var encodings = []struct {
	name  string
	reply Reply
	resp2 string
	resp3 string
}{
	{"ok", OK, "+OK\r\n", "+OK\r\n"},
	{"simple with line break", NewSimple("a\r\n+b"), "+a  +b\r\n", "+a  +b\r\n"},
	{"error", NewError("ERR syntax error"), "-ERR syntax error\r\n", "-ERR syntax error\r\n"},
	{"error with line break", NewError("ERR x\r\n:1"), "-ERR x  :1\r\n", "-ERR x  :1\r\n"},
	{"integer", NewInt(12345), ":12345\r\n", ":12345\r\n"},
	{"lowest integer", NewInt(math.MinInt64), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"},
	{"bulk", NewBulk([]byte("Hello World")), "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"},
	{"binary bulk", NewBulkString("\x00\r\n\xff"), "$4\r\n\x00\r\n\xff\r\n", "$4\r\n\x00\r\n\xff\r\n"},
	{"empty bulk", NewBulk([]byte{}), "$0\r\n\r\n", "$0\r\n\r\n"},
	{"nil bytes", NewBulk(nil), "$0\r\n\r\n", "$0\r\n\r\n"},
	{"null", Nil, "$-1\r\n", "_\r\n"},
	{"null array", NilArray, "*-1\r\n", "_\r\n"},
	{"none", Reply{}, "", ""},
	{"none inside", ArrayOf(Reply{}, OK), "*2\r\n$-1\r\n+OK\r\n", "*2\r\n_\r\n+OK\r\n"},
	{"array", ArrayOf(NewInt(0), NewInt(1), NewInt(2)),
		"*3\r\n:0\r\n:1\r\n:2\r\n", "*3\r\n:0\r\n:1\r\n:2\r\n"},
	{"empty array", NewArray(nil), "*0\r\n", "*0\r\n"},
	{"strings", BulkArray([]string{"a", ""}), "*2\r\n$1\r\na\r\n$0\r\n\r\n", "*2\r\n$1\r\na\r\n$0\r\n\r\n"},
	{"nested", ArrayOf(ArrayOf(Nil), NilArray), "*2\r\n*1\r\n$-1\r\n*-1\r\n", "*2\r\n*1\r\n_\r\n_\r\n"},
	{"set", NewSet([]Reply{NewInt(0), NewInt(1), NewInt(2)}),
		"*3\r\n:0\r\n:1\r\n:2\r\n", "~3\r\n:0\r\n:1\r\n:2\r\n"},
	{"map", NewMap([]Reply{NewInt(0), NewBool(false), NewInt(1), NewBool(true), NewInt(2), NewBool(false)}),
		"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"},
	{"map without last value", NewMap([]Reply{NewInt(0), NewInt(1), NewInt(2)}),
		"*2\r\n:0\r\n:1\r\n", "%1\r\n:0\r\n:1\r\n"},
	{"pairs", NewPairs([]Reply{NewBulkString("a"), NewInt(1), NewBulkString("b"), NewInt(2)}),
		"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n", "*2\r\n*2\r\n$1\r\na\r\n:1\r\n*2\r\n$1\r\nb\r\n:2\r\n"},
	{"pair map", NewPairMap([]Reply{NewBulkString("a"), NewSet([]Reply{NewInt(1)})}),
		"*1\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n$1\r\na\r\n~1\r\n:1\r\n"},
	{"push", NewPush([]Reply{NewBulkString("server-cpu-usage"), NewInt(42)}),
		"*2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n", ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"},
	{"true", NewBool(true), ":1\r\n", "#t\r\n"},
	{"false", NewBool(false), ":0\r\n", "#f\r\n"},
	{"double", NewDouble(3.141), "$5\r\n3.141\r\n", ",3.141\r\n"},
	{"bignum", NewBigNumber("1234567999999999999999999999999999999"),
		"$37\r\n1234567999999999999999999999999999999\r\n", "(1234567999999999999999999999999999999\r\n"},
	{"verbatim", NewVerbatim("txt", "This is a verbatim\nstring"),
		"$25\r\nThis is a verbatim\nstring\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n"},
}

func TestAppend(t *testing.T) {
	for _, test := range encodings {
		t.Run(test.name, func(t *testing.T) {
			if got := string(test.reply.Append([]byte("before"), 2)); got != "before"+test.resp2 {
				t.Errorf("RESP2: got %q, want %q", got, test.resp2)
			}
			if got := string(test.reply.Append(nil, 3)); got != test.resp3 {
				t.Errorf("RESP3: got %q, want %q", got, test.resp3)
			}
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1<<10)
	for _, test := range encodings {
		for _, proto := range []int{2, 3} {
			if n := testing.AllocsPerRun(10, func() { test.reply.Append(dst, proto) }); n != 0 {
				t.Errorf("%s, RESP%d: %v allocations", test.name, proto, n)
			}
		}
	}
}

func TestDoubles(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "-0", 1: "1", -1: "-1", 2.5: "2.5", 0.1: "0.1",
		0.30000000000000004: "0.30000000000000004", -0.001: "-0.001", 1e-5: "0.00001", 1e-7: "1e-7",
		5e-324: "5e-324", 1e16: "10000000000000000", 1e17: "100000000000000000",
		9007199254740993: "9007199254740992", 1e19: "1e+19", 1e20: "1e+20", -1e21: "-1e+21",
		1.5e300: "1.5e+300", 1.7976931348623157e308: "1.7976931348623157e+308",
		math.Inf(1): "inf", math.Inf(-1): "-inf",
	} {
		if got := string(AppendDouble(nil, f)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := string(AppendDouble(nil, math.NaN())); got != "nan" {
		t.Errorf("got %s, want nan", got)
	}
}

func TestIsError(t *testing.T) {
	if !NewError("ERR x").IsError() || OK.IsError() || (Reply{}).IsError() {
		t.Error("only errors are errors")
	}
}

// FuzzAppend checks that no text can break the framing of a line, that doubles read back as they
// were, and that nothing panics.
func FuzzAppend(f *testing.F) {
	f.Add(uint8(Error), int64(1), 1.5, "ERR\r\n", []byte("x"))
	f.Add(uint8(Map), int64(0), 1e-300, "", []byte(nil))
	f.Add(uint8(200), int64(-1), math.Inf(-1), "txt:", []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, n int64, float float64, text string, b []byte) {
		leaf := Reply{Kind: Kind(kind), Int: n, Float: float, Text: text, Bytes: b}
		for _, proto := range []int{2, 3} {
			leaf.Elems = nil
			got := string(leaf.Append(nil, proto))
			if (leaf.Kind == Simple || leaf.Kind == Error) &&
				strings.IndexAny(got, "\r\n") != len(got)-len(crlf) {
				t.Fatalf("broken line: %q", got)
			}
			leaf.Elems = []Reply{leaf, OK, leaf}
			leaf.Append(nil, proto)
		}
		back, err := strconv.ParseFloat(string(AppendDouble(nil, float)), 64)
		if err != nil || back != float && !math.IsNaN(float) {
			t.Fatalf("%v came back as %v, %v", float, back, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, bench := range []struct {
		name  string
		reply Reply
	}{
		{"ok", OK}, {"integer", NewInt(12345)}, {"null", Nil}, {"error", NewError("ERR syntax error")},
		{"bulk-64", NewBulk(make([]byte, 64))}, {"bulk-4096", NewBulk(make([]byte, 4096))},
		{"array-16", NewArray(slices.Repeat([]Reply{NewBulk(make([]byte, 64))}, 16))},
		{"map-4", NewMap(slices.Repeat([]Reply{NewBulkString("field"), NewInt(1)}, 4))}, {"double", NewDouble(3.141)},
	} {
		for _, proto := range []int{2, 3} {
			b.Run(fmt.Sprintf("%s/resp%d", bench.name, proto), func(b *testing.B) {
				dst := make([]byte, 0, 8<<10)
				b.ReportAllocs()
				for b.Loop() {
					dst = bench.reply.Append(dst[:0], proto)
				}
			})
		}
	}
}
