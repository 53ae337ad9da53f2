package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

// treeMachine runs functions on a transaction, each as the call of an entry of its own.
type treeMachine struct {
	t failer
	m *Machine
	f func(tx *Txn)
}

func newTreeMachine(t testing.TB, cacheBytes int64) *treeMachine {
	tm := &treeMachine{t: t}
	o := testOptions(t, vfs.NewMem())
	o.CacheBytes = cacheBytes
	o.BufferBytes = 64 << 10
	o.Exec = func(tx *Txn, _ [][]byte) resp.Reply {
		tm.f(tx)
		return resp.OK
	}
	tm.m = openMachine(t, o)
	return tm
}

func (tm *treeMachine) do(f func(tx *Txn)) {
	tm.t.Helper()
	tm.f = f
	apply(tm.t, tm.m, 1, Call{Args: [][]byte{[]byte("F")}})
}

// pages counts the pages that the engine has of all collections.
func (tm *treeMachine) pages() (n int) {
	tm.t.Helper()
	if err := tm.m.settle(); err != nil {
		tm.t.Fatal(err)
	}
	it, err := tm.m.db.NewIter(nil)
	if err != nil {
		tm.t.Fatal(err)
	}
	defer it.Close()
	for ok := it.SeekGE([]byte{tablePage}); ok && it.Key()[0] == tablePage; ok = it.Next() {
		n++
	}
	return n
}

func (tm *treeMachine) check() {
	tm.t.Helper()
	if _, err := tm.m.Check(func() error { return nil }); err != nil {
		tm.t.Fatal(err)
	}
}

type pair struct{ key, value string }

// verify compares a tree with what should be in it, in both directions and by rank.
func verify(t failer, tr *tree, want []pair) {
	t.Helper()
	var c cursor
	i := 0
	for tr.seekRank(&c, 0); c.valid(); c.forward() {
		if i >= len(want) || string(c.key()) != want[i].key || string(c.value()) != want[i].value || c.rank() != uint64(i) {
			t.Fatalf("entry %d of %d is %.30q at rank %d", i, len(want), c.key(), c.rank())
		}
		i++
	}
	if i != len(want) {
		t.Fatalf("%d entries, want %d", i, len(want))
	}
	for tr.seekRank(&c, uint64(i)); c.back(); {
		i--
		if string(c.key()) != want[i].key {
			t.Fatalf("backwards, entry %d is %.30q", i, c.key())
		}
	}
	if i != 0 {
		t.Fatalf("backwards, %d are missing", i)
	}
	for _, i := range []int{0, len(want) / 3, len(want) - 1} {
		if i < 0 || i >= len(want) {
			continue
		}
		if tr.seekRank(&c, uint64(i)); !c.valid() || string(c.key()) != want[i].key {
			t.Fatalf("rank %d is wrong", i)
		}
	}
}

// depth counts the pages of a tree, and compares the counts in it with what is there.
func countPages(t failer, tr *tree, page uint64) (pages int, entries uint64) {
	t.Helper()
	if page == 0 {
		return 0, 0
	}
	n := tr.tx.page(tr.root, page)
	if n == nil {
		t.Fatalf("page %d: %v", page, tr.tx.err)
	}
	if n.level() == 0 {
		return 1, uint64(n.len())
	}
	pages = 1
	for i := range n.len() {
		c := n.child(i)
		p, e := countPages(t, tr, c.page)
		if e != c.count {
			t.Fatalf("page %d has %d entries, its parent says %d", c.page, e, c.count)
		}
		pages, entries = pages+p, entries+e
	}
	return pages, entries
}

// reachable fails unless the pages that are stored are those of the collection.
func reachable(t failer, tm *treeMachine, all *trees) {
	t.Helper()
	sum := 0
	for i := range all.tree {
		n, entries := countPages(t, &all.tree[i], all.tree[i].top)
		if sum += n; entries != all.tree[i].count {
			t.Fatalf("%d entries in pages, the row has %d", entries, all.tree[i].count)
		}
	}
	if stored := tm.pages(); stored != sum {
		t.Fatalf("%d pages are stored, %d belong to the collection", stored, sum)
	}
}

