package fsm

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openStream(tx *Txn, key string) *StreamValue {
	return tx.Stream([]byte(key), tx.Lookup([]byte(key)))
}

// modelStream is what a stream should be.
type modelStream struct {
	entries map[uint64]string // value by the sequence of the id
	added   uint64
	last    uint64
	groups  map[string]*modelGroup
}

// modelGroup has its consumers and, by id, who has what.
type modelGroup struct {
	last      uint64
	consumers map[string]bool
	pending   map[uint64]modelPending
}

type modelPending struct {
	owner string
	count uint64
}

func newModelStream() *modelStream {
	return &modelStream{entries: map[uint64]string{}, groups: map[string]*modelGroup{}}
}

// clone is a copy that shares nothing.
func (m *modelStream) clone() *modelStream {
	c := *m
	c.entries, c.groups = maps.Clone(m.entries), map[string]*modelGroup{}
	for name, g := range m.groups {
		c.groups[name] = &modelGroup{g.last, maps.Clone(g.consumers), maps.Clone(g.pending)}
	}
	return &c
}

func seqID(seq uint64) StreamID { return StreamID{1, seq} }

// ids are the ids of a map, in order.
func ids[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }

// TestStream does random things to streams and their groups, and to maps.
func TestStream(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		want := map[string]*modelStream{"a": newModelStream()}
		tm.do(func(tx *Txn) { openStream(tx, "a").Save() })
		key := rapid.SampledFrom([]string{"a", "b"})
		width := rapid.SampledFrom([]int{1, 50, 1000}).Draw(rt, "width")
		for range rapid.IntRange(1, 15).Draw(rt, "entries") {
			tm.do(func(tx *Txn) {
				k := key.Draw(rt, "key")
				somePacking(rt, tx)
				switch m := want[k]; {
				case m == nil:
					tx.CopyTo(tx.DB(), []byte(k), *tx.Lookup([]byte("a")))
					want[k] = want["a"].clone()
				case rapid.IntRange(0, 9).Draw(rt, "delete") == 0 && k == "b":
					tx.Delete([]byte(k))
					delete(want, k)
				default:
					s := openStream(tx, k)
					for range rapid.IntRange(1, 12).Draw(rt, "steps") {
						changeStream(rt, s, m, width)
					}
					s.Save()
				}
			})
		}
		tm.check()
		tm.do(func(tx *Txn) {
			for k, m := range want {
				compareStream(rt, openStream(tx, k), m)
			}
			tx.Delete([]byte("a"))
			tx.Delete([]byte("b"))
		})
		if n := tm.pages(); n != 0 {
			rt.Fatalf("%d pages are left", n)
		}
	})
}

// changeStream does something to a stream and to its model.
func changeStream(rt *rapid.T, s *StreamValue, m *modelStream, width int) {
	switch rapid.IntRange(0, 9).Draw(rt, "op") {
	case 0, 1, 2, 3:
		for range rapid.IntRange(1, 200).Draw(rt, "add") {
			m.last += rapid.Uint64Range(1, 3).Draw(rt, "gap")
			value := strings.Repeat("v", rapid.IntRange(0, width).Draw(rt, "size"))
			s.Add(seqID(m.last), [][]byte{[]byte("f"), []byte(value)})
			m.entries[m.last] = value
			m.added++
		}
	case 4:
		for range rapid.IntRange(1, 100).Draw(rt, "deletes") {
			seq := rapid.Uint64Range(0, m.last+1).Draw(rt, "seq")
			_, had := m.entries[seq]
			if s.Delete(seqID(seq)) != had {
				rt.Fatalf("Delete %d: not %v", seq, had)
			}
			delete(m.entries, seq)
		}
	case 5:
		trimStream(rt, s, m)
	default:
		changeGroup(rt, s, m)
	}
}

func trimStream(rt *rapid.T, s *StreamValue, m *modelStream) {
	below, length := uint64(0), int64(math.MaxInt64)
	if rapid.Bool().Draw(rt, "by id") {
		below = rapid.Uint64Range(0, m.last+1).Draw(rt, "below")
	} else {
		length = int64(rapid.IntRange(0, len(m.entries)+1).Draw(rt, "length"))
	}
	all := ids(m.entries)
	gone, _ := slices.BinarySearch(all, below)
	gone = max(gone, len(all)-int(min(length, int64(len(all)))))
	if rapid.Bool().Draw(rt, "blocks") {
		removed := int(s.TrimBlocks(seqID(below), length, 0))
		if removed > gone || gone-removed > streamEntriesMost {
			rt.Fatalf("%d entries removed by blocks, where %d could be", removed, gone)
		}
		gone = removed
	} else if n := s.Trim(seqID(below), length); n != int64(gone) {
		rt.Fatalf("%d entries removed, want %d", n, gone)
	}
	for _, seq := range all[:gone] {
		delete(m.entries, seq)
	}
}

