package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

// watchPair is a node that proposes transactions and one that gets their payloads only.
type watchPair struct {
	here, there *Machine
	index       uint64
	now         int64
}

func newWatchPair(t testing.TB) *watchPair {
	return &watchPair{here: openMachine(t, watchOptions(t)), there: openMachine(t, watchOptions(t)), now: 1000}
}

// watchOptions are those of a machine that knows WATCH, too.
func watchOptions(t testing.TB) Options {
	o := testOptions(t, vfs.NewMem())
	o.Exec = func(tx *Txn, args [][]byte) resp.Reply {
		if string(args[0]) != "WATCH" {
			return testExec(tx, args)
		}
		w := tx.Watch(args[1])
		return resp.ArrayOf(resp.NewInt(int64(w.Space)), resp.NewInt(int64(w.Version)))
	}
	return o
}

func (p *watchPair) apply(t failer, reqs ...*Request) {
	t.Helper()
	p.index++
	e := Entry{Position: Position{Index: p.index, Term: 1}, Time: p.now, Seed: p.index}
	other := e
	for _, req := range reqs {
		payload := AppendRequest(nil, req)
		e.Batches = append(e.Batches, Batch{Payload: payload, Local: req})
		other.Batches = append(other.Batches, Batch{Payload: payload})
	}
	for m, e := range map[*Machine]Entry{p.here: e, p.there: other} {
		if err := m.Apply([]Entry{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if here, there := digest(t, p.here), digest(t, p.there); here != there {
		t.Fatalf("the nodes differ after entry %d", p.index)
	}
}

func (p *watchPair) do(t failer, db int, lines ...string) {
	t.Helper()
	p.apply(t, &Request{Calls: calls(db, lines...)})
}

// watch reads a key as WATCH does.
func (p *watchPair) watch(t failer, db int, key string) Watched {
	t.Helper()
	req := &Request{Calls: calls(db, "WATCH "+key)}
	if agree, err := p.here.Read(req, p.now); err != nil || agree {
		t.Fatal(agree, err)
	}
	pair := req.Replies[0].Elems
	return Watched{DB: db, Key: []byte(key), Space: uint32(pair[0].Int), Version: uint64(pair[1].Int)}
}

func TestWatchedKeysDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string // on database 0, between the watch and the transaction
		stale bool
	}{
		{"nothing", nil, false},
		{"another key", []string{"SET other v 0"}, false},
		{"another database", []string{"SWAPDB 3 4"}, false},
		{"written", []string{"SET key v 0"}, true},
		{"the same value again", []string{"SET key old 0"}, true},
		{"deleted", []string{"DEL key"}, true},
		{"deleted and made", []string{"DEL key", "SET key old 0"}, true},
		{"the expiry", []string{"EXPIRE key 100000"}, true},
		{"expired", []string{"EXPIRE key 1"}, true},
		{"flushed", []string{"FLUSHDB"}, true},
		{"swapped with nothing", []string{"SWAPDB 0 1"}, true},
		{"swapped with one of the same version", []string{"SWAPDB 0 2"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newWatchPair(t)
			p.apply(t, &Request{Calls: append(calls(0, "SET key old 0"), calls(2, "SET key old 0")...)})
			watched := []Watched{p.watch(t, 0, "key"), p.watch(t, 0, "none")}
			if len(c.lines) > 0 {
				p.do(t, 0, c.lines...)
			}
			req := &Request{Watched: watched, Calls: calls(0, "GET key", "SET done yes 0", "GET done")}
			p.apply(t, req)
			if req.Stale != c.stale || (len(req.Replies) == 3) == c.stale {
				t.Errorf("stale %v, %d replies", req.Stale, len(req.Replies))
			}
			want := "$3 yes "
			if c.stale {
				want = "$-1 "
			}
			wantRead(t, p.there, p.now, 0, "GET done", want)
			reads := &Request{Watched: watched, Calls: calls(0, "GET key")}
			if _, err := p.here.Read(reads, p.now); err != nil || reads.Stale != c.stale {
				t.Errorf("a read: stale %v, %v", reads.Stale, err)
			}
		})
	}
}

// A transaction sees what the requests before it in the same entry have written.
func TestWatchedKeysInOneEntry(t *testing.T) {
	p := newWatchPair(t)
	p.do(t, 0, "SET key 1 0")
	w := []Watched{p.watch(t, 0, "key")}
	first := &Request{Watched: w, Calls: calls(0, "INCR key")}
	second := &Request{Watched: w, Calls: calls(0, "INCR key")}
	p.apply(t, first, second)
	if first.Stale || !second.Stale {
		t.Errorf("stale: %v and %v", first.Stale, second.Stale)
	}
	wantRead(t, p.here, p.now, 0, "GET key", "$1 2 ")
}

// A watched key whose time comes is gone as soon as the log says so; until then a read of it has to agree on that.
func TestWatchedKeyExpires(t *testing.T) {
	p := newWatchPair(t)
	p.do(t, 0, "SET key v 2000")
	w := []Watched{p.watch(t, 0, "key")}
	req := &Request{Watched: w, Calls: calls(0, "COUNT")}
	if agree, err := p.here.Read(req, 1500); agree || req.Stale || err != nil {
		t.Fatal(agree, req.Stale, err)
	}
	if agree, err := p.here.Read(req, 2000); !agree || err != nil {
		t.Fatal(agree, err)
	}
	p.now = 2000
	late := &Request{Watched: w, Calls: calls(0, "SET done yes 0")}
	p.apply(t, late)
	if !late.Stale {
		t.Error("the key was still there")
	}
	p.do(t, 0, "SET key v 2500")
	p.now = 3000 // past it, and nothing has deleted it
	p.do(t, 0, "SET other v 0")
	gone := p.watch(t, 0, "key")
	if gone.Version != 0 {
		t.Fatal(gone)
	}
	p.do(t, 0, "SWEEP 10")
	again := &Request{Watched: []Watched{gone}, Calls: calls(0, "SET done yes 0")}
	p.apply(t, again)
	if again.Stale {
		t.Error("a key whose time had passed was deleted, and counted as changed")
	}
}

// TestWatchedModel: a transaction runs if and only if the rows that it watched are the same ones, on all nodes.
func TestWatchedModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		here, err := Open(watchOptions(t))
		if err != nil {
			rt.Fatal(err)
		}
		defer here.Close()
		there, err := Open(watchOptions(t))
		if err != nil {
			rt.Fatal(err)
		}
		defer there.Close()
		p := &watchPair{here: here, there: there, now: 1000}
		var watched []Watched
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")
			db := rapid.IntRange(0, 2).Draw(rt, "db")
			switch rapid.IntRange(0, 8).Draw(rt, "step") {
			case 0:
				p.do(rt, db, "SET "+key+" v 0")
			case 1:
				p.do(rt, db, "DEL "+key)
			case 2:
				p.do(rt, db, fmt.Sprintf("SET %s v %d", key, p.now+int64(rapid.IntRange(0, 200).Draw(rt, "ttl"))))
			case 3:
				p.do(rt, db, "SWAPDB 0 1")
			case 4:
				p.do(rt, db, "FLUSHDB")
			case 5:
				p.now += int64(rapid.IntRange(0, 100).Draw(rt, "ms"))
				p.do(rt, db, "SWEEP 1")
			case 6:
				watched = append(watched, p.watch(rt, db, key))
			default:
				req := &Request{Watched: watched, Calls: calls(db, "INCR n", "GET n")}
				same := !slices.ContainsFunc(watched, func(w Watched) bool {
					now := p.watch(rt, w.DB, string(w.Key))
					return now.Version != w.Version || now.Space != w.Space
				})
				if p.apply(rt, req); req.Stale == same {
					rt.Fatalf("stale %v, the keys are the same: %v", req.Stale, same)
				}
				watched = nil
			}
		}
	})
}