// TestTree does random things to a tree and to a sorted slice.
func TestTree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 32<<10)
		tm.t = rt
		var wants [collectionTrees][]pair
		tm.do(func(tx *Txn) { tx.Put([]byte("k"), Row{Kind: Hash, Value: tx.newTrees().value(0)}) })
		width := rapid.SampledFrom([]int{1, 30, 700, 5000}).Draw(rt, "width")
		key := rapid.Custom(func(rt *rapid.T) string { return fmt.Sprintf("%05d", rapid.IntRange(0, 3000).Draw(rt, "n")) })
		for range rapid.IntRange(1, 12).Draw(rt, "entries") {
			tm.do(func(tx *Txn) {
				all, at := tx.openTrees(tx.Lookup([]byte("k")).Value), rapid.IntRange(0, collectionTrees-1).Draw(rt, "tree")
				wants[at] = changeTree(rt, &all.tree[at], wants[at], key, width)
				tx.Put([]byte("k"), Row{Kind: Hash, Value: all.value(0)})
				for i := range wants {
					verify(rt, &all.tree[i], wants[i])
				}
			})
		}
		tm.do(func(tx *Txn) { reachable(rt, tm, tx.openTrees(tx.Lookup([]byte("k")).Value)) })
		tm.check()
		tm.do(func(tx *Txn) { tx.Delete([]byte("k")) })
		if stored := tm.pages(); stored != 0 {
			rt.Fatalf("%d pages are left of a deleted collection", stored)
		}
		tm.check()
	})
}

// changeTree sets some entries of a tree, or removes some, or a range of them.
func changeTree(rt *rapid.T, tr *tree, want []pair, key *rapid.Generator[string], width int) []pair {
	if rapid.IntRange(0, 3).Draw(rt, "range") == 0 {
		from := rapid.IntRange(0, len(want)).Draw(rt, "from")
		to := rapid.IntRange(from, len(want)).Draw(rt, "to")
		var gone []pair
		tr.removeRange(uint64(from), uint64(to), func(key, value []byte) { gone = append(gone, pair{string(key), string(value)}) })
		if !slices.Equal(gone, want[from:to]) {
			rt.Fatalf("removeRange took %d entries, want %d", len(gone), to-from)
		}
		return slices.Delete(want, from, to)
	}
	steps, remove := rapid.IntRange(1, 200).Draw(rt, "steps"), rapid.Bool().Draw(rt, "remove")
	for range steps {
		k, v := key.Draw(rt, "key"), strings.Repeat("v", rapid.IntRange(0, width).Draw(rt, "size"))
		i, found := slices.BinarySearchFunc(want, k, func(p pair, k string) int { return strings.Compare(p.key, k) })
		var c cursor
		if got := tr.seek(&c, []byte(k)); got != found {
			rt.Fatalf("seek %s: %v, want %v", k, got, found)
		}
		switch {
		case found && remove:
			c.remove()
			want = slices.Delete(want, i, i+1)
		case found && rapid.Bool().Draw(rt, "move"):
			to := key.Draw(rt, "to")
			at, taken := slices.BinarySearchFunc(want, to, func(p pair, k string) int { return strings.Compare(p.key, k) })
			if taken {
				continue
			}
			c.move([]byte(to), []byte(v))
			want = slices.Insert(want, at, pair{to, v})
			if at <= i {
				i++
			}
			want = slices.Delete(want, i, i+1)
		case found:
			c.set([]byte(v))
			want[i].value = v
		case !remove:
			c.insert([]byte(k), []byte(v))
			want = slices.Insert(want, i, pair{k, v})
		case len(want) > 0: // the next one
			i %= len(want)
			tr.seekRank(&c, uint64(i))
			c.remove()
			want = slices.Delete(want, i, i+1)
		}
	}
	return want
}

// TestTreeOfMany grows a tree at one end, at the other and in the middle, and looks at how full its pages are.
func TestTreeOfMany(t *testing.T) {
	const n = 20_000
	for name, place := range map[string]func(i int) uint64{
		"back": func(i int) uint64 { return uint64(i) }, "front": func(int) uint64 { return 0 },
		"middle": func(i int) uint64 { return uint64(i / 2) },
	} {
		tm := newTreeMachine(t, 1<<20)
		tm.do(func(tx *Txn) {
			all := tx.newTrees()
			tr := &all.tree[0]
			for i := range n {
				var c cursor
				tr.seekRank(&c, place(i))
				c.insert(nil, fmt.Appendf(nil, "element %d", i))
			}
			tx.Put([]byte("k"), Row{Kind: Hash, Value: all.value(0)})
		})
		tm.do(func(tx *Txn) {
			tr := &tx.openTrees(tx.Lookup([]byte("k")).Value).tree[0]
			pages, entries := countPages(t, tr, tr.top)
			if entries != n {
				t.Errorf("%s: %d entries", name, entries)
			}
			if least := n * 18 / pageBytes; pages > 5*least/2 {
				t.Errorf("%s: %d pages, where %d would do", name, pages, least)
			}
			var c cursor
			tr.seekRank(&c, place(n-1))
			if want := fmt.Appendf(nil, "element %d", n-1); !bytes.Equal(c.value(), want) {
				t.Errorf("%s: the last one is %q", name, c.value())
			}
		})
		tm.check()
	}
}
