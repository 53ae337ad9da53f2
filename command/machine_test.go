package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/fsm"
	"redoubt/resp"
)

// startTime is when every test machine's clock starts, in ms since the epoch.
const startTime = 1_700_000_000_000

// machine executes calls on a state machine in memory, as a node of a cluster of one would.
type machine struct {
	t     testing.TB
	table *Table
	fsm   *fsm.Machine
	index uint64
	now   int64
	db    int

	told told

	failed bool // an entry was not applied, after which nothing works
}

func newMachine(t testing.TB, custom ...Spec) *machine {
	t.Helper()
	table, err := NewTable(custom...)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, table: table, now: startTime}
	state, err := fsm.Open(fsm.Options{FS: vfs.NewMem(), Dir: "state", Exec: table.Exec, Observer: &m.told,
		Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	m.fsm = state
	t.Cleanup(func() {
		if err := state.Close(); err != nil && !m.failed {
			t.Error(err)
		}
	})
	return m
}

// quiet is an engine's logger that says nothing as long as all is well.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// words makes a call of a line; @ stands for an empty word.
func words(line string) [][]byte {
	var args [][]byte
	for _, word := range strings.Fields(line) {
		args = append(args, []byte(strings.TrimPrefix(word, "@")))
	}
	return args
}

// entry is a log entry with one call.
func (m *machine) entry(args [][]byte, read bool) (fsm.Entry, *fsm.Request) {
	m.index++
	req := &fsm.Request{
		Calls:   []fsm.Call{{DB: m.db, Args: args, Read: read}},
		Replies: make([]resp.Reply, 1),
	}
	return fsm.Entry{
		Position: fsm.Position{Index: m.index, Term: 1},
		Time:     m.now,
		Seed:     m.index,
		Batches:  []fsm.Batch{{Payload: fsm.AppendCalls(nil, req.Calls), Local: req}},
	}, req
}

// try executes a call at its place in the log.
func (m *machine) try(args [][]byte) (resp.Reply, error) {
	spec := m.table.Find(args)
	entry, req := m.entry(args, spec != nil && spec.Flags&ReadOnly != 0)
	if err := m.fsm.Apply([]fsm.Entry{entry}, nil); err != nil {
		m.failed = true
		return resp.Reply{}, err
	}
	return req.Replies[0], nil
}

// do executes a line and returns the bytes of the reply in RESP3.
func (m *machine) do(line string) string {
	m.t.Helper()
	reply, err := m.try(words(line))
	if err != nil {
		m.t.Fatalf("%s: %v", line, err)
	}
	return string(reply.Append(nil, 3))
}

// expect executes lines, each followed by the reply.
func (m *machine) expect(linesAndReplies ...string) {
	m.t.Helper()
	for i := 0; i < len(linesAndReplies); i += 2 {
		line, want := linesAndReplies[i], linesAndReplies[i+1]
		if got := m.do(line); got != want+"\r\n" {
			m.t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func (m *machine) digest() uint64 {
	m.t.Helper()
	digest, err := m.fsm.Digest()
	if err != nil {
		m.t.Fatal(err)
	}
	return digest
}
