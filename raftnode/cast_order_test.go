package raftnode

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

// hearer notes what it hears.
type hearer struct{ got []string }

func (h *hearer) Heard(_ uint64, messages [][]byte) {
	for _, m := range messages {
		h.got = append(h.got, string(m))
	}
}
func (h *hearer) Lost(uint64) { h.got = append(h.got, "lost") }

// Frames of a broken stream come late, twice, or not at all, and those of an earlier run after later ones.
func TestHear(t *testing.T) {
	type frame struct {
		run, first uint64
		messages   string
	}
	for _, test := range []struct {
		name   string
		frames []frame
		want   string
	}{
		{"in order", []frame{{7, 0, "ab"}, {7, 2, ""}, {7, 2, "c"}}, "[a b c]"},
		{"a gap", []frame{{7, 0, "a"}, {7, 2, "c"}}, "[a lost c]"},
		{"a gap before a pulse", []frame{{7, 0, "a"}, {7, 2, ""}, {7, 2, "c"}}, "[a lost c]"},
		{"twice", []frame{{7, 0, "ab"}, {7, 0, "ab"}, {7, 1, "bc"}}, "[a b c]"},
		{"late", []frame{{7, 0, "a"}, {7, 2, "c"}, {7, 1, "b"}}, "[a lost c]"},
		{"not from the start", []frame{{7, 5, "f"}, {7, 6, "g"}}, "[lost f g]"},
		{"another run", []frame{{7, 0, "a"}, {8, 0, "x"}, {7, 1, "b"}, {8, 1, "y"}}, "[a lost x y]"},
		{"no run", []frame{{0, 0, "a"}}, "[]"},
	} {
		h := &hearer{}
		g := &Group{cfg: Config{Audience: h, Clock: func() time.Duration { return 0 }}}
		g.cast.sources = map[uint64]*source{}
		for _, f := range test.frames {
			body := binary.BigEndian.AppendUint64(nil, f.run)
			body = binary.BigEndian.AppendUint64(body, f.first)
			for _, m := range f.messages {
				body = appendBytes(body, []byte(string(m)))
			}
			g.hear(2, body)
			g.hear(2, body[:len(body)-1]) // cut short: as if it had not come
		}
		if got := fmt.Sprint(h.got); got != test.want {
			t.Errorf("%s: heard %s, want %s", test.name, got, test.want)
		}
	}
}

// What nobody takes is bounded, and is seen as a gap.
func TestBroadcastIsBounded(t *testing.T) {
	g := &Group{}
	g.cast.wake = make(chan struct{}, 1)
	message := make([]byte, 1<<20)
	for range 3 * castMax >> 20 {
		g.Broadcast(message)
	}
	c := &g.cast
	if len(c.frame) > castMax+len(message) || c.first == 0 || c.next != 3*castMax>>20 {
		t.Errorf("%d bytes wait, from message %d to %d", len(c.frame), c.first, c.next)
	}
	if !slices.IsSorted([]uint64{c.first, c.next}) {
		t.Error("the first is behind the last")
	}
}
