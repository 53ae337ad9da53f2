package redoubt

import (
	"errors"
	"strings"
	"testing"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
)

// TestAtomicRefusal: when one call of a transaction has no room, nothing of it is executed.
func TestAtomicRefusal(t *testing.T) {
	c := startTrio(t)
	atomic := func(node int, calls ...fsm.Call) error {
		return c.nodes[node].Do(&fsm.Request{Atomic: true, Calls: calls})
	}
	var refusal command.Refusal
	for i := range c.disks {
		c.disks[i].low()
	}
	c.spaces(raftnode.SpaceLow)
	err := atomic(1, call("DEL", "ready"), call("SET", "new", "1"), call("GET", "ready"))
	if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Reply.Text, "MISCONF ") {
		t.Errorf("got %v", err)
	}
	if err := atomic(1, call("EXPIRE", "ready", "100000"), call("GET", "ready")); err != nil {
		t.Errorf("what needs no room: %v", err)
	}
	for i := range c.disks {
		c.disks[i].empty()
	}
	c.spaces(raftnode.SpaceOK)

	limit := command.SetConfigCall(false, "maxmemory", "1")
	if err := c.nodes[0].Do(&fsm.Request{Calls: []fsm.Call{limit}}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the limit is known", func() bool { return c.nodes[2].Memory().Over() })
	err = atomic(2, call("DEL", "ready"), call("SET", "new", "1"))
	if !errors.As(err, &refusal) || refusal.Reply.Text != command.OutOfMemory.Text {
		t.Errorf("got %v", err)
	}
	if got := c.pipeline(2, call("GET", "ready"), call("EXISTS", "new")); got[0] != "1" || got[1] != "0" {
		t.Errorf("afterwards: %q", got)
	}
	if err := atomic(2, call("DEL", "ready"), call("GET", "ready")); err != nil {
		t.Errorf("what needs no room: %v", err)
	}
}

// TestWatchThroughAnyNode: what one node has watched, a write through another one makes stale.
func TestWatchThroughAnyNode(t *testing.T) {
	c := startTrio(t)
	for watcher := range c.nodes {
		look := command.WatchCall(0, [][]byte{[]byte("ready"), []byte("none")})
		seen := &fsm.Request{Calls: []fsm.Call{look}}
		if err := c.nodes[watcher].Do(seen); err != nil {
			t.Fatal(err)
		}
		watched := command.WatchedKeys(&look, &seen.Replies[0])
		exec := func(node int) bool {
			req := &fsm.Request{Atomic: true, Watched: watched, Calls: []fsm.Call{call("INCR", "ran"), call("GET", "ran")}}
			if err := c.nodes[node].Do(req); err != nil {
				t.Fatal(err)
			}
			if req.Stale == (len(req.Replies) == 2) {
				t.Errorf("stale %v with %d replies", req.Stale, len(req.Replies))
			}
			return !req.Stale
		}
		if !exec(watcher) {
			t.Errorf("node %d: stale without a change", watcher+1)
		}
		c.do((watcher+1)%3, "SET", "ready", "1")
		for node := range c.nodes {
			if exec(node) {
				t.Errorf("watched through node %d, executed through node %d: the change was not seen", watcher+1, node+1)
			}
		}
	}
	if got := c.do(0, "GET", "ran"); got != "3" {
		t.Errorf("%s transactions were executed, not 3", got)
	}
}
