package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestTreeLongKeys: keys of which two do not fit into a page, and which differ only at their end, make no tree of nodes with
// one child each.
func TestTreeLongKeys(t *testing.T) {
	const entries = 500
	tm := newTreeMachine(t, 1<<20)
	tm.do(func(tx *Txn) {
		trees := tx.newTrees()
		tr := &trees.tree[0]
		order := rand.New(rand.NewPCG(1, 2)).Perm(entries)
		var want []pair
		for _, i := range order {
			key := strings.Repeat("x", 3000) + fmt.Sprint(i)
			var c cursor
			if tr.seek(&c, []byte(key)) {
				t.Fatalf("%d is there", i)
			}
			c.insert([]byte(key), nil)
			want = append(want, pair{key, ""})
		}
		slices.SortFunc(want, func(a, b pair) int { return strings.Compare(a.key, b.key) })
		verify(t, tr, want)
		var c cursor
		tr.seekRank(&c, 0)
		if c.depth > 8 {
			t.Errorf("%d levels", c.depth)
		}
		for _, i := range order {
			if !tr.seek(&c, []byte(strings.Repeat("x", 3000)+fmt.Sprint(i))) {
				t.Fatalf("%d is not there", i)
			}
			c.remove()
		}
		verify(t, tr, nil)
	})
	if n := tm.pages(); n != 0 {
		t.Errorf("%d pages are left", n)
	}
}

func TestSeparator(t *testing.T) {
	for _, c := range [][3]string{{"a", "b", "b"}, {"abc", "abd", "abd"}, {"abc", "b", "b"}, {"ab", "abcd", "abc"}, {"a", "axyz", "ax"}} {
		if got := separator([]byte(c[0]), []byte(c[1])); string(got) != c[2] {
			t.Errorf("between %s and %s is %s", c[0], c[1], got)
		}
	}
}
