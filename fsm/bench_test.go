package fsm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

// benchExec costs next to nothing itself.
func benchExec(tx *Txn, args [][]byte) resp.Reply {
	switch args[0][0] {
	case 'G':
		if row := tx.Lookup(args[1]); row != nil {
			return resp.NewBulk(row.Value)
		}
		return resp.Nil
	case 'S':
		tx.Put(args[1], Row{Kind: String, Value: args[2]})
		return resp.OK
	}
	tx.Fail(fmt.Errorf("unknown command %q", args[0]))
	return resp.Reply{}
}

const benchValueBytes = 64

func openBench(b *testing.B, cacheBytes int64) *Machine {
	return openMachine(b, Options{FS: vfs.Default, Dir: b.TempDir(), CacheBytes: cacheBytes,
		BlockCacheBytes: 64 << 20, Exec: benchExec, Logger: testLogger{b}})
}

func benchKey(dst []byte, i int) []byte {
	return binary.BigEndian.AppendUint64(append(dst, "key:"...), uint64(i))
}

func benchSet(i int) Call {
	return Call{Args: [][]byte{[]byte("SET"), benchKey(nil, i), make([]byte, benchValueBytes)}}
}

// fill writes keys 0 to n-1 and flushes them to tables.
func fill(b *testing.B, m *Machine, n int) {
	b.Helper()
	for i := 0; i < n; {
		var list []Call
		for ; i < n && len(list) < 1000; i++ {
			list = append(list, benchSet(i))
		}
		if err := m.Apply([]Entry{remoteEntry(m.Applied().Index+1, 1, list...)}, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Flush(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPayload is the calls of a request on their way into the log, and out of it where they are
// checked and executed.
func BenchmarkPayload(b *testing.B) {
	for _, size := range []int{1, 32} {
		list := make([]Call, size)
		for i := range list {
			list[i] = benchSet(i)
		}
		payload := AppendCalls(nil, list)
		b.Run(fmt.Sprintf("encode-%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				payload = AppendCalls(payload[:0], list)
			}
		})
		b.Run(fmt.Sprintf("decode-%d", size), func(b *testing.B) {
			var d decoder
			b.ReportAllocs()
			for b.Loop() {
				if err := d.reset(payload); err != nil {
					b.Fatal(err)
				}
				for ok := true; ok; {
					var err error
					if _, ok, err = d.next(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("check-%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := EachCall(payload, func(Call) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply writes keys in entries of 1, 32 and 256 calls; an operation is one call. Known
// keys exist and are cached, cold ones exist and are not, new ones do not exist.
func BenchmarkApply(b *testing.B) {
	const known = 100_000
	for _, size := range []int{1, 32, 256} {
		for _, kind := range []string{"known", "cold", "new"} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				cache := int64(256 << 20)
				if kind == "cold" {
					cache = 0
				}
				m := openBench(b, cache)
				fill(b, m, known)
				rng := rand.New(rand.NewPCG(1, 2))
				list := make([]Call, size)
				for i := range list {
					list[i] = benchSet(0)
				}
				var payload []byte
				next := known
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n += size {
					for i := range list {
						key := rng.IntN(known)
						if kind == "new" {
							key, next = next, next+1
						}
						list[i].Args[1] = benchKey(list[i].Args[1][:0], key)
					}
					payload = AppendCalls(payload[:0], list)
					e := Entry{Position: Position{m.applied.Index + 1, 1}, Time: 1}
					e.Batches = []Batch{{Payload: payload}}
					if err := m.Apply([]Entry{e}, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRead asks for one key at a time: out of the cache, out of Pebble, and for one that does
// not exist.
func BenchmarkRead(b *testing.B) {
	const keys = 100_000
	for _, test := range []struct {
		name        string
		cache       int64
		first, span int
	}{
		{"cached", 256 << 20, 0, 1000}, {"cached-lfu", 256 << 20, 0, 1000}, {"pebble", 0, 0, keys}, {"absent", 0, keys, keys},
	} {
		b.Run(test.name, func(b *testing.B) {
			m := openBench(b, test.cache)
			fill(b, m, keys)
			m.cache.uses.count.Store(test.name == "cached-lfu")
			req := &Request{Calls: []Call{{Args: [][]byte{[]byte("GET"), nil}, Read: true}}}
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				key := test.first + rng.IntN(test.span)
				req.Calls[0].Args[1] = benchKey(req.Calls[0].Args[1][:0], key)
				if _, err := m.Read(req, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadCachedParallel(b *testing.B) {
	m := openBench(b, 256<<20)
	fill(b, m, 1000)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		req := &Request{Calls: []Call{{Args: [][]byte{[]byte("GET"), nil}, Read: true}}}
		for i := 0; p.Next(); i++ {
			req.Calls[0].Args[1] = benchKey(req.Calls[0].Args[1][:0], i%1000)
			if _, err := m.Read(req, 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func TestCachedReadDoesNotAllocate(t *testing.T) {
	m := openMem(t)
	apply(t, m, 1, calls(0, "SET key value 90000")...)
	req := &Request{Calls: calls(0, "GET key", "GET key")}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := m.Read(req, 5); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 { // the pool of transactions may be emptied by the garbage collector now and then
		t.Errorf("%v allocations a request", n)
	}
}

// The cache is bounded in bytes only if it knows what an entry costs beside its key and value.
func TestEntryOverhead(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := newCache(1 << 40)
	for i := range n {
		key := benchKey(nil, i)
		c.offer(rowEntry(0, keyHash(key), key, Row{Kind: String, Value: make([]byte, benchValueBytes)}), false)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	payload := len(benchKey(nil, 0)) + benchValueBytes
	got := int(after.HeapAlloc-before.HeapAlloc)/n - payload
	t.Logf("%d bytes an entry beside key and value", got)
	if got > entryOverhead || got < entryOverhead/2 {
		t.Errorf("entryOverhead is %d", entryOverhead)
	}
	runtime.KeepAlive(c)
}
