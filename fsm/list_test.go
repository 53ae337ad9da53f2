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

func openList(tx *Txn, key string) *ListValue { return tx.List([]byte(key), tx.Lookup([]byte(key))) }

// elements reads a list by all ways there are, which must agree.
func elements(t failer, l *ListValue) []string {
	t.Helper()
	var got []string
	l.Each(0, false, func(index int64, value []byte) bool {
		if index != int64(len(got)) {
			t.Fatalf("element %d is said to be %d", len(got), index)
		}
		got = append(got, string(value))
		return true
	})
	if int64(len(got)) != l.Len() {
		t.Fatalf("%d elements, Len says %d", len(got), l.Len())
	}
	i := l.Len()
	l.Each(i-1, true, func(index int64, value []byte) bool {
		if i--; index != i || got[i] != string(value) {
			t.Fatalf("backwards, %d is %.30q at %d", i, value, index)
		}
		return true
	})
	if i != 0 {
		t.Fatalf("backwards, %d are missing", i)
	}
	for _, i := range []int{0, len(got) / 2, len(got) - 1} {
		if i >= 0 && i < len(got) && string(l.At(int64(i))) != got[i] {
			t.Fatalf("At(%d) is not %.30q", i, got[i])
		}
	}
	size := uint64(0)
	for _, v := range got {
		size += listpackBytes([]byte(v))
	}
	if size != l.size {
		t.Fatalf("%d bytes in a listpack, want %d", l.size, size)
	}
	return got
}

func join(values []string) string { return strings.Join(values, "\n") }

