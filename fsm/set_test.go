package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// setModel is a set as Redis has it: its members, in order unless they are in a hash table, and its encoding.
type setModel struct {
	members []string
	form    string // "": there is none
}

func isInt(member string) bool {
	n, err := strconv.ParseInt(member, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == member
}

func (m *setModel) add(member string, p *Packing) bool {
	if slices.Contains(m.members, member) {
		return false
	}
	before, longest := int64(len(m.members)), int64(len(member))
	m.members = append(m.members, member)
	if m.form == "" {
		m.form = "intset"
	}
	if m.form == "intset" && before > 0 && !isInt(member) {
		longest = max(longest, int64(len(m.members[0])), int64(len(m.members[before-1])))
	}
	switch {
	case m.form == "intset" && isInt(member):
		slices.SortFunc(m.members, func(a, b string) int {
			x, _ := strconv.ParseInt(a, 10, 64)
			y, _ := strconv.ParseInt(b, 10, 64)
			if x < y {
				return -1
			}
			return 1
		})
		if before >= p.IntsetEntries {
			m.form = "hashtable"
		}
	case m.form != "hashtable" && before < p.SetEntries && longest <= p.SetValue:
		m.form = "listpack"
	default:
		m.form = "hashtable"
	}
	return true
}

func (m *setModel) remove(member string) bool {
	i := slices.Index(m.members, member)
	if i >= 0 {
		m.members = slices.Delete(m.members, i, i+1)
	}
	if len(m.members) == 0 {
		m.form = ""
	}
	return i >= 0
}

func openSet(tx *Txn, key string) *SetValue { return tx.Set([]byte(key), tx.Lookup([]byte(key))) }

// checkSet reads a set by all ways there are, which must agree with the model.
func checkSet(t failer, s *SetValue, m *setModel) {
	t.Helper()
	var got []string
	s.All(func(member []byte) bool {
		got = append(got, string(member))
		return true
	})
	for i, member := range got {
		if string(s.At(int64(i))) != member || !s.Has([]byte(member)) {
			t.Fatalf("At(%d) is %.30q, All has %.30q", i, s.At(int64(i)), member)
		}
	}
	var scanned []string
	for cursor, pages := uint64(0), 0; pages == 0 || cursor != 0; pages++ {
		left := 7
		cursor = s.Scan(cursor, func(member []byte) bool {
			scanned = append(scanned, string(member))
			left--
			return left > 0
		})
	}
	if !slices.Equal(scanned, got) || s.Len() != int64(len(got)) {
		t.Fatalf("%d members, Scan has %d, Len says %d", len(got), len(scanned), s.Len())
	}
	s.From(s.Len()/2, func(member []byte) bool {
		if string(member) != got[s.Len()/2] {
			t.Fatalf("From the middle begins with %.30q", member)
		}
		return false
	})
	want := slices.Clone(m.members)
	if s.Large() || s.in.trees != nil && !s.Intset() {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("members %.200q, want %.200q", got, want)
	}
	form := map[bool]string{false: "listpack", true: "hashtable"}[s.Large()]
	if s.Intset() {
		form = "intset"
	}
	if m.form != "" && form != m.form {
		t.Fatalf("%d members are in a %s, want %s", len(got), form, m.form)
	}
}

// TestSet does random things to sets of all forms, and to models.
func TestSet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		names := []string{"a", "b", "c"}
		want := map[string]*setModel{"a": {}, "b": {}, "c": {}}
		for range rapid.IntRange(1, 12).Draw(rt, "entries") {
			tm.do(func(tx *Txn) {
				key, to := rapid.SampledFrom(names).Draw(rt, "key"), rapid.SampledFrom(names).Draw(rt, "to")
				somePacking(rt, tx)
				switch op := rapid.IntRange(0, 9).Draw(rt, "op"); {
				case op == 0:
					tx.Delete([]byte(key))
					want[key] = &setModel{}
				case op == 1 && key != to && tx.Rename([]byte(key), []byte(to)):
					want[to], want[key] = want[key], &setModel{}
				case op == 2 && key != to && want[key].form != "":
					tx.CopyTo(tx.DB(), []byte(to), *tx.Lookup([]byte(key)))
					want[to] = &setModel{slices.Clone(want[key].members), want[key].form}
				case op == 3:
					someRetained(rt, tx, key, want[key])
				default:
					someMembers(rt, tx, key, want[key], op < 6)
				}
			})
		}
		tm.check()
		tm.do(func(tx *Txn) {
			for _, key := range names {
				checkSet(rt, openSet(tx, key), want[key])
				tx.Delete([]byte(key))
			}
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// someMembers adds members to a set, or removes most of them.
func someMembers(rt *rapid.T, tx *Txn, key string, want *setModel, remove bool) {
	s := openSet(tx, key)
	kind := rapid.SampledFrom([]string{"", "", "member ", strings.Repeat("long ", 14), strings.Repeat("x", 3000)}).Draw(rt, "kind")
	from := rapid.IntRange(-600, 600).Draw(rt, "from")
	step := rapid.SampledFrom([]int{1, -1, 7}).Draw(rt, "step")
	steps := rapid.IntRange(1, rapid.SampledFrom([]int{5, 130, 700}).Draw(rt, "most")).Draw(rt, "steps")
	for i := range steps {
		member := fmt.Sprint(kind, from+i*step)
		if remove {
			if got := s.Delete([]byte(member)); got != want.remove(member) {
				rt.Fatalf("Remove %.20s: %v", member, got)
			}
		} else if got := s.Add([]byte(member)); got != want.add(member, tx.Packing()) {
			rt.Fatalf("Add %.20s: %v", member, got)
		}
		if s.Has([]byte(member)) == remove {
			rt.Fatalf("Has %.20s: %v", member, remove)
		}
		if len(want.members) == 0 { // it would begin anew with the next one
			break
		}
	}
	s.Save()
	checkSet(rt, openSet(tx, key), want)
	if (tx.Lookup([]byte(key)) == nil) != (len(want.members) == 0) {
		rt.Fatalf("of a set with %d members there is a row or none", len(want.members))
	}
}

// someRetained keeps a few members of a set.
func someRetained(rt *rapid.T, tx *Txn, key string, want *setModel) {
	s := openSet(tx, key)
	if s.Len() == 0 {
		return
	}
	tx.SetExpire([]byte(key), 1<<40)
	s = openSet(tx, key)
	ranks := rapid.SliceOfNDistinct(rapid.Int64Range(0, s.Len()-1), 1, 200, rapid.ID).Draw(rt, "ranks")
	slices.Sort(ranks)
	kept := &setModel{}
	if want.form != "intset" {
		kept.form = "listpack"
	}
	for _, rank := range ranks {
		kept.add(string(s.At(rank)), tx.Packing())
	}
	removed := 0
	s.Retain(ranks, func(member []byte) {
		if slices.Contains(kept.members, string(member)) {
			rt.Fatalf("%.20s is removed, too", member)
		}
		removed++
	})
	s.Save()
	if removed+len(ranks) != len(want.members) {
		rt.Fatalf("%d are removed, %d stay of %d", removed, len(ranks), len(want.members))
	}
	*want = *kept
	if row := tx.Lookup([]byte(key)); row.ExpireAt != 1<<40 {
		rt.Fatalf("the expiry time became %d", row.ExpireAt)
	}
}

// TestSetExpect: Redis chooses a hash table by the number of arguments, whatever they are.
func TestSetExpect(t *testing.T) {
	for _, c := range []struct {
		has, first string
		count      int
		want       string
	}{
		{"", "1", 512, "intset"}, {"", "1", 513, "hashtable"}, {"", "x", 128, "listpack"}, {"", "x", 129, "hashtable"},
		{"1", "x", 512, "listpack"}, {"1", "x", 513, "hashtable"}, {"x", "1", 128, "listpack"}, {"x", "1", 129, "hashtable"},
	} {
		tm := newTreeMachine(t, 1<<20)
		tm.do(func(tx *Txn) {
			s := openSet(tx, "k")
			if c.has != "" {
				s.Add([]byte(c.has))
			}
			s.Expect([]byte(c.first), c.count)
			s.Add([]byte(c.first))
			s.Save()
			form := setModel{form: c.want}
			for _, m := range []string{c.has, c.first} {
				if m != "" {
					form.members = append(form.members, m)
				}
			}
			checkSet(t, openSet(tx, "k"), &form)
		})
	}
}

// TestSetOfManyInts: an intset that is too large for a row keeps its order, and goes over to other forms.
func TestSetOfManyInts(t *testing.T) {
	const most = 20_000
	for _, next := range []string{"one more", "x", "remove"} {
		tm := newTreeMachine(t, 1<<20)
		want := setModel{form: "intset"}
		tm.do(func(tx *Txn) {
			tx.SetSettings(Settings{Packing: Packing{IntsetEntries: most, SetEntries: most + 1, SetValue: 64}})
			s := openSet(tx, "k")
			for i := range most {
				n := -most/2 + i*7919%most // most and 7919 have no divisor in common
				if member := strconv.AppendInt(nil, int64(n), 10); !s.Add(member) || s.Add(member) {
					t.Fatalf("%d is not new, or new twice", n)
				}
				want.members = append(want.members, strconv.Itoa(-most/2+i))
			}
			s.Save()
			s = openSet(tx, "k")
			checkSet(t, s, &want)
			switch next {
			case "one more":
				s.Add([]byte(strconv.Itoa(most)))
				want.form, want.members = "hashtable", append(want.members, strconv.Itoa(most))
			case "x":
				s.Add([]byte("x"))
				want.form, want.members = "listpack", append(want.members, "x")
			default:
				if s.Delete([]byte("x")) || !s.Delete([]byte(want.members[3])) {
					t.Error("the wrong members are removed")
				}
				want.members = slices.Delete(want.members, 3, 4)
			}
			s.Save()
		})
		tm.check()
		tm.do(func(tx *Txn) {
			checkSet(t, openSet(tx, "k"), &want)
			tx.Delete([]byte("k"))
		})
		if n := tm.pages(); n != 0 {
			t.Errorf("%d pages are left", n)
		}
	}
}

func TestCanonicalInt(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "-1": true, "9223372036854775807": true, "-9223372036854775808": true, "42": true,
		"": false, "-": false, "-0": false, "+1": false, "01": false, "1 ": false, " 1": false, "1e3": false, "1_0": false,
		"9223372036854775808": false, "-9223372036854775809": false, "--1": false, "1-": false, "99999999999999999999": false,
	} {
		if _, ok := ParseInt([]byte(text)); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}
