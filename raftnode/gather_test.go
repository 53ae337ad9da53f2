package raftnode

import (
	"testing"
	"time"
)

// An entry waits for about as many as the last one answered and as waited then, but not for ever, and not
// again soon when they did not come.
func TestGather(t *testing.T) {
	w := gather{timer: time.NewTimer(time.Hour)}
	defer w.timer.Stop()
	waits := func(waiting int, now time.Duration, want bool) {
		t.Helper()
		if got := w.waits(waiting, now); got != want {
			t.Fatalf("%d at %v: waits is %v", waiting, now, got)
		}
	}
	waits(0, 0, false) // nothing was committed yet

	begin := func(answered, waiting int) { w.begin(answered, waiting, gatherMax, 0) }
	begin(20, 20)
	waits(20, 0, true)
	waits(34, 1, true)
	waits(35, 2, false)
	waits(20, 3, false) // until the next commit

	w.begin(20, 20, gatherMax/2, 0) // no longer than half as long again as the commit took
	waits(20, gatherMax*3/4-1, true)
	waits(20, gatherMax*3/4, false) // half of them came: worth another try
	begin(20, 20)
	waits(10, gatherMax, false) // in vain: the next entry does not wait
	begin(20, 20)
	waits(10, 0, false)
	begin(20, 20)
	waits(10, 0, true)

	for range 20 { // the rests grow, up to a bound
		w.rest = 0
		begin(20, 20)
		waits(0, gatherMax, false)
	}
	if w.rest != gatherRest {
		t.Fatalf("%d entries are not to wait", w.rest)
	}
}

// Those who come while an entry is written were not waiting for the replies to it.
func TestGatherTellsWhoWaits(t *testing.T) {
	for name, c := range map[string]struct {
		waiting int
		want    bool
	}{"they wait for replies": {3, true}, "they come anyway": {15, false}} {
		w := gather{timer: time.NewTimer(time.Hour)}
		defer w.timer.Stop()
		for range gatherTrial {
			w.begin(30, c.waiting, gatherMax, 0)
			w.waits(gatherMost, 0)
		}
		w.begin(30, c.waiting, gatherMax, 0)
		if got := w.waits(0, 0); got != c.want {
			t.Errorf("%s: the next entry waits: %v", name, got)
		}
	}
}

func TestGatherNothing(t *testing.T) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for name, w := range map[string]*gather{
		"few":      {timer: timer},
		"many":     {timer: timer},
		"no timer": {},
	} {
		answered := map[string]int{"few": gatherLeast / 2, "many": gatherMost, "no timer": gatherLeast}[name]
		w.begin(answered, gatherLeast/2-1, gatherMax, 0)
		if w.waits(1, 0) {
			t.Errorf("%s: it waits", name)
		}
	}
}

// What is left in the mailbox does not wake the loop, but an append that it expects does, whichever of
// the two comes first.
func TestMailLeft(t *testing.T) {
	appended := func(in *mail) { in.appended++ }
	newBox := func() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }
	woken := func(b *mailbox) bool {
		select {
		case <-b.wake:
			return true
		default:
			return false
		}
	}
	b := newBox()
	b.leave(appended)
	if woken(b) {
		t.Error("mail that was left wakes the loop")
	}
	if b.expectAppend(); !woken(b) {
		t.Error("an append that was left before it was expected does not wake the loop")
	}
	if b.take().appended != 1 {
		t.Error("mail that was left is lost")
	}

	b = newBox()
	b.expectAppend()
	b.leave(func(in *mail) { in.appliedTerm = 1 })
	if woken(b) {
		t.Error("something else than the expected append wakes the loop")
	}
	if b.leave(appended); !woken(b) {
		t.Error("the expected append does not wake the loop")
	}
	b.take()
	if b.leave(appended); woken(b) {
		t.Error("an append is expected for ever")
	}

	if left := b.close(); left.appended != 1 || b.put(appended) {
		t.Error("a closed mailbox takes more, or has lost what was in it")
	}
}
