package raftnode

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"
)

// benchPayload is about what a SET of 64 bytes is in the log.
var benchPayload = bytes.Repeat([]byte("p"), 88)

// BenchmarkEntry is one entry with 1, 32 and 256 proposals.
func BenchmarkEntry(b *testing.B) {
	for _, size := range []int{1, 32, 256} {
		encode := func(data []byte) []byte {
			data = entryHead(data, 1_700_000_000_000, 42)
			for i := range size {
				data = appendProposal(data, 1<<60, uint64(i), benchPayload)
			}
			return data
		}
		data := encode(nil)
		b.Run(fmt.Sprintf("encode-%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data = encode(data[:0])
			}
		})
		b.Run(fmt.Sprintf("decode-%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				if _, _, err := decodeBatch(data, func(_, _ uint64, payload []byte) { n += len(payload) }); err != nil ||
					n != size*len(benchPayload) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// quietLogger is an engine's logger that says nothing as long as all is well.
type quietLogger struct{}

func (quietLogger) Infof(string, ...any)              {}
func (quietLogger) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (quietLogger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func openBenchLog(t testing.TB, fs vfs.FS, dir string) *Log {
	t.Helper()
	l, err := OpenLog(LogOptions{FS: fs, Dir: dir, TailBytes: 1 << 20, MemTableBytes: 64 << 20, Logger: quietLogger{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	return l
}

// benchEntries are entries to append, a few at a time. The log keeps hold of them: when they have all
// been used, it is truncated and they get new numbers.
type benchEntries struct {
	entries []*pb.Entry
	used    int
	next    uint64 // index of the next one
}

func newBenchEntries(dataBytes int) *benchEntries {
	e := &benchEntries{entries: make([]*pb.Entry, 8192), next: InitialPosition.Index + 1}
	data := make([]byte, dataBytes)
	for i := range e.entries {
		e.entries[i] = &pb.Entry{Term: new(InitialPosition.Term), Index: new(uint64), Type: pb.EntryNormal.Enum(), Data: data}
	}
	return e
}

// appendTo appends the next count entries, and a hard state as raft has it for most entries. All entries
// are a multiple of count.
func (e *benchEntries) appendTo(t testing.TB, l *Log, count int, sync bool) {
	if e.used == len(e.entries) {
		if err := l.Truncate(e.next - 1); err != nil {
			t.Fatal(err)
		}
		e.used = 0
	}
	some := e.entries[e.used : e.used+count]
	e.used += count
	for _, one := range some {
		*one.Index = e.next
		e.next++
	}
	if err := l.Append(benchHard, some, sync); err != nil {
		t.Fatal(err)
	}
}

var benchHard = &pb.HardState{Term: new(InitialPosition.Term), Vote: new(uint64(1)), Commit: new(InitialPosition.Index)}

// TestLogAppendAllocations: what an append allocates is there for all the commands of an entry, but it
// comes with every entry.
func TestLogAppendAllocations(t *testing.T) {
	l, e := openBenchLog(t, vfs.NewMem(), "log"), newBenchEntries(128)
	for _, sync := range []bool{false, true} {
		// Without the race detector, which empties the engine's pools, it is none.
		if n := testing.AllocsPerRun(200, func() { e.appendTo(t, l, 16, sync) }); n > 6 {
			t.Errorf("sync %t: %v allocations", sync, n)
		}
	}
}

// BenchmarkLogAppend appends one entry of 128 bytes and of 4 KiB, and 16 of 128 bytes.
func BenchmarkLogAppend(b *testing.B) {
	for _, fs := range []string{"mem", "disk"} {
		for _, sync := range []bool{false, true} {
			for _, shape := range []struct{ count, size int }{{1, 128}, {1, 4096}, {16, 128}} {
				b.Run(fmt.Sprintf("%s/sync=%t/%dx%d", fs, sync, shape.count, shape.size), func(b *testing.B) {
					var l *Log
					if fs == "mem" {
						l = openBenchLog(b, vfs.NewMem(), "log")
					} else {
						l = openBenchLog(b, vfs.Default, b.TempDir())
					}
					e := newBenchEntries(shape.size)
					b.ReportAllocs()
					for b.Loop() {
						e.appendTo(b, l, shape.count, sync)
					}
				})
			}
		}
	}
}
