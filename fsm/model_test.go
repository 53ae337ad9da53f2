package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// model is what the keyspace should be: maps in memory.
type model struct {
	now int64
	dbs [Databases]map[string]modelRow
}

type modelRow struct {
	value    string
	expireAt int64
}

func newModel() *model {
	s := &model{}
	for i := range s.dbs {
		s.dbs[i] = map[string]modelRow{}
	}
	return s
}

// live returns the row of a key whose time has not passed.
func (s *model) live(db int, key string) (modelRow, bool) {
	row, ok := s.dbs[db][key]
	return row, ok && (row.expireAt == 0 || row.expireAt > s.now)
}

func (s *model) keys(db int) (keys []string, expires int) {
	for key := range s.dbs[db] {
		if row, ok := s.live(db, key); ok {
			keys = append(keys, key)
			if row.expireAt != 0 {
				expires++
			}
		}
	}
	slices.Sort(keys)
	return keys, expires
}

// run executes a call and returns the expected reply as show prints it, "" for any.
func (s *model) run(c Call) string {
	key := ""
	if len(c.Args) > 1 {
		key = string(c.Args[1])
	}
	bulk := func(v string) string { return fmt.Sprintf("$%d %s ", len(v), v) }
	row, ok := s.live(c.DB, key)
	switch string(c.Args[0]) {
	case "GET":
		if !ok {
			return "$-1 "
		}
		return bulk(row.value)
	case "SET":
		at, _ := strconv.ParseInt(string(c.Args[3]), 10, 64)
		s.dbs[c.DB][key] = modelRow{string(c.Args[2]), at}
		return "+OK "
	case "INCR":
		if !ok {
			row = modelRow{}
		}
		n, _ := strconv.Atoi(row.value)
		row.value = strconv.Itoa(n + 1)
		s.dbs[c.DB][key] = row
		return fmt.Sprintf(":%d ", n+1)
	case "DEL":
		delete(s.dbs[c.DB], key)
		return map[bool]string{true: ":1 ", false: ":0 "}[ok]
	case "EXPIRE":
		if !ok {
			return ":0 "
		}
		row.expireAt, _ = strconv.ParseInt(string(c.Args[2]), 10, 64)
		s.dbs[c.DB][key] = row
		return ":1 "
	case "FLUSHDB":
		s.dbs[c.DB] = map[string]modelRow{}
		return "+OK "
	case "SWAPDB":
		a, b := int(c.Args[1][0]-'0'), int(c.Args[2][0]-'0')
		s.dbs[a], s.dbs[b] = s.dbs[b], s.dbs[a]
		return "+OK "
	case "COUNT":
		keys, expires := s.keys(c.DB)
		return fmt.Sprintf("*2 :%d :%d ", len(keys), expires)
	case "KEYS":
		keys, _ := s.keys(c.DB)
		out := fmt.Sprintf("*%d ", len(keys))
		for _, k := range keys {
			out += bulk(k)
		}
		return out
	}
	return "" // SWEEP: how much is left to delete depends on what was met before
}

// drawCall makes a call on few keys and two databases, so that they meet.
func drawCall(t *rapid.T, now int64) Call {
	db := rapid.IntRange(0, 1).Draw(t, "db")
	key := rapid.SampledFrom([]string{"a", "b", "c", "{t}1", "{t}2", "\x00\xff", ""}).Draw(t, "key")
	at := int64(0)
	if rapid.Bool().Draw(t, "volatile") {
		at = now + rapid.Int64Range(-5, 40).Draw(t, "ttl")
	}
	switch rapid.SampledFrom([]string{"SET", "SET", "GET", "GET", "INCR", "DEL", "EXPIRE", "COUNT",
		"KEYS", "SWEEP", "FLUSHDB", "SWAPDB"}).Draw(t, "command") {
	case "SET":
		return call(db, fmt.Sprintf("SET %s %d %d", key, rapid.IntRange(0, 99).Draw(t, "value"), at))
	case "GET":
		return call(db, "GET "+key)
	case "INCR":
		return call(db, "INCR "+key)
	case "DEL":
		return call(db, "DEL "+key)
	case "EXPIRE":
		return call(db, fmt.Sprintf("EXPIRE %s %d", key, at))
	case "COUNT":
		return call(db, "COUNT")
	case "KEYS":
		return call(db, "KEYS")
	case "SWEEP":
		return call(db, fmt.Sprintf("SWEEP %d", rapid.IntRange(0, 5).Draw(t, "limit")))
	case "FLUSHDB":
		return call(db, "FLUSHDB")
	}
	return call(db, "SWAPDB 0 1")
}

