package redoubt

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

const testReserve = 1 << 20

// disk is the free space that a node believes in.
type disk struct{ free atomic.Uint64 }

func (d *disk) usage(string) (uint64, error) { return d.free.Load(), nil }
func (d *disk) empty()                       { d.free.Store(100 * testReserve) }
func (d *disk) low()                         { d.free.Store(testReserve / 2) }
func (d *disk) full()                        { d.free.Store(testReserve / 8) }

// trio is a cluster in this process.
type trio struct {
	t     *testing.T
	nodes [3]*Node
	disks [3]disk
	gone  [3]bool // closed before the test ends
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t}
	cluster := make(map[uint64]string)
	for id := range uint64(3) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cluster[id+1] = ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.nodes {
		c.disks[i].empty()
		n, err := Open(Config{ID: uint64(i + 1), Cluster: cluster, DataDir: t.TempDir(), MinFreeDisk: testReserve,
			DiskUsage: c.disks[i].usage, CacheBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		c.nodes[i] = n
		t.Cleanup(func() { c.stop(i) })
	}
	c.eventually("a write is taken", func() bool { return c.do(0, "SET", "ready", "1") == "OK" })
	return c
}

func (c *trio) stop(node int) {
	if c.gone[node] {
		return
	}
	c.gone[node] = true
	if err := errors.Join(c.nodes[node].Err(), c.nodes[node].Close()); err != nil {
		c.t.Error(err)
	}
}

func (c *trio) eventually(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal("never: ", what)
		}
	}
}

func call(words ...string) fsm.Call {
	c := fsm.Call{Read: words[0] == "GET" || words[0] == "EXISTS"}
	for _, w := range words {
		c.Args = append(c.Args, []byte(w))
	}
	return c
}

// do returns the reply to a command, or the error, as text.
func (c *trio) do(node int, words ...string) string {
	return c.pipeline(node, call(words...))[0]
}

func (c *trio) pipeline(node int, calls ...fsm.Call) []string {
	req := &fsm.Request{Calls: calls}
	if err := c.nodes[node].Do(req); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, r := range req.Replies {
		if r.Kind == resp.Integer {
			out = append(out, fmt.Sprint(r.Int))
		} else if r.Kind == resp.Bulk {
			out = append(out, string(r.Bytes)+r.Text)
		} else {
			out = append(out, r.Text)
		}
	}
	return out
}

// spaces waits until all nodes know that the cluster has this much room.
func (c *trio) spaces(want raftnode.Space) {
	c.t.Helper()
	c.eventually("all nodes know: "+want.String(), func() bool {
		for _, n := range c.nodes {
			if n.group.Space() != want {
				return false
			}
		}
		return true
	})
}

func (c *trio) leader() int {
	c.t.Helper()
	leader := -1
	c.eventually("a leader", func() bool {
		for i, n := range c.nodes {
			if n.Leading() {
				leader = i
				return true
			}
		}
		return false
	})
	return leader
}

// TestDisksFull: a majority short of space refuses on every node what makes the data grow, and
// nothing else, and takes it again by itself.
func TestDisksFull(t *testing.T) {
	c := startTrio(t)
	for i := range c.disks {
		c.disks[i].low()
	}
	c.spaces(raftnode.SpaceLow)
	for i := range c.nodes {
		key := fmt.Sprint("key", i)
		if got := c.do(i, "SET", key, "1"); !strings.HasPrefix(got, "MISCONF ") {
			t.Errorf("SET on node %d: %q", i+1, got)
		}
		if got := c.do(i, "GET", "ready"); got != "1" {
			t.Errorf("GET on node %d: %q", i+1, got)
		}
		got := c.pipeline(i, call("SET", key, "1"), call("GET", "ready"), call("INCR", key), call("DEL", key), call("GET", "ready"))
		if len(got) != 5 || !strings.HasPrefix(got[0], "MISCONF ") || got[1] != "1" || !strings.HasPrefix(got[2], "MISCONF ") ||
			got[3] != "0" || got[4] != "1" {
			t.Errorf("a pipeline on node %d: %q", i+1, got)
		}
	}
	for _, words := range [][]string{{"EXPIRE", "ready", "1000"}, {"DEL", "ready"}, {"FLUSHALL"}} {
		if got := c.do(c.leader(), words...); got != "1" && got != "OK" {
			t.Errorf("%s: %q", words, got)
		}
	}
	if st := c.nodes[c.leader()].Status(); st.Space != "low" || st.NodeSpace != "low" {
		t.Errorf("the leader shows %q and %q", st.Space, st.NodeSpace)
	}
	for i := range c.disks {
		c.disks[i].full()
	}
	c.spaces(raftnode.SpaceNone)
	if got := c.do(0, "DEL", "a"); !strings.HasPrefix(got, "MISCONF ") {
		t.Errorf("DEL without any room: %q", got)
	}
	if got := c.do(1, "GET", "a"); got != "" {
		t.Errorf("GET without any room: %q", got)
	}
	for i := range c.disks {
		c.disks[i].empty()
	}
	c.spaces(raftnode.SpaceOK)
	if got := c.do(0, "SET", "a", "1"); got != "OK" {
		t.Errorf("SET with room again: %q", got)
	}
}

// TestOneDiskFull: the cluster goes on without the node, whether it leads or not, and the node
// catches up.
func TestOneDiskFull(t *testing.T) {
	c := startTrio(t)
	full := c.leader()
	c.disks[full].full()
	c.eventually("another node leads", func() bool { return !c.nodes[full].Leading() && c.nodes[full].group.View().Leader != 0 })
	c.spaces(raftnode.SpaceOK)
	value := strings.Repeat("x", 200<<10)
	for i := range 10 {
		key := fmt.Sprint("key", i)
		c.eventually("SET "+key, func() bool { return c.do((full+1)%3, "SET", key, value) == "OK" })
	}
	last := c.nodes[c.leader()].Status().Commit
	if got := c.nodes[full].Status().Applied; got+9 > last { // ten large entries came since
		t.Errorf("the node without room applied %d of %d", got, last)
	}
	shown := false
	for _, m := range c.nodes[c.leader()].Status().Members {
		shown = shown || m.ID == uint64(full+1) && m.Space == "none"
	}
	if !shown {
		t.Error("the leader does not show who is short of space")
	}
	c.disks[full].empty()
	c.eventually("the node has caught up", func() bool { return c.nodes[full].Status().Applied >= last })
}

// TestSpaceLevels: the way back up takes more room than the way down.
func TestSpaceLevels(t *testing.T) {
	w := &spaceWatch{reserve: 800}
	level := raftnode.SpaceOK
	for _, step := range []struct {
		free uint64
		want raftnode.Space
	}{{800, raftnode.SpaceOK}, {799, raftnode.SpaceLow}, {800, raftnode.SpaceLow}, {899, raftnode.SpaceLow}, {900, raftnode.SpaceOK},
		{200, raftnode.SpaceLow}, {199, raftnode.SpaceNone}, {224, raftnode.SpaceNone}, {225, raftnode.SpaceLow}, {1 << 40, raftnode.SpaceOK}} {
		if level = w.judge(step.free, level); level != step.want {
			t.Errorf("with %d free: %v, want %v", step.free, level, step.want)
		}
	}
}
