package redoubt

import (
	"errors"
	"testing"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// A local read is answered while what the node has is known to be young enough, by the clock after the
// read. The node has no goroutine that would refresh that by itself.
func TestLocalReadsHaveABound(t *testing.T) {
	now := time.Duration(time.Second)
	p := system
	cfg, err := Config{DataDir: t.TempDir(), RaftListen: "127.0.0.1:0", MaxStaleness: time.Second}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	n, err := openOn(p, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.clock = func() time.Duration { return now }
	get := func() error {
		req := fsm.Request{Calls: []fsm.Call{{Args: [][]byte{[]byte("GET"), []byte("k")}, Read: true}},
			Replies: make([]resp.Reply, 1), Local: true}
		return n.Do(&req)
	}
	for _, step := range []struct {
		name    string
		freshAt time.Duration
		max     time.Duration
		want    error
	}{
		{"nothing was ever confirmed", 0, time.Second, command.ErrStale},
		{"confirmed now", time.Second, time.Second, nil},
		{"as old as allowed", time.Millisecond, 999 * time.Millisecond, nil},
		{"older than allowed", time.Millisecond - 1, 999 * time.Millisecond, command.ErrStale},
		{"no bound", 0, 0, nil},
	} {
		n.freshAt.Store(int64(step.freshAt))
		n.SetMaxStaleness(step.max)
		if err := get(); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.name, err, step.want)
		}
	}
}

// A node that runs keeps itself fresh, and a lone leader is always live.
func TestNodeKeepsFresh(t *testing.T) {
	n, err := Open(Config{DataDir: t.TempDir(), RaftListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	deadline := time.Now().Add(20 * time.Second)
	first := int64(0)
	for {
		at := n.freshAt.Load()
		if first != 0 && at > first {
			break
		}
		first = max(first, at)
		if time.Now().After(deadline) {
			t.Fatal("nothing is confirmed")
		}
		time.Sleep(time.Millisecond)
	}
	if v := n.View(); v.Role != "leader" || !v.Live || v.LeaderAddr == "" {
		t.Errorf("view is %+v", v)
	}
}