// TestList does random things to lists that are small, become large, are renamed, copied, overwritten and emptied, and to
// slices.
func TestList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		want := map[string][]string{}
		keys := rapid.SampledFrom([]string{"a", "b", "c"})
		kinds := rapid.SampledFrom([][]string{{"x", "y", ""}, {"1", "-77", "123456789012", "x"},
			{strings.Repeat("x", 60), strings.Repeat("y", 700), "z"}, {strings.Repeat("x", 9000), "y"}}).Draw(rt, "kinds")
		value := rapid.SampledFrom(kinds)
		for range rapid.IntRange(1, 15).Draw(rt, "entries") {
			tm.do(func(tx *Txn) {
				key, to := keys.Draw(rt, "key"), keys.Draw(rt, "to")
				somePacking(rt, tx)
				switch op := rapid.IntRange(0, 12).Draw(rt, "op"); {
				case op == 0:
					tx.Delete([]byte(key))
					delete(want, key)
				case op == 1 && key != to:
					if tx.Rename([]byte(key), []byte(to)) {
						want[to] = want[key]
						delete(want, key)
					}
				case op == 2 && key != to && want[key] != nil:
					tx.CopyTo(tx.DB(), []byte(to), *tx.Lookup([]byte(key)))
					want[to] = slices.Clone(want[key])
				case op == 3:
					tx.SetExpire([]byte(key), 1<<40)
				default:
					changeList(rt, tx, key, want, value)
				}
			})
		}
		tm.check()
		tm.do(func(tx *Txn) {
			for _, key := range []string{"a", "b", "c"} {
				if got := elements(rt, openList(tx, key)); join(got) != join(want[key]) || len(got) != len(want[key]) {
					rt.Fatalf("%s has %d elements, want %d", key, len(got), len(want[key]))
				}
				tx.Delete([]byte(key))
			}
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// changeList makes some changes of a list before it is saved.
func changeList(rt *rapid.T, tx *Txn, key string, want map[string][]string, value *rapid.Generator[string]) {
	l, w := openList(tx, key), want[key]
	index := func(name string, last int) int { return rapid.IntRange(0, last).Draw(rt, name) }
	for range rapid.IntRange(1, 8).Draw(rt, "steps") {
		v := value.Draw(rt, "value")
		op := rapid.IntRange(0, 9).Draw(rt, "change")
		if len(w) == 0 {
			op = 0
		}
		switch op {
		case 0, 1, 2:
			w = pushList(rt, l, w, value)
		case 3:
			i := index("index", len(w)-1)
			l.Set(int64(i), []byte(v))
			w[i] = v
		case 4:
			i := index("index", len(w))
			l.Reserve(1, len(v))
			l.Insert(int64(i), []byte(v))
			w = slices.Insert(w, i, v)
		case 5:
			i, limit := 0, rapid.SampledFrom([]int64{1, 3, 100, 1 << 40}).Draw(rt, "limit")
			back := rapid.Bool().Draw(rt, "back")
			w, i = removeElements(w, v, limit, back)
			if got := l.Remove([]byte(v), limit, back); got != int64(i) {
				rt.Fatalf("Remove: %d, want %d", got, i)
			}
		case 6:
			from := index("from", len(w))
			to := from + index("kept", len(w)-from)
			l.Trim(int64(from), int64(to))
			w = slices.Clone(w[from:to])
		case 7:
			if got := l.Pop(true); string(got) != w[0] {
				rt.Fatalf("Pop is %.30q", got)
			}
			w = w[1:]
		default:
			if got := l.Pop(false); string(got) != w[len(w)-1] {
				rt.Fatalf("Pop is %.30q", got)
			}
			w = w[:len(w)-1]
		}
	}
	l.Save()
	want[key] = w
	if len(w) == 0 {
		delete(want, key)
		if tx.Lookup([]byte(key)) != nil {
			rt.Fatalf("an empty list is still there")
		}
	}
}

// pushList pushes one element or many at an end.
func pushList(rt *rapid.T, l *ListValue, w []string, value *rapid.Generator[string]) []string {
	n := rapid.SampledFrom([]int{1, 1, 1, 5, 80, 1500, 3000}).Draw(rt, "many")
	some := rapid.SliceOfN(value, 1, 4).Draw(rt, "values")
	head := rapid.Bool().Draw(rt, "head")
	values, words := make([][]byte, n), make([]string, n)
	for i := range values {
		words[i] = some[i%len(some)]
		values[i] = []byte(words[i])
	}
	l.Push(head, values...)
	for i, v := range values {
		if string(v) != words[i] {
			rt.Fatalf("Push changed its arguments")
		}
	}
	if !head {
		return slices.Concat(w, words)
	}
	slices.Reverse(words)
	return slices.Concat(words, w)
}

func removeElements(w []string, v string, limit int64, back bool) (left []string, removed int) {
	w = slices.Clone(w)
	if back {
		slices.Reverse(w)
	}
	for _, e := range w {
		if e == v && int64(removed) < limit {
			removed++
		} else {
			left = append(left, e)
		}
	}
	if back {
		slices.Reverse(left)
	}
	return left, removed
}

// TestListpackBytes: sizes that were found by looking at when Redis 7.2 goes on to a quicklist.
func TestListpackBytes(t *testing.T) {
	for value, want := range map[string]uint64{
		"0": 2, "127": 2, "128": 3, "-1": 3, "-4096": 3, "4096": 4, "-32768": 4, "32768": 5, "8388607": 5, "8388608": 6,
		"-2147483648": 6, "2147483648": 10, "9223372036854775807": 10, "-9223372036854775808": 10,
		"9223372036854775808": 21, "-9223372036854775809": 22, "01": 4, "-0": 4, "+1": 4, "-": 3, "": 2, "1a": 4,
		strings.Repeat("x", 63): 65, strings.Repeat("x", 64): 67, strings.Repeat("x", 125): 128,
		strings.Repeat("x", 126): 130, strings.Repeat("x", 4095): 4099, strings.Repeat("x", 4096): 4103,
	} {
		if got := listpackBytes([]byte(value)); got != want {
			t.Errorf("%.30q has %d bytes, want %d", value, got, want)
		}
	}
}

// TestListOfLargeElements: pages with one element of a megabyte each.
func TestListOfLargeElements(t *testing.T) {
	tm := newTreeMachine(t, 1<<20)
	large := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1<<20) }
	tm.do(func(tx *Txn) {
		l := openList(tx, "k")
		l.Push(false, large(0), []byte("small"), large(1), large(2))
		l.Push(true, large(3))
		l.Insert(2, []byte("second"))
		l.Set(0, large(4))
		l.Save()
	})
	tm.do(func(tx *Txn) {
		l := openList(tx, "k")
		want := []string{string(large(4)), string(large(0)), "second", "small", string(large(1)), string(large(2))}
		if got := elements(t, l); join(got) != join(want) {
			t.Errorf("%d elements: %.20q", len(got), got)
		}
		l.Remove(large(1), 1, true)
		l.Trim(1, 4)
		l.Save()
		if got := elements(t, l); join(got) != join(want[1:4]) {
			t.Errorf("%d elements: %.20q", len(got), got)
		}
	})
	tm.check()
}

