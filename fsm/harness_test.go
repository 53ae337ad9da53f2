package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

// testExec is a small command set: enough to reach every method of Txn.
func testExec(tx *Txn, args [][]byte) resp.Reply {
	number := func(i int) int64 {
		n, err := strconv.ParseInt(string(args[i]), 10, 64)
		if err != nil {
			tx.Fail(err)
		}
		return n
	}
	switch string(args[0]) {
	case "GET":
		if row := tx.Lookup(args[1]); row != nil {
			return resp.NewBulk(row.Value)
		}
		return resp.Nil
	case "SET": // key value expire-at
		tx.Put(args[1], Row{Kind: String, Value: args[2], ExpireAt: number(3)})
		return resp.OK
	case "INCR":
		row, n := tx.Lookup(args[1]), int64(0)
		next := Row{Kind: String}
		if row != nil {
			n, _ = strconv.ParseInt(string(row.Value), 10, 64)
			next = *row
		}
		next.Value = strconv.AppendInt(nil, n+1, 10)
		tx.Put(args[1], next)
		return resp.NewInt(n + 1)
	case "RANDSET":
		tx.Rand()
		tx.Put(args[1], Row{Kind: String, Value: strconv.AppendUint(nil, tx.Rand(), 10)})
		return resp.OK
	case "DEL":
		return resp.NewBool(tx.Delete(args[1]))
	case "EXPIRE":
		return resp.NewBool(tx.SetExpire(args[1], number(2)))
	case "AT":
		if row := tx.Lookup(args[1]); row != nil {
			return resp.NewInt(row.ExpireAt)
		}
		return resp.NewInt(-2)
	case "FLUSHDB":
		tx.FlushDB(tx.DB())
		return resp.OK
	case "SWAPDB":
		tx.SwapDB(int(number(1)), int(number(2)))
		return resp.OK
	case "SWEEP":
		return resp.NewInt(int64(tx.Sweep(int(number(1)))))
	case "COUNT":
		return resp.ArrayOf(resp.NewInt(tx.Count(tx.DB())), resp.NewInt(tx.Expires(tx.DB())))
	case "NOW":
		return resp.NewInt(tx.Now())
	case "RANDOMKEY":
		return resp.NewBulk(tx.RandomKey(tx.Rand()))
	case "KEYS":
		return resp.BulkArray(scanKeys(tx, 0))
	case "SCAN": // cursor count
		var keys []string
		left := number(2)
		next := tx.Scan(uint64(number(1)), func(key []byte, _ *Row) bool {
			keys = append(keys, string(key))
			left--
			return left > 0
		})
		return resp.ArrayOf(resp.NewInt(int64(next)), resp.BulkArray(keys))
	}
	tx.Fail(fmt.Errorf("unknown command %q", args[0]))
	return resp.Reply{}
}

func scanKeys(tx *Txn, cursor uint64) (keys []string) {
	tx.Scan(cursor, func(key []byte, row *Row) bool {
		keys = append(keys, string(key))
		return true
	})
	slices.Sort(keys)
	return keys
}

// reads are the commands of testExec that change nothing.
var reads = []string{"GET", "AT", "COUNT", "NOW", "RANDOMKEY", "KEYS", "SCAN", "WATCH"}

// call splits a line at spaces: "SET key value 0" on database db.
func call(db int, line string) Call {
	var args [][]byte
	for _, word := range strings.Split(line, " ") {
		args = append(args, []byte(word))
	}
	return Call{DB: db, Args: args, Read: slices.Contains(reads, string(args[0]))}
}

func calls(db int, lines ...string) (list []Call) {
	for _, line := range lines {
		list = append(list, call(db, line))
	}
	return list
}

// remoteEntry is the entry as the nodes see it that did not propose it.
func remoteEntry(index uint64, time int64, list ...Call) Entry {
	return Entry{
		Position: Position{Index: index, Term: 1},
		Time:     time,
		Seed:     index * 77,
		Batches:  []Batch{{Payload: AppendCalls(nil, list)}},
	}
}

