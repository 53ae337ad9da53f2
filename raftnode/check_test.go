package raftnode_test

import (
	"redoubt/raftnode"
	"testing"
)

// corrupt returns which of the running nodes take themselves to be corrupt.
func (c *cluster) corrupt() map[uint64]bool {
	found := make(map[uint64]bool)
	for id, n := range c.nodes {
		if n.Corrupt() != "" {
			found[id] = true
		}
	}
	return found
}

// checkedCluster is one whose nodes hold something and have compared it.
func checkedCluster(t *testing.T, size int) (*cluster, uint64) {
	c := newCluster(t, size, 1, nil)
	leader := c.leader()
	if err := c.propose(leader, "first"); err != nil {
		t.Fatal(err)
	}
	c.agree()
	c.eventually("states are compared", func() bool {
		leader = c.leader()
		return c.nodes[leader].Status().Checked > 0
	})
	return c, leader
}

func (c *cluster) other(than ...uint64) uint64 {
next:
	for _, id := range c.ids {
		for _, not := range than {
			if id == not {
				continue next
			}
		}
		return id
	}
	return 0
}

// wantAlone sees that one node, and no other, is corrupt, does not lead, and is known to the leader.
func (c *cluster) wantAlone(bad uint64) (leader uint64) {
	c.t.Helper()
	c.eventually("the false node finds out", func() bool { return c.corrupt()[bad] })
	c.eventually("another one leads and knows", func() bool {
		leader = c.leader()
		if leader == bad {
			return false
		}
		_, progress, err := c.nodes[leader].Progress(timeout)
		return err == nil && progress[bad].Corrupt
	})
	before := c.nodes[leader].Status().Checked
	if err := c.propose(leader, "more"); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("the others go on checking each other", func() bool {
		leader = c.leader()
		return c.nodes[leader].Status().Checked > before
	})
	if found := c.corrupt(); len(found) != 1 {
		c.t.Fatalf("corrupt: %v, not only %d", found, bad)
	}
	return leader
}

func TestCheckFindsAFollower(t *testing.T) {
	c, leader := checkedCluster(t, 3)
	bad := c.other(leader)
	c.nodes[bad].machine.falsify()
	if err := c.propose(leader, "second"); err != nil {
		t.Fatal(err)
	}
	c.wantAlone(bad)

	// It remembers, although what it holds now is what the log makes of its last checkpoint.
	c.stop(bad)
	if n := c.start(bad); n.Corrupt() == "" {
		t.Fatal("forgotten by a restart")
	}
	leader = c.wantAlone(bad)

	// It does not campaign, but its vote counts.
	third := c.other(leader, bad)
	c.stop(leader)
	c.eventually("the sound one leads", func() bool { return c.nodes[third].View().Leader == third })
	if err := c.propose(third, "with two"); err != nil {
		t.Fatal(err)
	}
	c.start(leader)
	leader = c.wantAlone(bad)
	if err := c.nodes[leader].Transfer(bad, 20*tick); err == nil {
		t.Fatal("leadership was transferred to the corrupt node")
	}

	// It comes back without its data.
	c.stop(bad)
	c.fs[bad] = newFS()
	c.inc[bad]++
	c.eventually("it is replaced", func() bool {
		leader = c.leader()
		return c.change(leader, raftnode.OpReplace, raftnode.Member{ID: bad, Incarnation: c.inc[bad]}) == nil
	})
	c.start(bad)
	c.agree()
	c.eventually("the leader takes it for sound", func() bool {
		_, progress, err := c.nodes[c.leader()].Progress(timeout)
		return err == nil && progress[bad].Active && !progress[bad].Corrupt
	})
}

func TestCheckFindsTheLeader(t *testing.T) {
	c, leader := checkedCluster(t, 3)
	c.nodes[leader].machine.falsify() // found without anything being written
	c.wantAlone(leader)
}

// Of two nodes nobody can tell which is right.
func TestCheckWithoutMajority(t *testing.T) {
	c, leader := checkedCluster(t, 2)
	c.nodes[leader].machine.falsify()
	c.eventually("both are taken to be corrupt", func() bool { return len(c.corrupt()) == 2 })
}

// With one of three away the others can't tell either. The third is out of doubt when it returns.
func TestCheckWithOneAway(t *testing.T) {
	c, leader := checkedCluster(t, 3)
	away := c.other(leader)
	c.net.isolate(away, true)
	c.nodes[leader].machine.falsify()
	c.eventually("both are taken to be corrupt", func() bool { return len(c.corrupt()) == 2 })
	c.net.isolate(away, false)
	c.eventually("the third leads", func() bool { return c.nodes[away].View().Leader == away })
	if c.nodes[away].Corrupt() != "" {
		t.Fatal("the third is taken to be corrupt")
	}
}

// A leader that is corrupt, but that nobody else can relieve, sends its state to no one.
func TestCorruptSnapshotStays(t *testing.T) {
	c, leader := checkedCluster(t, 3)
	away := c.other(leader)
	c.stop(away)
	for _, id := range []uint64{c.other(leader, away), leader} { // the leader finds nobody to take over
		c.nodes[id].Condemn("for a test")
	}
	for range 10 {
		if err := c.propose(leader, "after"); err != nil { // its log is as good as any
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		if _, err := n.MakeSnapshot(); err != nil {
			t.Fatal(err)
		}
	}
	if first := c.nodes[leader].Status().FirstIndex; first < 10 {
		t.Fatalf("the log was not truncated: it starts at %d", first)
	}
	c.start(away)
	state := func() string {
		_, progress, err := c.nodes[leader].Progress(timeout)
		if err != nil {
			return ""
		}
		return progress[away].State
	}
	c.eventually("a snapshot is wanted", func() bool { return state() == "StateSnapshot" })
	c.eventually("it was not delivered", func() bool { return state() == "StateProbe" })
	if n := c.nodes[away].Status().Stats.SnapshotsReceived.Load(); n != 0 {
		t.Fatal("it was sent")
	}
}
