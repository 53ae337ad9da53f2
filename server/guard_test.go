package server

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

// scriptConn is a connection that delivers bytes in pieces of given sizes and keeps what is
// written to it.
type scriptConn struct {
	net.Conn
	input   []byte
	sizes   func() int
	written bytes.Buffer
	reads   int
}

func (c *scriptConn) Read(p []byte) (int, error) {
	c.reads++
	if len(c.input) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.sizes())], c.input)
	c.input = c.input[n:]
	return n, nil
}

func (c *scriptConn) Write(b []byte) (int, error)    { return c.written.Write(b) }
func (*scriptConn) Close() error                     { return nil }
func (*scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (*scriptConn) SetWriteDeadline(time.Time) error { return nil }

// parsed is what came out of a stream: the commands, in one text, and the violation at its end.
type parsed struct {
	commands []string
	invalid  string
}

// parse sends a stream through the guard and redcon's reader as the server does.
func parse(t testing.TB, input []byte, sizes func() int, bulkMax int64) parsed {
	t.Helper()
	conn := &scriptConn{input: bytes.Clone(input), sizes: sizes}
	l := &limits{budget: newBudget(memoryClientsDefault)}
	l.bulkMax.Store(bulkMax)
	g := newGuard(conn, l, &meter{})
	var p parsed
	g.refuse = func(text string) { p.invalid = text }
	reader := redcon.NewReader(g)
	for {
		commands, err := reader.ReadCommands()
		for _, c := range commands {
			if c.Args == nil {
				t.Fatal("a command without a name")
			}
			p.commands = append(p.commands, fmt.Sprintf("%q", c.Args))
		}
		if len(p.commands) > g.handedOn {
			t.Fatalf("redcon has %d commands, the guard has handed on %d", len(p.commands), g.handedOn)
		}
		if err == nil {
			continue
		}
		if strings.HasPrefix(err.Error(), "Protocol error") {
			t.Fatal("redcon was given what it does not accept:", err)
		}
		if len(p.commands) != g.handedOn {
			t.Fatalf("redcon has %d commands, the guard has handed on %d", len(p.commands), g.handedOn)
		}
		g.release()
		return p
	}
}

func atOnce() int { return 1 << 30 }

// randomly returns pieces of all orders of magnitude.
func randomly(seed uint64) func() int {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() int { return 1 + r.IntN(1<<r.IntN(18)) }
}

const testBulkMax = 1 << 20

var (
	big  = strings.Repeat("x", 200_000)
	wide = append([]string{"MSET"}, slices.Repeat([]string{"word"}, 100_000)...)
)

// guardCases are streams, what the guard makes of them, and the violation at the end.
var guardCases = []struct {
	name, input string
	want        [][]string
	invalid     string
}{
	{"one", request("PING"), [][]string{{"PING"}}, ""},
	{"two", request("PING") + request("GET", "a"), [][]string{{"PING"}, {"GET", "a"}}, ""},
	{"binary", request("SET", "a\r\n\x00", "*1\r\n$4\r\nPING\r\n"),
		[][]string{{"SET", "a\r\n\x00", "*1\r\n$4\r\nPING\r\n"}}, ""},
	{"empty words", request("", ""), [][]string{{"", ""}}, ""},
	{"empty requests", "*0\r\n*-1\r\n*-9223372036854775808\r\n\r\n\n   \r\n" + request("PING") +
		"*0\r\n", [][]string{{"PING"}}, ""},
	{"inline", "PING\r\nset  a\tb\nGET a\n", [][]string{{"PING"}, {"set", "a", "b"}, {"GET", "a"}}, ""},
	{"inline quotes", `set "a b\x41\n\"" 'it\'s\n' p"q r"` + "\n" + `""` + "\n",
		[][]string{{"set", "a bA\n\"", `it's\n`, "pq r"}, {""}}, ""},
	{"inline mixed", "PING\n" + request("GET", "a") + "PING\n", [][]string{{"PING"}, {"GET", "a"}, {"PING"}}, ""},
	{"inline with zero", "a\x00b c\n", [][]string{{"a\x00b", "c"}}, ""},
	{"terminators", "*1\rX$4\rYPINGab*1\r\n$1\r\nxyz", [][]string{{"PING"}, {"x"}}, ""},
	{"big", request("SET", "k", big) + request("PING"), [][]string{{"SET", "k", big}, {"PING"}}, ""},
	{"big twice", request("SET", "k", big) + request("SET", big, big),
		[][]string{{"SET", "k", big}, {"SET", big, big}}, ""},
	{"wide", request(wide...) + request("PING"), [][]string{wide, {"PING"}}, ""},
	{"unfinished", request("PING") + "*2\r\n$3\r\nGET\r\n$1\r\n", [][]string{{"PING"}}, ""},

	{"not a number", request("PING") + "*x\r\n" + request("PING"), [][]string{{"PING"}}, "invalid multibulk length"},
	{"plus", "*+1\r\n", nil, "invalid multibulk length"},
	{"leading zero", "*01\r\n", nil, "invalid multibulk length"},
	{"minus zero", "*-0\r\n", nil, "invalid multibulk length"},
	{"no number", "*\r\n", nil, "invalid multibulk length"},
	{"too many", "*1048577\r\n", nil, "invalid multibulk length"},
	{"far too many", "*9223372036854775808\r\n", nil, "invalid multibulk length"},
	{"20 digits", "*00000000000000000001\r\n", nil, "invalid multibulk length"},
	{"bulk too long", "*1\r\n$1048577\r\n", nil, "invalid bulk length"},
	{"bulk of 2^62", "*2\r\n$3\r\nGET\r\n$4611686018427387904\r\n", nil, "invalid bulk length"},
	{"negative bulk", "*1\r\n$-1\r\n", nil, "invalid bulk length"},
	{"no bulk number", "*1\r\n$\r\n", nil, "invalid bulk length"},
	{"no bulk", "*1\r\n+OK\r\n", nil, "expected '$', got '+'"},
	{"no bulk at all", "*1\r\n\r\n", nil, "expected '$', got ' '"},
	{"missing bulk", "*2\r\n$4\r\nPING\r\n" + request("PING"), nil, "expected '$', got '*'"},
	{"long count", "*" + strings.Repeat("1", 70_000), nil, "too big mbulk count string"},
	{"long length", "*1\r\n$" + strings.Repeat("1", 70_000), nil, "too big bulk count string"},
	{"long line", strings.Repeat("a", 70_000), nil, "too big inline request"},
	{"long ended line", strings.Repeat("a", 70_000) + "\n", nil, "too big inline request"},
	{"open quote", request("PING") + "set \"a\n", [][]string{{"PING"}}, "unbalanced quotes in request"},
	{"text after quote", "set \"a\"b\n", nil, "unbalanced quotes in request"},
	{"too big", request(append([]string{"MSET"}, slices.Repeat([]string{big}, 12)...)...), nil, "too big request"},
}

func TestGuardCommands(t *testing.T) {
	for _, c := range guardCases {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				sizes := randomly(seed)
				switch seed {
				case 0:
					sizes = atOnce
				case 1:
					if len(c.input) < 300_000 {
						sizes = func() int { return 1 }
					}
				}
				got := parse(t, []byte(c.input), sizes, testBulkMax)
				if got.invalid != c.invalid {
					t.Fatalf("seed %d: violation %q, want %q", seed, got.invalid, c.invalid)
				}
				if len(got.commands) != len(c.want) {
					t.Fatalf("seed %d: %d commands, want %d", seed, len(got.commands), len(c.want))
				}
				for i, want := range c.want {
					if got.commands[i] != fmt.Sprintf("%q", want) {
						t.Fatalf("seed %d: command %d is %.100s", seed, i, got.commands[i])
					}
				}
			}
		})
	}
	many := strings.Repeat(request("SET", "key", "v"), 20_000)
	got := parse(t, []byte(many), atOnce, testBulkMax)
	if len(got.commands) != 20_000 || got.invalid != "" {
		t.Fatalf("%d commands and %q of a long pipeline", len(got.commands), got.invalid)
	}
}