// changeGroup makes, reads, acknowledges and deletes groups and consumers.
func changeGroup(rt *rapid.T, s *StreamValue, m *modelStream) {
	name := rapid.SampledFrom([]string{"g", "gg", ""}).Draw(rt, "group")
	who := rapid.SampledFrom([]string{"alice", "bob", "bo", ""}).Draw(rt, "consumer")
	g, want := s.Group([]byte(name)), m.groups[name]
	if (g == nil) != (want == nil) {
		rt.Fatalf("group %q: %v", name, g)
	}
	if g == nil {
		s.CreateGroup([]byte(name), StreamID{}, -1)
		m.groups[name] = &modelGroup{consumers: map[string]bool{}, pending: map[uint64]modelPending{}}
		return
	}
	c := g.Consumer([]byte(who))
	if (c != nil) != want.consumers[who] {
		rt.Fatalf("consumer %q of %q: %v", who, name, c)
	}
	switch op := rapid.IntRange(0, 12).Draw(rt, "group op"); {
	case op == 0:
		g.Destroy()
		delete(m.groups, name)
	case op == 1 && c != nil:
		c.Delete()
		delete(want.consumers, who)
		maps.DeleteFunc(want.pending, func(_ uint64, p modelPending) bool { return p.owner == who })
	case op < 5:
		for _, seq := range ids(want.pending) {
			if rapid.IntRange(0, 2).Draw(rt, "keep") > 0 && !g.Forget(seqID(seq)) {
				rt.Fatalf("%d is not pending in %q", seq, name)
			} else if _, still := g.FindPending(seqID(seq)); !still {
				delete(want.pending, seq)
			}
		}
	case c == nil:
		g.CreateConsumer([]byte(who), 7)
		want.consumers[who] = true
	default:
		for range rapid.IntRange(1, 100).Draw(rt, "gives") {
			seq := rapid.Uint64Range(1, m.last+1).Draw(rt, "seq")
			count := rapid.Uint64Range(1, 5).Draw(rt, "count")
			c.Give(StreamPending{ID: seqID(seq), Time: 9, Count: count})
			want.pending[seq] = modelPending{who, count}
			want.last = seq
		}
		g.LastID = seqID(want.last)
		g.Save()
	}
}

// compareStream reads a stream in all ways there are.
func compareStream(rt *rapid.T, s *StreamValue, m *modelStream) {
	all := ids(m.entries)
	if s.Len() != int64(len(all)) || s.Added != m.added || s.GroupCount() != int64(len(m.groups)) {
		rt.Fatalf("%d entries, %d added, %d groups; want %d, %d, %d", s.Len(), s.Added, s.GroupCount(), len(all), m.added,
			len(m.groups))
	}
	for _, from := range []uint64{0, m.last / 3, m.last} {
		at, _ := slices.BinarySearch(all, from)
		var got []uint64
		for e := range s.Range(seqID(from), MaxStreamID) {
			if len(e.Fields) != 2 || string(e.Fields[1]) != m.entries[e.ID.Seq] {
				rt.Fatalf("entry %v is %.40q", e.ID, e.Fields)
			}
			got = append(got, e.ID.Seq)
		}
		if !slices.Equal(got, all[at:]) {
			rt.Fatalf("from %d: %v, want %v", from, got, all[at:])
		}
		got = nil
		for e := range s.Backward(seqID(from), seqID(m.last)) {
			got = append(got, e.ID.Seq)
		}
		slices.Reverse(got)
		if !slices.Equal(got, all[at:]) {
			rt.Fatalf("backward to %d: %v, want %v", from, got, all[at:])
		}
		got = nil
		first, end := s.Ranks(seqID(from), seqID(m.last))
		for e := range s.From(end-1, true) {
			if int64(len(got)) == end-first {
				break
			}
			got = append(got, e.ID.Seq)
		}
		slices.Reverse(got)
		if !slices.Equal(got, all[at:]) {
			rt.Fatalf("ranks from %d: %v, want %v", from, got, all[at:])
		}
	}
	var names []string
	held := int64(s.groups().count)
	for g := range s.Groups() {
		names = append(names, string(g.Name))
		held -= 1 + 2*g.ConsumerCount() + 2*g.PendingCount()
		compareGroup(rt, g, m.groups[string(g.Name)])
	}
	if want := slices.Sorted(maps.Keys(m.groups)); !slices.Equal(names, want) || held != 0 {
		rt.Fatalf("groups %q, want %q; %d entries belong to none", names, want, held)
	}
}

func compareGroup(rt *rapid.T, g *StreamGroup, want *modelGroup) {
	if want == nil || g.LastID != seqID(want.last) && want.last > 0 || g.ConsumerCount() != int64(len(want.consumers)) ||
		g.PendingCount() != int64(len(want.pending)) {
		rt.Fatalf("group %q: %v, %d consumers, %d pending; want %v", g.Name, g.LastID, g.ConsumerCount(), g.PendingCount(), want)
	}
	var got []string
	for p := range g.Pending(StreamID{}) {
		got = append(got, fmt.Sprint(p.ID.Seq, string(g.Owner(p)), p.Count))
	}
	var all, owned, names []string
	for _, seq := range ids(want.pending) {
		all = append(all, fmt.Sprint(seq, want.pending[seq].owner, want.pending[seq].count))
	}
	if !slices.Equal(got, all) {
		rt.Fatalf("pending in %q: %v, want %v", g.Name, got, all)
	}
	for c := range g.Consumers() {
		names = append(names, string(c.Name))
		count := c.PendingCount()
		for p := range c.Pending(StreamID{}) {
			owned = append(owned, fmt.Sprint(p.ID.Seq, string(c.Name), p.Count))
			count--
		}
		if count != 0 {
			rt.Fatalf("the count of what is pending with %q is wrong by %d", c.Name, count)
		}
	}
	if len(owned) != len(all) || !slices.IsSorted(names) {
		rt.Fatalf("%d pending with consumers %q, %d in their group", len(owned), names, len(all))
	}
	if last := ids(want.pending); len(last) > 0 && g.LastPending() != seqID(last[len(last)-1]) {
		rt.Fatalf("the last one pending is %v", g.LastPending())
	}
}