// localEntry is the entry as the proposing node sees it.
func localEntry(index uint64, time int64, list ...Call) (Entry, *Request) {
	e := remoteEntry(index, time, list...)
	req := &Request{Calls: list}
	e.Batches[0].Local = req
	return e, req
}

type testLogger struct{ t testing.TB }

func (l testLogger) Infof(string, ...any)              {}
func (l testLogger) Errorf(format string, args ...any) { l.t.Logf(format, args...) }
func (l testLogger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func testOptions(t testing.TB, fs vfs.FS) Options {
	return Options{FS: fs, Dir: "state", CacheBytes: 1 << 20, MemTableBytes: 256 << 10,
		Exec: testExec, Logger: testLogger{t}}
}

func openMachine(t testing.TB, o Options) *Machine {
	t.Helper()
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return m
}

func openMem(t testing.TB) *Machine { return openMachine(t, testOptions(t, vfs.NewMem())) }

// apply runs calls as the next entry of a machine and returns their replies.
func apply(t failer, m *Machine, time int64, list ...Call) []resp.Reply {
	t.Helper()
	e, req := localEntry(m.Applied().Index+1, time, list...)
	if err := m.Apply([]Entry{e}, nil); err != nil {
		t.Fatal(err)
	}
	return req.Replies
}

// failer is what *testing.T, *testing.B and *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// read runs one read call and returns what RESP2 shows of its reply.
func read(t failer, m *Machine, now int64, db int, line string) (text string, agree bool) {
	t.Helper()
	req := &Request{Calls: calls(db, line)}
	agree, err := m.Read(req, now)
	if err != nil {
		t.Fatal(err)
	}
	if agree {
		return "", true
	}
	return show(req.Replies...), false
}

func show(replies ...resp.Reply) string {
	var out []byte
	for _, r := range replies {
		out = r.Append(out, 2)
	}
	return string(bytes.ReplaceAll(out, []byte("\r\n"), []byte(" ")))
}

func wantRead(t failer, m *Machine, now int64, db int, line, want string) {
	t.Helper()
	got, agree := read(t, m, now, db, line)
	if agree || got != want {
		t.Fatalf("%s on %d: got %q (agree %v), want %q", line, db, got, agree, want)
	}
}

func digest(t failer, m *Machine) uint64 {
	t.Helper()
	d, err := m.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rowEntry is an entry with a row, as it comes from the engine.
func rowEntry(space uint32, hash uint64, key []byte, row Row) *entry {
	e := newEntry(space, hash, key)
	e.row = row
	return e
}

// somePacking sets another packing at times: so small or so large a one that most values are on the other side of it.
func somePacking(rt *rapid.T, tx *Txn) {
	if rapid.IntRange(0, 3).Draw(rt, "packing") > 0 {
		return
	}
	some := func(name string, from ...int64) int64 { return rapid.SampledFrom(from).Draw(rt, name) }
	tx.SetSettings(Settings{Packing: Packing{
		HashEntries: some("hash", 0, 3, 512, 1<<40), HashValue: some("hash value", 0, 5, 64, 1<<40),
		IntsetEntries: some("ints", 0, 3, 512, 1<<40),
		SetEntries:    some("set", 0, 3, 128, 1<<40), SetValue: some("set value", 0, 2, 64, 1<<40),
		ZSetEntries: some("zset", 0, 3, 128, 1<<40), ZSetValue: some("zset value", 0, 5, 64, 1<<40),
		ListSize:    some("list", 0, 1, 10, -1, -2, -5, -9),
		StreamBytes: some("bytes", 0, 1, 200, 4096, 1<<40), StreamEntries: some("entries", 1, 10, streamEntriesMost),
	}})
}

const streamEntriesMost = 100
