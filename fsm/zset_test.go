package fsm

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openZSet(tx *Txn, key string) *ZSetValue { return tx.ZSet([]byte(key), tx.Lookup([]byte(key))) }

// show is an element as text, by which -0 and 0 differ.
func (m ScoredMember) show() string {
	return fmt.Sprintf("%.30q %v %d", m.Member, m.Score, len(m.Member))
}

// zsetModel is what should be in a sorted set.
type zsetModel map[string]float64

func (w zsetModel) sorted() []ScoredMember {
	var all []ScoredMember
	for member, score := range w {
		all = append(all, ScoredMember{[]byte(member), score})
	}
	slices.SortFunc(all, ScoredMember.Compare)
	return all
}

// verifyZSet reads a sorted set by all ways there are.
func verifyZSet(t failer, z *ZSetValue, model zsetModel) {
	t.Helper()
	want := model.sorted()
	if z.Len() != int64(len(want)) {
		t.Fatalf("%d members, want %d", z.Len(), len(want))
	}
	i := 0
	same := func(m ScoredMember) {
		t.Helper()
		if i < 0 || i >= len(want) || m.show() != want[i].show() {
			t.Fatalf("place %d of %d is %s", i, len(want), m.show())
		}
	}
	z.Ascend(0, func(m ScoredMember) bool {
		same(m)
		i++
		return true
	})
	if i != len(want) {
		t.Fatalf("Ascend has %d of %d", i, len(want))
	}
	z.Descend(z.Len()-1, func(m ScoredMember) bool {
		i--
		same(m)
		return true
	})
	if i != 0 {
		t.Fatalf("Descend leaves %d", i)
	}
	for i = 0; i < len(want); i += 1 + len(want)/50 {
		m := want[i]
		if rank, score, found := z.Rank(m.Member); !found || rank != int64(i) || score != m.Score {
			t.Fatalf("%s has rank %d, want %d", m.show(), rank, i)
		}
		z.Ascend(int64(i), func(m ScoredMember) bool { same(m); return false })
		z.Descend(int64(i), func(m ScoredMember) bool { same(m); return false })
		verifySearch(t, z, want, m)
	}
	if _, _, found := z.Rank([]byte("none")); found {
		t.Fatalf("Rank finds what is not there")
	}
	verifyZSetScan(t, z, model)
}

// verifySearch looks for what is beside an element.
func verifySearch(t failer, z *ZSetValue, want []ScoredMember, m ScoredMember) {
	t.Helper()
	for _, is := range []func(o ScoredMember) bool{
		func(o ScoredMember) bool { return o.Score >= m.Score },
		func(o ScoredMember) bool { return o.Score > m.Score },
		func(o ScoredMember) bool { return o.Compare(m) > 0 },
	} {
		place := slices.IndexFunc(want, is)
		if place < 0 {
			place = len(want)
		}
		if got := z.First(0, is); got != int64(place) {
			t.Fatalf("First by %s is %d, want %d", m.show(), got, place)
		}
		not := func(o ScoredMember) bool { return !is(o) }
		if got := z.Last(z.Len(), not); got != int64(place-1) {
			t.Fatalf("Last by %s is %d, want %d", m.show(), got, place-1)
		}
	}
}

func verifyZSetScan(t failer, z *ZSetValue, want zsetModel) {
	t.Helper()
	scanned := 0
	for cursor := uint64(0); ; {
		left := 7
		cursor = z.Scan(cursor, func(m ScoredMember) bool {
			scanned++
			left--
			if score, is := want[string(m.Member)]; !is || score != m.Score {
				t.Fatalf("Scan has %s", m.show())
			}
			return left > 0
		})
		if cursor == 0 {
			break
		}
	}
	if scanned != len(want) {
		t.Fatalf("Scan has %d of %d members", scanned, len(want))
	}
}

// zsetCase is a random test of sorted sets and their models.
type zsetCase struct {
	*rapid.T
	want    map[string]zsetModel
	members *rapid.Generator[string]
	scores  *rapid.Generator[float64]
}

