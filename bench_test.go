package redoubt

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"redoubt/fsm"
)

// openAlone starts a node without others, on a real directory.
func openAlone(t testing.TB) *Node {
	t.Helper()
	n, err := Open(Config{DataDir: t.TempDir(), RaftListen: "127.0.0.1:0", MinFreeDisk: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(n.Err(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// benchRequests returns so many pipelines of one kind, each with keys of its own.
func benchRequests(kind string, count, depth int) []*fsm.Request {
	value := strings.Repeat("v", 64)
	requests := make([]*fsm.Request, count)
	for i := range requests {
		requests[i] = &fsm.Request{}
		for j := range depth {
			c := call("GET", fmt.Sprintf("key:%012d", i*depth+j))
			if kind == "set" || kind == "mixed" && j%2 == 0 {
				c = call("SET", string(c.Args[1]), value)
			}
			requests[i].Calls = append(requests[i].Calls, c)
		}
	}
	return requests
}

// TestNodeAllocations bounds what a command of a long pipeline allocates on its whole way through a
// node, on the average, what comes once for an entry included.
func TestNodeAllocations(t *testing.T) {
	const depth = 256
	n := openAlone(t)
	for _, test := range []struct {
		kind string
		most float64
	}{
		{"set", 1.5}, // the value, which is kept
		{"get", 0.5}, // nothing, but the node does other things meanwhile
	} {
		req := benchRequests(test.kind, 1, depth)[0]
		got := testing.AllocsPerRun(50, func() {
			if err := n.Do(req); err != nil {
				t.Fatal(err)
			}
		}) / depth
		if got > test.most {
			t.Errorf("%s: %v allocations a command", test.kind, got)
		}
		t.Logf("%s: %v allocations a command", test.kind, got)
	}
}

// benchClients is how many goroutines there are for each processor in the parallel benchmarks.
const benchClients = 32

// BenchmarkNode is the whole way of a pipeline of 1 or 32 commands through a node that is alone: the
// log with its sync, raft, the state machine. An operation is a pipeline.
func BenchmarkNode(b *testing.B) {
	for _, bench := range []struct {
		kind  string
		depth int
	}{{"set", 1}, {"set", 32}, {"get", 1}, {"get", 32}, {"mixed", 32}} {
		n := openAlone(b)
		count := benchClients * runtime.GOMAXPROCS(0)
		for _, req := range benchRequests("set", count, bench.depth) {
			if err := n.Do(req); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("%s-%d/serial", bench.kind, bench.depth), func(b *testing.B) {
			requests := benchRequests(bench.kind, count, bench.depth)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := n.Do(requests[i%count]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s-%d/parallel", bench.kind, bench.depth), func(b *testing.B) {
			requests := benchRequests(bench.kind, count, bench.depth)
			var next atomic.Int64
			b.SetParallelism(benchClients)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				req := requests[next.Add(1)-1]
				for p.Next() {
					if err := n.Do(req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