// A request of a million words in packets of one byte must not take more than linear time: the
// number of Reads that redcon sees has to stay small.
func TestGuardFillsTheParser(t *testing.T) {
	words := make([]string, 100_000)
	conn := &scriptConn{input: []byte(request(words...)), sizes: func() int { return 7 }}
	l := &limits{budget: newBudget(memoryClientsDefault)}
	l.bulkMax.Store(testBulkMax)
	counter := &countingReader{r: newGuard(conn, l, &meter{})}
	reader := redcon.NewReader(counter)
	commands, err := reader.ReadCommands()
	if err != nil || len(commands) != 1 || len(commands[0].Args) != len(words) {
		t.Fatalf("%d commands, %v", len(commands), err)
	}
	if counter.reads > 20 {
		t.Fatalf("redcon's reader was called %d times", counter.reads)
	}
}

type countingReader struct {
	r     io.Reader
	reads int
}

func (c *countingReader) Read(p []byte) (int, error) {
	c.reads++
	return c.r.Read(p)
}

// FuzzGuard finds bytes that make the guard or redcon panic, that redcon understands otherwise
// than the guard does, or that mean something else when they come in other pieces.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{"PING\r\n", request("SET", "a", "b"), "*0\r\n*1\r\n$4\r\nPING\r\n",
		"*1\r\n$-1\r\n", "*2\r\n$3\r\nGET\r\n$5\r\nab", "set \"a\\x41\" 'b'\n", "*1\rX$1\rYabc*1",
		"*-1\r\n\n\n" + request("GET", "a") + "x\n", request("SET", strings.Repeat("v", 40_000)),
		strings.Repeat("a", 66_000), request("GET", "a") + strings.Repeat(" ", 5000)} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		whole := parse(t, input, atOnce, testBulkMax)
		parts := parse(t, input, randomly(seed), testBulkMax)
		if whole.invalid != parts.invalid || !slices.Equal(whole.commands, parts.commands) {
			t.Fatalf("at once: %q %q\nin parts: %q %q", whole.commands, whole.invalid,
				parts.commands, parts.invalid)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	for _, bench := range []struct{ name, input string }{
		{"get-32", strings.Repeat(request("GET", "key:000000000001"), 32)},
		{"set-32", strings.Repeat(request("SET", "key:000000000001", strings.Repeat("v", 64)), 32)},
		{"get-1000", strings.Repeat(request("GET", "key:000000000001"), 1000)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			l := &limits{budget: newBudget(memoryClientsDefault)}
			l.bulkMax.Store(testBulkMax)
			conn := &loopConn{input: []byte(bench.input)}
			g := newGuard(conn, l, &meter{})
			p := make([]byte, parserBuffer)
			commands := strings.Count(bench.input, "*")
			b.ReportAllocs()
			for b.Loop() {
				conn.at = 0
				for done := 0; done < len(bench.input); {
					n, err := g.Read(p)
					if err != nil {
						b.Fatal(err)
					}
					done += n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*commands), "ns/command")
		})
	}
}

