package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

// TestBuild compares trees that were built with those that were inserted, and goes on changing them.
func TestBuild(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		keyed := rapid.Bool().Draw(rt, "keyed")
		sizes := rapid.SampledFrom([]int{0, 3, 200, 1000, pageBytes - 20, pageBytes, 3 * pageBytes})
		keySizes := rapid.SampledFrom([]int{0, 0, 0, 10, 300, 2 * pageBytes})
		var want []pair
		for i := range rapid.SampledFrom([]int{0, 1, 2, 3, 50, 500, 3000}).Draw(rt, "n") {
			p := pair{value: strings.Repeat("v", sizes.Draw(rt, "size"))}
			if keyed {
				p.key = fmt.Sprintf("%s%06d", strings.Repeat("k", keySizes.Draw(rt, "key")), i)
			}
			want = append(want, p)
		}
		slices.SortStableFunc(want, func(a, b pair) int { return strings.Compare(a.key, b.key) })
		var all *trees
		tm.do(func(tx *Txn) {
			all = tx.newTrees()
			b := all.tree[1].build()
			for _, p := range want {
				b.add([]byte(p.key), []byte(p.value))
			}
			b.end()
			verifyBuilt(rt, &all.tree[1], want)
			allFull(rt, &all.tree[1])
			tx.Keep([]byte("k"), Row{Kind: Hash, Value: all.value(formLarge)})
		})
		reachable(rt, tm, all)
		tm.check()
		for range rapid.IntRange(0, 5).Draw(rt, "rounds") {
			tm.do(func(tx *Txn) {
				all = tx.openTrees(tx.Lookup([]byte("k")).Value)
				want = changeSome(rt, &all.tree[1], want, keyed)
				verifyBuilt(rt, &all.tree[1], want)
				tx.Keep([]byte("k"), Row{Kind: Hash, Value: all.value(formLarge)})
			})
		}
		tm.check()
		tm.do(func(tx *Txn) { tx.Delete([]byte("k")) })
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// verifyBuilt is verify, and finds every entry by its key.
func verifyBuilt(t failer, tr *tree, want []pair) {
	t.Helper()
	verify(t, tr, want)
	if _, entries := countPages(t, tr, tr.top); entries != uint64(len(want)) || tr.count != entries {
		t.Fatalf("%d entries, %d by the tree, want %d", entries, tr.count, len(want))
	}
	for _, p := range want {
		var c cursor
		if p.key != "" && (!tr.seek(&c, []byte(p.key)) || string(c.value()) != p.value) {
			t.Fatalf("no %.30q", p.key)
		}
	}
}

// allFull fails if the entries of two pages that follow on each other would fit into one, the last one excepted.
func allFull(t failer, tr *tree) {
	t.Helper()
	levels := map[int][]node{}
	var walk func(page uint64)
	walk = func(page uint64) {
		n := tr.tx.page(tr.root, page)
		levels[n.level()] = append(levels[n.level()], n)
		for i := 0; n.level() > 0 && i < n.len(); i++ {
			walk(n.child(i).page)
		}
	}
	if tr.top != 0 {
		walk(tr.top)
	}
	for level, nodes := range levels {
		for i := 0; i+2 < len(nodes); i++ {
			if next := nodes[i+1]; len(nodes[i])+4+len(next.entries(0, 1)) <= pageBytes {
				t.Fatalf("page %d of level %d has %d bytes only", i, level, len(nodes[i]))
			}
			if level > 0 && nodes[i+1].len() < 2 {
				t.Fatalf("page %d of level %d has one child", i+1, level)
			}
		}
	}
}

// changeSome inserts and removes entries of a tree, and returns what is in it then.
func changeSome(rt *rapid.T, tr *tree, want []pair, keyed bool) []pair {
	want = slices.Clone(want)
	for range rapid.IntRange(1, 100).Draw(rt, "changes") {
		var c cursor
		i := rapid.IntRange(0, len(want)).Draw(rt, "place")
		if rapid.Bool().Draw(rt, "insert") {
			p := pair{value: strings.Repeat("w", rapid.IntRange(0, 500).Draw(rt, "size"))}
			if keyed {
				p.key = fmt.Sprintf("%06d.%d", rapid.IntRange(0, 3000).Draw(rt, "after"), len(want))
				i = sort.Search(len(want), func(i int) bool { return want[i].key >= p.key })
				if i < len(want) && want[i].key == p.key {
					continue
				}
				tr.seek(&c, []byte(p.key))
			} else {
				tr.seekRank(&c, uint64(i))
			}
			c.t = tr
			c.insert([]byte(p.key), []byte(p.value))
			want = slices.Insert(want, i, p)
		} else if i < len(want) {
			tr.seekRank(&c, uint64(i))
			c.remove()
			want = slices.Delete(want, i, i+1)
		}
	}
	return want
}

// TestFill compares collections that were stored as a whole with those to which everything was added one by one, where
// elements may come twice.
func TestFill(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		most := rapid.SampledFrom([]int{3, 128, 129, 512, 513, 2000}).Draw(rt, "most")
		numbers := rapid.IntRange(1, most)
		text := rapid.SampledFrom([]string{"", "", "m", strings.Repeat("m", 60), strings.Repeat("m", 1000)}).Draw(rt, "text")
		odd := rapid.IntRange(0, most).Draw(rt, "odd")
		var members [][]byte
		for i := range rapid.SampledFrom([]int{0, 1, most, most + most/2}).Draw(rt, "n") {
			member := fmt.Sprint(text, numbers.Draw(rt, "number"))
			if i < most && rapid.Bool().Draw(rt, "next") {
				member = fmt.Sprint(text, i)
			}
			if i == odd {
				member = "odd"
			}
			members = append(members, []byte(member))
		}
		tm.do(func(tx *Txn) {
			fillBoth(rt, tx, members)
		})
		tm.check()
		tm.do(func(tx *Txn) {
			for _, key := range []string{"s1", "s2", "h1", "h2", "z1", "z2", "l1", "l2", "x1", "x2"} {
				tx.Delete([]byte(key))
			}
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// fillBoth makes collections of each type in both ways and compares them.
func fillBoth(rt *rapid.T, tx *Txn, members [][]byte) {
	key := func(s string) []byte { return []byte(s) }
	s1, s2 := tx.Set(key("s1"), nil), tx.Set(key("s2"), nil)
	h1, h2 := tx.Hash(key("h1"), nil), tx.Hash(key("h2"), nil)
	x1, x2 := tx.Stream(key("x1"), nil), tx.Stream(key("x2"), nil)
	l1, l2 := tx.List(key("l1"), nil), tx.List(key("l2"), nil)
	z2 := tx.ZSet(key("z2"), nil)
	s1.Fill(slices.Values(members))
	x1.Fill(func(yield func(id StreamID, fields [][]byte) bool) {
		for i, m := range members {
			if !yield(StreamID{MS: uint64(i + 1)}, [][]byte{m, m}) {
				return
			}
		}
	})
	var scored []ScoredMember
	var pairs [][2][]byte
	for i, m := range members {
		if s2.Add(m) {
			pairs = append(pairs, [2][]byte{m, m})
			scored = append(scored, ScoredMember{m, float64(len(members)-i) / 3})
			h2.Set(m, m)
		}
		x2.Add(StreamID{MS: uint64(i + 1)}, [][]byte{m, m})
		l2.Insert(l2.Len(), m)
	}
	fillGroups := func(x *StreamValue) {
		for g := range 2 {
			group := x.CreateGroup(fmt.Append(nil, "g", g), StreamID{MS: 5}, int64(g))
			c := []*StreamConsumer{group.CreateConsumer([]byte("b"), 7), group.CreateConsumer([]byte("a"), 8)}
			c[g].Active = 9
			c[g].Save()
			for i := range members {
				c[i%2].Give(StreamPending{ID: StreamID{MS: uint64(i + 1)}, Time: int64(i), Count: uint64(g)})
			}
		}
	}
	x1.FillGroups(func() { fillGroups(x1) })
	fillGroups(x2)
	h1.Fill(func(yield func(name, value []byte) bool) {
		for _, p := range pairs {
			if !yield(p[0], p[1]) {
				return
			}
		}
	})
	l1.Fill(members)
	for _, m := range scored {
		z2.Set(m.Member, m.Score)
	}
	for _, v := range []interface{ Save() }{s1, s2, h1, h2, x1, x2, l1, l2, z2} {
		v.Save()
	}
	tx.StoreZSet(key("z1"), scored)
	if show1, show2 := shown(rt, tx, "1"), shown(rt, tx, "2"); show1 != show2 {
		rt.Fatalf("%.2000s\n%.2000s", show1, show2)
	}
}

// shown is all that there is to see of the collections whose keys end with n.
func shown(rt *rapid.T, tx *Txn, n string) string {
	var out strings.Builder
	at := func(kind string) ([]byte, *Row) {
		row := tx.Lookup([]byte(kind + n))
		if row != nil {
			fmt.Fprintln(&out, kind, row.Value[0])
		}
		return []byte(kind + n), row
	}
	s := tx.Set(at("s"))
	fmt.Fprintln(&out, s.Len(), s.Large(), s.Intset(), fmt.Sprintf("%q", slices.Collect(func(yield func([]byte) bool) { s.All(yield) })))
	h := tx.Hash(at("h"))
	fmt.Fprintln(&out, h.Len(), h.Large(), contents(rt, h))
	z := tx.ZSet(at("z"))
	fmt.Fprintln(&out, z.Len(), z.Large())
	z.Ascend(0, func(m ScoredMember) bool {
		rank, score, ok := z.Rank(m.Member)
		fmt.Fprintf(&out, "%q %v %d %v %v\n", m.Member, m.Score, rank, score, ok)
		return true
	})
	x := tx.Stream(at("x"))
	fmt.Fprintln(&out, x.Len(), x.LastID, x.Added, x.First(), x.tail.number, x.tail.bytes)
	for e := range x.Range(StreamID{}, MaxStreamID) {
		fmt.Fprintf(&out, "%v %q\n", e.ID, e.Fields)
	}
	for g := range x.Groups() {
		fmt.Fprintf(&out, "%q %v %d %d\n", g.Name, g.LastID, g.Read, g.PendingCount())
		for c := range g.Consumers() {
			fmt.Fprintf(&out, "%q %d %d\n", c.Name, c.Seen, c.Active)
			for p := range c.Pending(StreamID{}) {
				fmt.Fprintln(&out, p)
			}
		}
	}
	l := tx.List(at("l"))
	fmt.Fprintln(&out, l.Len(), l.Large())
	l.Each(0, false, func(_ int64, v []byte) bool {
		fmt.Fprintf(&out, "%q\n", v)
		return true
	})
	return out.String()
}

// BenchmarkFill stores a hash of many fields in one go, and field by field; an operation is one field.
func BenchmarkFill(b *testing.B) {
	const n = 400_000
	fields := make([][]byte, n)
	for i := range fields {
		fields[i] = fmt.Appendf(nil, "field:%d", i)
	}
	value := bytes.Repeat([]byte("v"), 50)
	each := func(yield func(name, value []byte) bool) {
		for _, f := range fields {
			if !yield(f, value) {
				return
			}
		}
	}
	ways := map[string]func(h *HashValue){
		"fill": func(h *HashValue) { h.Fill(each) },
		"set": func(h *HashValue) {
			for f, v := range each {
				h.Set(f, v)
			}
		},
	}
	for name, way := range ways {
		b.Run(name, func(b *testing.B) {
			m := openMachine(b, Options{FS: vfs.Default, Dir: b.TempDir(), CacheBytes: 256 << 20, BlockCacheBytes: 64 << 20,
				Logger: testLogger{b}, Exec: func(tx *Txn, args [][]byte) resp.Reply {
					h := tx.Hash(args[0], nil)
					way(h)
					h.Save()
					return resp.OK
				}})
			for i := 0; i < b.N; i += n {
				apply(b, m, 1, Call{Args: [][]byte{fmt.Appendf(nil, "key %d", i)}})
			}
		})
	}
}
