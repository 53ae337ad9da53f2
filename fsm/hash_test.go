package fsm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openHash(tx *Txn, key string) *HashValue { return tx.Hash([]byte(key), tx.Lookup([]byte(key))) }

// contents reads a hash by all ways there are, which must agree.
func contents(t failer, h *HashValue) map[string]string {
	t.Helper()
	got := make(map[string]string)
	h.All(func(field, value []byte) bool {
		got[string(field)] = string(value)
		return true
	})
	if int64(len(got)) != h.Len() {
		t.Fatalf("%d fields, Len says %d", len(got), h.Len())
	}
	scanned, cursor := 0, uint64(0)
	for {
		left := 7
		cursor = h.Scan(cursor, func(field, value []byte) bool {
			scanned++
			left--
			if got[string(field)] != string(value) {
				t.Fatalf("Scan has %.30q in %.30q, not %.30q", value, field, got[string(field)])
			}
			return left > 0
		})
		if cursor == 0 {
			break
		}
	}
	if scanned != len(got) {
		t.Fatalf("Scan has %d of %d fields", scanned, len(got))
	}
	for i := range h.Len() {
		field, value := h.At(i)
		if want, is := got[string(field)]; !is || want != string(value) {
			t.Fatalf("At(%d) is %.30q", i, field)
		}
	}
	return got
}

// TestHash does random things to hashes that are small, become large, are renamed, copied, overwritten and emptied, and
// to maps.
func TestHash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		want := map[string]map[string]string{}
		keys := rapid.SampledFrom([]string{"a", "b", "c"})
		fields := rapid.IntRange(1, rapid.SampledFrom([]int{5, 100, 1000}).Draw(rt, "fields"))
		sizes := rapid.SampledFrom([]int{0, 5, 60, 70, 1000, 9000})
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
					want[to] = map[string]string{}
					for f, v := range want[key] {
						want[to][f] = v
					}
				case op == 3:
					tx.Put([]byte(key), Row{Kind: String, Value: []byte("s")})
					tx.Delete([]byte(key))
					delete(want, key)
				case op == 4:
					tx.SetExpire([]byte(key), 1<<40)
				default:
					someFields(rt, tx, key, want, fields, sizes, op < 8)
				}
			})
		}
		tm.check()
		tm.do(func(tx *Txn) {
			for _, key := range []string{"a", "b", "c"} {
				got := contents(rt, openHash(tx, key))
				if fmt.Sprint(got) != fmt.Sprint(want[key]) && len(got)+len(want[key]) > 0 {
					rt.Fatalf("%s has %d fields, want %d", key, len(got), len(want[key]))
				}
				tx.Delete([]byte(key))
			}
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// someFields sets fields of a hash, or deletes most of them.
func someFields(rt *rapid.T, tx *Txn, key string, want map[string]map[string]string, fields *rapid.Generator[int],
	sizes *rapid.Generator[int], remove bool) {
	h := openHash(tx, key)
	if want[key] == nil {
		want[key] = map[string]string{}
	}
	for range rapid.IntRange(1, 300).Draw(rt, "steps") {
		field := fmt.Sprint("field ", fields.Draw(rt, "field"))
		_, had := want[key][field]
		if remove {
			if h.Delete([]byte(field)) != had {
				rt.Fatalf("Delete %s: not %v", field, had)
			}
			delete(want[key], field)
			continue
		}
		value := strings.Repeat("v", sizes.Draw(rt, "size"))
		if h.Set([]byte(field), []byte(value)) == had {
			rt.Fatalf("Set %s: not %v", field, !had)
		}
		want[key][field] = value
		if got, ok := h.Get([]byte(field)); !ok || string(got) != value {
			rt.Fatalf("Get %s after Set: %.20q", field, got)
		}
	}
	h.Save()
	if len(want[key]) == 0 {
		delete(want, key)
		if tx.Lookup([]byte(key)) != nil {
			rt.Fatalf("an empty hash is still there")
		}
	}
}

// TestHashOrder: a packed hash gives its fields in the order in which they were set, as a listpack does.
func TestHashOrder(t *testing.T) {
	tm := newTreeMachine(t, 1<<20)
	tm.do(func(tx *Txn) {
		h := openHash(tx, "k")
		for _, field := range []string{"z", "a", "m", "a"} {
			h.Set([]byte(field), []byte("v"))
		}
		h.Delete([]byte("z"))
		h.Set([]byte("z"), nil)
		h.Save()
		var order []byte
		openHash(tx, "k").All(func(field, _ []byte) bool {
			order = append(order, field...)
			return true
		})
		if !bytes.Equal(order, []byte("amz")) {
			t.Errorf("order %s", order)
		}
	})
}