// TestListOfMany takes elements out of a long list, wherever they are and however many.
func TestListOfMany(t *testing.T) {
	const n = 60_000
	for name, change := range map[string]func(l *ListValue) (first, second string, left int64){
		"keep few": func(l *ListValue) (string, string, int64) {
			l.Trim(30_000, 30_100)
			return "30000", "30001", 100
		},
		"keep many": func(l *ListValue) (string, string, int64) {
			l.Trim(100, n-20_000)
			return "100", "101", n - 20_100
		},
		"every other": func(l *ListValue) (string, string, int64) {
			for i := int64(1); i < n; i += 2 {
				l.Set(i, []byte("x"))
			}
			l.Remove([]byte("x"), n, false)
			return "0", "2", n / 2
		},
		"most": func(l *ListValue) (string, string, int64) {
			for i := int64(2); i < n; i++ {
				l.Set(i, []byte("x"))
			}
			l.Remove([]byte("x"), n-10, true)
			return "0", "1", 10
		},
	} {
		tm := newTreeMachine(t, 1<<20)
		tm.do(func(tx *Txn) {
			l := openList(tx, "k")
			values := make([][]byte, n)
			for i := range values {
				values[i] = fmt.Append(nil, i)
			}
			l.Push(false, values...)
			l.Save()
		})
		tm.do(func(tx *Txn) {
			l := openList(tx, "k")
			first, second, left := change(l)
			l.Save()
			if got := elements(t, l); got[0] != first || got[1] != second || int64(len(got)) != left {
				t.Errorf("%s: %s, %s of %d", name, got[0], got[1], len(got))
			}
		})
		tm.check()
		tm.do(func(tx *Txn) { tx.Delete([]byte("k")) })
		if left := tm.pages(); left != 0 {
			t.Errorf("%s: %d pages are left", name, left)
		}
	}
}

// BenchmarkList is what a call costs on a list of about so many elements, in entries of 32 calls.
func BenchmarkList(b *testing.B) {
	value := []byte("an element of a list")
	ops := map[string]func(l *ListValue){
		"push": func(l *ListValue) { l.Push(true, value) },
		"pop":  func(l *ListValue) { l.Pop(true) },
		"at":   func(l *ListValue) { l.At(l.Len() / 2) },
		"set":  func(l *ListValue) { l.Set(l.Len()/2, value) },
	}
	for _, n := range []int{10, 80, 1000, 1_000_000} {
		for name, op := range ops {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { benchList(b, n, value, op) })
		}
	}
}

func benchList(b *testing.B, n int, value []byte, op func(l *ListValue)) {
	o := testOptions(b, vfs.NewMem())
	o.CacheBytes = 256 << 20
	o.Exec = func(tx *Txn, _ [][]byte) resp.Reply {
		l := openList(tx, "k")
		switch missing := n - int(l.Len()); {
		case missing > n/2: // at first, and when enough was popped
			l.Push(false, slices.Repeat([][]byte{value}, missing)...)
		case missing < -n/2:
			l.Trim(0, int64(n))
		default:
			op(l)
		}
		l.Save()
		return resp.OK
	}
	m := openMachine(b, o)
	call := slices.Repeat([]Call{{Args: [][]byte{[]byte("OP")}}}, 32)
	apply(b, m, 1, call...)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N/len(call) + 1 {
		apply(b, m, 1, call...)
	}
}
