package fsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCompleteCache follows a machine from the time when its cache holds every row to the time when
// it does not, and checks that no row is taken for absent because it left the cache.
func TestCompleteCache(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(t, fs)
	o.CacheBytes = 64 * (entryOverhead + 32) * 8 // some eight small rows in each shard
	m := openMachine(t, o)
	if !m.cache.complete.Load() {
		t.Fatal("the cache of an empty machine does not count as complete")
	}
	const n = 2000
	set := func(from, to int) {
		var list []Call
		for i := from; i < to; i++ {
			list = append(list, call(0, fmt.Sprintf("SET key%d value%d 0", i, i)))
		}
		apply(t, m, 1, list...)
	}
	check := func(m *Machine, to int) {
		t.Helper()
		for i := range to {
			wantRead(t, m, 0, 0, fmt.Sprintf("GET key%d", i), fmt.Sprintf("$%d value%d ", len(fmt.Sprint("value", i)), i))
		}
		wantRead(t, m, 0, 0, fmt.Sprintf("GET key%d", n), "$-1 ")
		wantRead(t, m, 0, 0, "COUNT", fmt.Sprintf("*2 :%d :0 ", to))
	}
	set(0, 20)
	if !m.cache.complete.Load() {
		t.Fatal("the cache lost a row")
	}
	check(m, 20)
	set(20, n)
	if m.cache.complete.Load() {
		t.Fatal("a cache that let rows go counts as complete")
	}
	set(0, n) // overwriting rows that left the cache must not count them twice
	check(m, n)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, o)
	if m.cache.complete.Load() {
		t.Fatal("an empty cache counts as complete though there are rows")
	}
	check(m, n)
	apply(t, m, 2, call(0, "FLUSHDB"))
	if !m.cache.complete.Load() {
		t.Fatal("an empty machine's cache does not count as complete")
	}
	wantRead(t, m, 0, 0, "GET key1", "$-1 ")
	set(0, 20)
	check(m, 20)
}

// TestCacheCollision stores two keys that share a place in the cache.
func TestCacheCollision(t *testing.T) {
	c := newCache(1 << 20)
	c.complete.Store(true)
	a := rowEntry(1, 42, []byte("a"), Row{Kind: String})
	b := rowEntry(1, 42, []byte("b"), Row{Kind: String})
	c.offer(a, false)
	c.remove(b)
	if c.get(1, 42, []byte("a"), false) != a || !c.complete.Load() {
		t.Fatal("removing one key took out another")
	}
	c.offer(b, false)
	if c.get(1, 42, []byte("a"), false) != nil || c.get(1, 42, []byte("b"), false) != b {
		t.Fatal("two keys in one place")
	}
	if c.complete.Load() {
		t.Fatal("a row left the cache, which still counts as complete")
	}
}