// loopConn delivers its input again and again.
type loopConn struct {
	net.Conn
	input []byte
	at    int
}

func (c *loopConn) Read(p []byte) (int, error) {
	n := copy(p, c.input[c.at:])
	c.at += n
	return n, nil
}

// After a long request, however it came, redcon's reader must not keep the buffer that it needed.
func TestGuardShrinksTheParser(t *testing.T) {
	for _, long := range []string{request("SET", "k", strings.Repeat("v", 1<<20)), // streamed
		request(wide...), strings.Repeat("word ", 13_000) + "\n", // an inline command
		strings.Repeat(request("PING"), 3000) + request("SET", "k", big), // with others before it
	} {
		conn := &scriptConn{input: []byte(long + request("PING")), sizes: atOnce}
		l := &limits{budget: newBudget(memoryClientsDefault)}
		l.bulkMax.Store(testBulkMax)
		g := newGuard(conn, l, &meter{})
		lengths := &lengthReader{r: g}
		reader := redcon.NewReader(lengths)
		for {
			if _, err := reader.ReadCommands(); err != nil {
				break
			}
		}
		if lengths.longest <= keptByParser/2 {
			t.Errorf("%.20q: the parser needed %d bytes", long, lengths.longest)
		}
		if has := max(lengths.before, lengths.last); has > 2*parserBuffer {
			t.Errorf("%.20q: the parser has %d bytes at the end", long, has)
		}
	}
}

// lengthReader notes the capacity of the buffers that it is given.
type lengthReader struct {
	r                     io.Reader
	longest, before, last int
}

func (l *lengthReader) Read(p []byte) (int, error) {
	l.longest, l.before, l.last = max(l.longest, cap(p)), l.last, cap(p)
	return l.r.Read(p)
}