// drawLog makes entries and what the model answers to their calls.
func drawLog(t *rapid.T) (log [][]Call, times []int64, replies [][]string, end *model) {
	s := newModel()
	for range rapid.IntRange(1, 25).Draw(t, "entries") {
		at := max(s.now+rapid.Int64Range(-10, 20).Draw(t, "step"), 1000)
		s.now = max(s.now, at)
		var list []Call
		var want []string
		for range rapid.IntRange(0, 8).Draw(t, "calls") {
			c := drawCall(t, s.now)
			list = append(list, c)
			want = append(want, s.run(c))
		}
		log, times, replies = append(log, list), append(times, at), append(replies, want)
	}
	return log, times, replies, s
}

// The proposer, which applies entry by entry and runs reads in between, answers as the model does;
// a follower that applies them in other batches, and one that loses what was not durable every now
// and then, hold the same state. After every entry all of them have the same hash, and the rows of one
// that is looked into after each add up to its sums.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log, times, replies, end := drawLog(r)
		var entries []Entry
		for i, list := range log {
			entries = append(entries, remoteEntry(uint64(i+1), times[i], list...))
		}
		proposer := openMachine(t, drawOptions(r, t, vfs.NewMem()))
		sofar := newModel()
		for i, list := range log {
			e, req := localEntry(uint64(i+1), times[i], list...)
			if err := proposer.Apply([]Entry{e}, nil); err != nil {
				r.Fatal(err)
			}
			for j := range list {
				if got := show(req.Replies[j]); replies[i][j] != "" && got != replies[i][j] {
					r.Fatalf("entry %d, %q: got %q, want %q", i+1, list[j].Args, got, replies[i][j])
				}
			}
			sofar.now = max(sofar.now, times[i])
			for _, c := range list {
				sofar.run(c)
			}
			line := rapid.SampledFrom([]string{"COUNT", "KEYS", "GET a", "GET {t}2"}).Draw(r, "read")
			wantRead(r, proposer, 0, i%2, line, sofar.run(call(i%2, line)))
		}
		for db := range 2 {
			for _, line := range []string{"COUNT", "KEYS"} {
				wantRead(r, proposer, 0, db, line, end.run(call(db, line)))
			}
		}
		hashes := checkedHashes(r, t, entries)
		wantHashes(r, proposer, hashes)
		want := digest(r, proposer)
		follower := openMachine(t, drawOptions(r, t, vfs.NewMem()))
		if got := applyInBatches(r, follower, entries); got != want {
			r.Fatal("the follower's state differs")
		}
		wantHashes(r, follower, hashes)
		if got := applyWithCrashes(r, t, entries, hashes); got != want {
			r.Fatal("the state after crashes differs")
		}
		if err := proposer.Close(); err != nil {
			r.Fatal(err)
		}
	})
}

// drawOptions makes machines in which a row is found in each of the places where it may be.
func drawOptions(r *rapid.T, t *testing.T, fs vfs.FS) Options {
	o := testOptions(t, fs)
	o.CacheBytes = rapid.SampledFrom([]int64{0, cacheShards * (shardFraction*entryOverhead + 32), 1 << 20}).Draw(r, "cache")
	o.BufferBytes = rapid.SampledFrom([]int64{1, 3 * entryOverhead, 0}).Draw(r, "buffer")
	return o
}

func applyInBatches(r *rapid.T, m *Machine, entries []Entry) uint64 {
	for len(entries) > 0 {
		n := rapid.IntRange(1, len(entries)).Draw(r, "batch")
		if err := m.Apply(entries[:n], nil); err != nil {
			r.Fatal(err)
		}
		entries = entries[n:]
	}
	return digest(r, m)
}

// applyWithCrashes loses some of what was not synced again and again, and goes on from the position
// that the machine then says it is at, which is never before what it called durable.
func applyWithCrashes(r *rapid.T, t *testing.T, entries []Entry, hashes map[uint64]uint64) uint64 {
	fs := vfs.NewCrashableMem()
	m := openMachine(t, drawOptions(r, t, fs))
	crashes := rapid.IntRange(0, 3).Draw(r, "crashes")
	for {
		done := int(m.Applied().Index)
		if done == len(entries) && crashes == 0 {
			wantHashes(r, m, hashes)
			wantWhole(r, m)
			return digest(r, m)
		}
		if done < len(entries) {
			n := rapid.IntRange(done+1, len(entries)).Draw(r, "to")
			if err := m.Apply(entries[done:n], nil); err != nil {
				r.Fatal(err)
			}
		}
		if crashes == 0 {
			continue
		}
		if rapid.Bool().Draw(r, "flush") {
			if err := m.Flush(); err != nil {
				r.Fatal(err)
			}
		}
		durable, err := m.Durable()
		if err != nil {
			r.Fatal(err)
		}
		crashes--
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		if err := m.Close(); err != nil {
			r.Fatal(err)
		}
		m = openMachine(t, drawOptions(r, t, fs))
		if m.Applied().Index < durable.Index {
			r.Fatalf("at %d after a crash, %d was durable", m.Applied().Index, durable.Index)
		}
	}
}