func TestPayloadOfWatched(t *testing.T) {
	req := &Request{Calls: calls(5, "GET a", "SET b v 0"), Watched: []Watched{{DB: 1, Key: []byte("k"), Space: 7, Version: 1 << 60},
		{DB: 15, Key: []byte{}}}}
	payload := AppendRequest(nil, req)
	var d decoder
	if err := d.reset(payload); err != nil {
		t.Fatal(err)
	}
	for i := range req.Watched {
		w, err := d.nextWatched()
		if want := &req.Watched[i]; err != nil || w.DB != want.DB || w.Space != want.Space || w.Version != want.Version ||
			!bytes.Equal(w.Key, want.Key) {
			t.Errorf("got %v, %v", w, err)
		}
	}
	list, err := decodeAll(payload)
	if err != nil || len(list) != 1 || string(list[0].Args[0]) != "SET" || list[0].DB != 5 {
		t.Errorf("got %v, %v", list, err)
	}
	for size := range payload {
		if list, err := decodeAll(payload[:size]); err == nil && len(list) > 0 {
			t.Errorf("%d of %d bytes were taken for %v", size, len(payload), list)
		}
	}
	if plain := AppendRequest(nil, &Request{Calls: req.Calls}); !bytes.Equal(plain, AppendCalls(nil, req.Calls)) {
		t.Error("without watched keys there is another payload")
	}
}
