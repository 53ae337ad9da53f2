package command

import (
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/fsm"
	"redoubt/resp"
)

// benchValue is what the benchmarks store.
var benchValue = make([]byte, 64)

// benchDepth is how many commands a pipeline of the benchmarks has.
const benchDepth = 32

// pipeline is a request that is executed again and again, with a key of its own for each call.
type pipeline struct {
	m       *fsm.Machine
	request fsm.Request
	entries [1]fsm.Entry
}

func newPipeline(t testing.TB, cacheBytes int64) *pipeline {
	t.Helper()
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	state, err := fsm.Open(fsm.Options{FS: vfs.NewMem(), Dir: "state", CacheBytes: cacheBytes, Exec: table.Exec,
		Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	return &pipeline{m: state}
}

// use fills the pipeline with lines in turn; % stands for the number of the call, $ for a value.
func (p *pipeline) use(read bool, lines ...string) *pipeline {
	p.request = fsm.Request{Replies: make([]resp.Reply, 0, benchDepth)}
	for i := range benchDepth {
		args := words(strings.ReplaceAll(lines[i%len(lines)], "%", strconv.Itoa(i/len(lines))))
		for j := range args {
			if string(args[j]) == "$" {
				args[j] = benchValue
			}
		}
		p.request.Calls = append(p.request.Calls, fsm.Call{Args: args, Read: read || string(args[0]) == "GET"})
	}
	p.entries[0].Batches = []fsm.Batch{{Local: &p.request}}
	return p
}

// apply executes the pipeline as the next entry of the log.
func (p *pipeline) apply(t testing.TB) {
	e := &p.entries[0]
	e.Index, e.Term, e.Time = e.Index+1, 1, startTime
	p.check(t, p.m.Apply(p.entries[:], nil))
}

// read executes the pipeline as a read.
func (p *pipeline) read(t testing.TB) {
	_, err := p.m.Read(&p.request, startTime)
	p.check(t, err)
}

func (p *pipeline) check(t testing.TB, err error) {
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.request.Replies {
		if r := &p.request.Replies[i]; r.IsError() {
			t.Fatal(r.Text)
		}
	}
}

// hotWrites are pipelines of writes, with what a command of them may allocate: what it stores. Before
// each of them the keys are set.
var hotWrites = []struct {
	name   string
	lines  []string
	before string
	allocs float64
}{
	{"set", []string{"SET key:% $"}, "SET key:% $", 1},
	{"set-get", []string{"SET key:% $", "GET key:%"}, "SET key:% $", 0.5},
	{"set-ex", []string{"SET key:% $ EX 100"}, "SET key:% $", 1},
	{"incr", []string{"INCR key:%"}, "SET key:% 1000000", 1},
	{"mset-16", []string{"MSET" + strings.Repeat(" key:% $", 16)}, "SET key:% $", 16},
	{"set-append", []string{"SET key:% $", "APPEND key:% $"}, "SET key:% $", 1},
	{"set-del", []string{"SET key:% $", "DEL key:%"}, "SET key:% $", 2.5}, // each SET makes a key
	{"rpush-lpop", []string{"RPUSH list:% $", "LPOP list:%"}, "RPUSH list:% $ $ $", 4},
	{"rpush-lpop-long", []string{"RPUSH list $", "LPOP list"}, "RPUSH list" + strings.Repeat(" $", 2000), 12},
	{"expire", []string{"EXPIRE key:% 100"}, "SET key:% $", 0},
}

// hotReads are pipelines of reads, with what a command may allocate: the engine has pools of its own,
// which the race detector empties, so that its bounds are loose.
var hotReads = []struct {
	name, line string
	cacheBytes int64
	allocs     float64
}{
	{"cached", "GET key:%", 1 << 20, 0},
	{"pebble", "GET key:%", 0, 12},
	{"absent-cached", "GET no:%", 1 << 20, 0},
	{"absent-pebble", "GET no:%", 0, 8},
}

// BenchmarkCommandApply is the state machine with the real commands, without a log. An operation is a
// pipeline of 32 commands.
func BenchmarkCommandApply(b *testing.B) {
	for _, bench := range hotWrites {
		b.Run(bench.name, func(b *testing.B) {
			p := newPipeline(b, 1<<20)
			p.use(false, bench.before).apply(b)
			p.use(false, bench.lines...)
			b.ReportAllocs()
			for b.Loop() {
				p.apply(b)
			}
		})
	}
}

// BenchmarkCommandRead is GET out of the cache, out of Pebble, and of keys that do not exist. An
// operation is a pipeline of 32 commands.
func BenchmarkCommandRead(b *testing.B) {
	for _, bench := range hotReads {
		b.Run(bench.name, func(b *testing.B) {
			p := newPipeline(b, bench.cacheBytes)
			fillForReads(b, p)
			p.use(true, bench.line)
			b.ReportAllocs()
			for b.Loop() {
				p.read(b)
			}
		})
	}
}

// fillForReads sets the keys and has them written to Pebble.
func fillForReads(t testing.TB, p *pipeline) {
	p.use(false, "SET key:% $").apply(t)
	if err := p.m.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestHotCommandsAllocations bounds what a command of a pipeline allocates, on the average.
func TestHotCommandsAllocations(t *testing.T) {
	check := func(t *testing.T, run func(testing.TB), allowed float64) {
		// Tables that grow, and pools that the garbage collector empties, allocate now and then.
		const slack = 0.25
		if n := testing.AllocsPerRun(100, func() { run(t) }) / benchDepth; n > allowed+slack {
			t.Errorf("%v allocations a command, want %v", n, allowed)
		}
	}
	for _, test := range hotWrites {
		t.Run(test.name, func(t *testing.T) {
			p := newPipeline(t, 1<<20)
			p.use(false, test.before).apply(t)
			p.use(false, test.lines...)
			check(t, p.apply, test.allocs)
		})
	}
	for _, test := range hotReads {
		t.Run(test.name, func(t *testing.T) {
			p := newPipeline(t, test.cacheBytes)
			fillForReads(t, p)
			p.use(true, test.line)
			check(t, p.read, test.allocs)
		})
	}
}
