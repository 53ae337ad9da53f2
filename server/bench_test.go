package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/tidwall/redcon"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// BenchmarkLoop is the whole way of a pipeline over loopback, with an engine that costs next to
// nothing.
func BenchmarkLoop(b *testing.B) {
	value := strings.Repeat("v", 64)
	for _, bench := range []struct{ name, request, reply string }{
		{"ping", request("PING"), "+PONG\r\n"},
		{"get", request("GET", "key:000000000001"), "$64\r\n" + value + "\r\n"},
		{"set", request("SET", "key:000000000001", value), "+OK\r\n"},
	} {
		for _, depth := range []int{1, 32, 1000} {
			b.Run(fmt.Sprintf("%s-%d", bench.name, depth), func(b *testing.B) {
				s := startServer(b, Config{})
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				s.engine.dbs[0]["key:000000000001"] = []byte(value)
				out := []byte(strings.Repeat(bench.request, depth))
				in := make([]byte, len(bench.reply)*depth)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := conn.Write(out); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(conn, in); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/command")
			})
		}
	}
}

// pipelines are what the stages of a server are measured with.
var pipelines = []struct{ name, request string }{
	{"get", request("GET", "key:000000000001")},
	{"set", request("SET", "key:000000000001", strings.Repeat("v", 64))},
}

// BenchmarkParse is the guard and redcon's reader. An operation is a pipeline of 32 commands.
func BenchmarkParse(b *testing.B) {
	const depth = 32
	for _, bench := range pipelines {
		b.Run(bench.name, func(b *testing.B) {
			conn := &loopConn{input: []byte(strings.Repeat(bench.request, depth))}
			reader := redcon.NewReader(newGuard(conn, testLimits(), &meter{}))
			b.ReportAllocs()
			for b.Loop() {
				conn.at = 0
				for done := 0; done < depth; {
					commands, err := reader.ReadCommands()
					if err != nil {
						b.Fatal(err)
					}
					done += len(commands)
				}
			}
		})
	}
}

func testLimits() *limits {
	l := &limits{budget: newBudget(memoryClientsDefault)}
	l.bulkMax.Store(testBulkMax)
	return l
}

// instantEngine answers at once.
type instantEngine struct {
	*fakeEngine
	value resp.Reply
}

func (e instantEngine) Do(req *fsm.Request) error {
	for i := range req.Calls {
		if req.Calls[i].Read {
			req.Replies = append(req.Replies, e.value)
		} else {
			req.Replies = append(req.Replies, resp.OK)
		}
	}
	return nil
}

// dispatch returns what takes parsed commands of this kind from their names to the bytes of their
// replies, with an engine that costs nothing.
func dispatch(t testing.TB, raw string, depth int) func() {
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, table, instantEngine{newFakeEngine(), resp.NewBulk(make([]byte, 64))})
	commands, err := redcon.NewReader(strings.NewReader(strings.Repeat(raw, depth))).ReadCommands()
	if err != nil || len(commands) != depth {
		t.Fatal(len(commands), err)
	}
	session := newSession(s, newGuard(nil, testLimits(), &meter{}), 1)
	session.workspace = &workspace{request: &fsm.Request{}}
	return func() {
		for rest := commands; len(rest) > 0; {
			rest = rest[session.segment(rest):]
		}
		session.out = session.out[:0]
	}
}

// BenchmarkDispatch is a session without parser, engine and socket. An operation is a pipeline of 32
// commands.
func BenchmarkDispatch(b *testing.B) {
	for _, bench := range pipelines {
		b.Run(bench.name, func(b *testing.B) {
			run := dispatch(b, bench.request, 32)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

func TestDispatchDoesNotAllocate(t *testing.T) {
	for _, test := range pipelines {
		if n := testing.AllocsPerRun(100, dispatch(t, test.request, 32)); n != 0 {
			t.Errorf("%s: %v allocations a pipeline", test.name, n)
		}
	}
}