// TestZSet does random things to sorted sets that are small, become large, are renamed, copied, overwritten and emptied,
// and to maps.
func TestZSet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		tail := strings.Repeat("x", rapid.SampledFrom([]int{0, 40, 70, 900}).Draw(rt, "tail"))
		number := rapid.IntRange(1, rapid.SampledFrom([]int{5, 100, 140, 2000}).Draw(rt, "members"))
		c := &zsetCase{T: rt, want: map[string]zsetModel{},
			members: rapid.Map(number, func(n int) string { return fmt.Sprint("m", n, tail) }),
			scores: rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1),
				math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324}), rapid.Float64Range(-10, 10))}
		keys := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(1, 15).Draw(rt, "entries") {
			tm.do(func(tx *Txn) { c.step(tx, keys.Draw(rt, "key"), keys.Draw(rt, "to")) })
		}
		tm.check()
		tm.do(func(tx *Txn) {
			for _, key := range []string{"a", "b", "c"} {
				verifyZSet(rt, openZSet(tx, key), c.want[key])
				tx.Delete([]byte(key))
			}
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

func (c *zsetCase) step(tx *Txn, key, to string) {
	somePacking(c.T, tx)
	switch op := rapid.IntRange(0, 14).Draw(c.T, "op"); {
	case op == 0:
		tx.Delete([]byte(key))
		delete(c.want, key)
	case op == 1 && key != to:
		if tx.Rename([]byte(key), []byte(to)) {
			c.want[to] = c.want[key]
			delete(c.want, key)
		}
	case op == 2 && key != to && c.want[key] != nil:
		tx.CopyTo(tx.DB(), []byte(to), *tx.Lookup([]byte(key)))
		c.want[to] = zsetModel{}
		for m, s := range c.want[key] {
			c.want[to][m] = s
		}
	case op == 3:
		c.store(tx, key, to)
	case op == 4:
		tx.SetExpire([]byte(key), 1<<40)
	default:
		c.change(tx, key, op)
	}
	if len(c.want[key]) == 0 {
		delete(c.want, key)
		if tx.Lookup([]byte(key)) != nil {
			c.Fatalf("an empty sorted set is still there")
		}
	}
}

// store puts the upper half of a set in place of another one.
func (c *zsetCase) store(tx *Txn, key, from string) {
	all := c.want[from].sorted()
	half := all[len(all)/2:]
	tx.StoreZSet([]byte(key), half)
	c.want[key] = zsetModel{}
	large := openZSet(tx, key).Large()
	for _, m := range half {
		c.set(key, m.Member, m.Score, large)
	}
}

// set is what happens to the model. A small set has no -0.
func (c *zsetCase) set(key string, member []byte, score float64, large bool) {
	if old, had := c.want[key][string(member)]; had && old == score {
		return
	}
	if score == 0 && !large {
		score = 0
	}
	c.want[key][string(member)] = score
}

// change gives members of a set scores, or deletes most of them.
func (c *zsetCase) change(tx *Txn, key string, op int) {
	z := openZSet(tx, key)
	if c.want[key] == nil {
		c.want[key] = zsetModel{}
	}
	for range rapid.IntRange(1, 300).Draw(c.T, "steps") {
		member := []byte(c.members.Draw(c.T, "member"))
		old, had := c.want[key][string(member)]
		switch {
		case op < 7:
			if z.Delete(member) != had {
				c.Fatalf("Delete %.20q: not %v", member, had)
			}
			delete(c.want[key], string(member))
		case op == 7:
			c.deleteRange(z, key)
		default:
			score := c.scores.Draw(c.T, "score")
			z.Update(member, func(is float64, found bool) (float64, bool) {
				if found != had || is != old {
					c.Fatalf("Update of %.20q: %v %v, want %v %v", member, is, found, old, had)
				}
				return score, true
			})
			c.set(key, member, score, z.Large())
			if got, ok := z.Score(member); !ok || got != score {
				c.Fatalf("Score %.20q after Set: %v", member, got)
			}
		}
	}
	z.Save()
}

func (c *zsetCase) deleteRange(z *ZSetValue, key string) {
	n := int(z.Len())
	from := rapid.IntRange(0, n).Draw(c.T, "from")
	to := min(n, from+rapid.IntRange(0, 20).Draw(c.T, "size"))
	for _, m := range c.want[key].sorted()[from:to] {
		delete(c.want[key], string(m.Member))
	}
	z.DeleteRange(int64(from), int64(to))
}

// TestZSetOrder: the keys of the tree of scores are in the order of the scores, and give them back.
func TestZSetOrder(t *testing.T) {
	scores := []float64{math.Inf(-1), -math.MaxFloat64, -1, -5e-324, 0, 5e-324, 1, math.MaxFloat64, math.Inf(1)}
	for i, score := range scores {
		key := treeScore(ScoredMember{[]byte("m"), score})
		if back := scoredKey(key); back.Score != score || string(back.Member) != "m" {
			t.Errorf("%v comes back as %s", score, back.show())
		}
		if i > 0 && bytes.Compare(treeScore(ScoredMember{[]byte("z"), scores[i-1]}), key) >= 0 {
			t.Errorf("%v is not above %v", score, scores[i-1])
		}
	}
	if a, b := treeScore(ScoredMember{nil, math.Copysign(0, -1)}), treeScore(ScoredMember{}); !bytes.Equal(a, b) {
		t.Errorf("the zeros have different keys")
	}
}

// TestZSetLarge: when Redis would make a skiplist.
func TestZSetLarge(t *testing.T) {
	tm := newTreeMachine(t, 1<<20)
	tm.do(func(tx *Txn) {
		z := openZSet(tx, "k")
		for i := range int(DefaultPacking.ZSetEntries) {
			z.Set(fmt.Append(nil, i), float64(i))
		}
		z.Expect(int(DefaultPacking.ZSetEntries))
		if z.Large() {
			t.Errorf("%d members are large", z.Len())
		}
		z.Set([]byte("one more"), math.Copysign(0, -1))
		z.Save()
		z = openZSet(tx, "k")
		if score, _ := z.Score([]byte("one more")); !z.Large() || !math.Signbit(score) {
			t.Errorf("large %v, score %v", z.Large(), score)
		}
		z.DeleteRange(1, z.Len())
		z.Save()
		if z = openZSet(tx, "k"); !z.Large() || z.Len() != 1 {
			t.Errorf("large %v, %d members", z.Large(), z.Len())
		}
		z = openZSet(tx, "expected")
		z.Expect(int(DefaultPacking.ZSetEntries) + 1)
		z.Set([]byte("m"), 1)
		z.Save()
		if !openZSet(tx, "expected").Large() {
			t.Errorf("a set that was expected to be large is not")
		}
	})
	tm.check()
}
