package raftnode_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"redoubt/raftnode"
)

// join makes a node of the cluster, through the node at, and starts it.
func (c *cluster) join(at uint64) uint64 {
	c.t.Helper()
	id, err := c.tryJoin(at)
	if err != nil {
		c.t.Fatal(err)
	}
	c.start(id)
	return id
}

// tryJoin asks for an id, and prepares what the node is to start from.
func (c *cluster) tryJoin(at uint64) (uint64, error) {
	c.joins++
	inc := 5000 + c.joins
	m, err := c.nodes[at].Change(raftnode.Change{Op: raftnode.OpAdd, Member: raftnode.Member{Promote: true, Incarnation: inc,
		RaftAddr: fmt.Sprintf("raft-joined-%d:1", c.joins)}}, timeout)
	if err != nil {
		return 0, err
	}
	meta, err := c.nodes[at].Membership()
	if err != nil {
		c.t.Fatal(err)
	}
	_, id, err := raftnode.Locate(meta, inc)
	if err != nil || id != m.ID {
		c.t.Fatalf("the new node is %d, not %d: %v", id, m.ID, err)
	}
	c.ids = append(c.ids, id)
	c.fs[id], c.inc[id], c.joined[id] = newFS(), inc, meta
	return id, nil
}

// members describes the members as a node knows them: v for voters, l for learners.
func (c *cluster) members(at uint64) string {
	var out []string
	for _, m := range c.nodes[at].Status().Members {
		kind := "v"
		if m.Learner {
			kind = "l"
		}
		out = append(out, fmt.Sprint(m.ID, kind))
	}
	return strings.Join(out, " ")
}

// awaitMembers waits until all running nodes know these members.
func (c *cluster) awaitMembers(want string) {
	c.t.Helper()
	for id := range c.nodes {
		c.eventually(fmt.Sprintf("node %d knows the members %s", id, want), func() bool { return c.members(id) == want })
	}
}

// awaitRemoved waits until a node stops because it was removed, and sees that it does not start again.
func (c *cluster) awaitRemoved(id uint64) {
	c.t.Helper()
	n := c.nodes[id]
	c.eventually(fmt.Sprintf("node %d is told that it was removed", id), func() bool { return n.Err() != nil })
	if removed := (*raftnode.RemovedError)(nil); !errors.As(n.Err(), &removed) || removed.NodeID != id {
		c.t.Fatalf("the removed node %d stops with %v", id, n.Err())
	}
	c.crash(id)
	if _, err := c.open(id); err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
		c.t.Fatalf("the removed node %d starts again: %v", id, err)
	}
	c.ids = slices.DeleteFunc(c.ids, func(o uint64) bool { return o == id })
}

// TestGrowAndShrink goes from one node to three, to five and back to three under load, the leader being
// removed as well.
func TestGrowAndShrink(t *testing.T) {
	c := newCluster(t, 1, 21, nil)
	stop, done := make(chan struct{}), make(chan *outcomes)
	nodes := maps.Clone(c.nodes)
	go func() { done <- load(nodes, 2, 1<<20, stop) }()
	c.eventually("there is load", func() bool { return len(c.nodes[1].machine.items()) > 10 })
	for id := uint64(2); id <= 5; id++ {
		if got := c.join(c.ids[len(c.ids)-1]); got != id {
			t.Fatalf("node %d got the id %d", id, got)
		}
		c.eventually("it votes", func() bool { return strings.Contains(c.members(1), fmt.Sprint(id, "v")) })
	}
	c.awaitMembers("1v 2v 3v 4v 5v")
	close(stop)
	(<-done).check(t, c.agree())
	for _, id := range []uint64{c.leader(), 0} {
		if id == 0 { // one that does not lead, asked itself
			id = c.leader()%5 + 1
			for !slices.Contains(c.ids, id) {
				id = id%5 + 1
			}
		}
		if err := c.change(c.ids[0], raftnode.OpRemove, raftnode.Member{ID: id}); err != nil && !errors.Is(err, raftnode.ErrClosed) &&
			!errors.Is(err, raftnode.ErrUncertain) {
			t.Fatalf("remove %d: %v", id, err)
		}
		c.awaitRemoved(id)
	}
	c.leader()
	if err := c.propose(c.ids[0], "of three"); err != nil {
		t.Fatal(err)
	}
	if id := c.join(c.ids[1]); id != 6 {
		t.Errorf("an id was used again: %d", id)
	}
	c.eventually("the sixth votes", func() bool { return strings.Contains(c.members(6), "6v") })
	c.agree()
}

// TestChangeRefusals asks for what must not be done.
func TestChangeRefusals(t *testing.T) {
	c := newCluster(t, 3, 22, nil)
	leader := c.leader()
	follower := leader%3 + 1
	third := follower%3 + 1
	c.eventually("announcements", func() bool {
		return !slices.ContainsFunc(c.nodes[follower].Status().Members, func(m raftnode.Member) bool { return m.Incarnation == 0 })
	})
	refused := func(op raftnode.Op, m raftnode.Member, why string) {
		t.Helper()
		for _, at := range []uint64{leader, follower} {
			err := c.change(at, op, m)
			if refusal := (*raftnode.RefusalError)(nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, why) {
				t.Errorf("%s %+v at node %d: %v, want %q", op, m, at, err, why)
			}
		}
	}
	refused(raftnode.OpRemove, raftnode.Member{ID: 9}, "not a member")
	refused(raftnode.OpPromote, raftnode.Member{ID: 9}, "not a member")
	refused(raftnode.OpDemote, raftnode.Member{ID: 9}, "not a member")
	refused(raftnode.OpReplace, raftnode.Member{ID: 9, Incarnation: 1}, "not a member")
	refused(raftnode.OpReplace, raftnode.Member{ID: leader, Incarnation: 1}, "leads")
	refused(raftnode.OpAdd, raftnode.Member{ID: 2, RaftAddr: "new:1"}, "in use")
	refused(raftnode.OpAdd, raftnode.Member{ID: 1 << 40, RaftAddr: "new:1"}, "too large")
	refused(raftnode.OpAdd, raftnode.Member{RaftAddr: "raft-2:1", Incarnation: 4711}, "RAFT REMOVE 2")
	refused(raftnode.OpAdd, raftnode.Member{RaftAddr: "%zz"}, "not an address")
	if err := c.change(follower, raftnode.OpAdd, raftnode.Member{ID: 7, RaftAddr: "away:1"}); err != nil {
		t.Fatal(err)
	}
	refused(raftnode.OpPromote, raftnode.Member{ID: 7}, "lags behind")
	refused(raftnode.OpAdd, raftnode.Member{ID: 5, RaftAddr: "new:1"}, "in use before")
	if err := c.nodes[follower].Transfer(7, timeout); err == nil || !strings.Contains(err.Error(), "is a learner") {
		t.Errorf("transfer to a learner: %v", err)
	}
	if err := c.nodes[follower].Transfer(9, timeout); err == nil || !strings.Contains(err.Error(), "not a member") {
		t.Errorf("transfer to nobody: %v", err)
	}
	c.stop(third)
	if err := c.change(leader, raftnode.OpRemove, raftnode.Member{ID: 7}); err != nil {
		t.Fatal(err)
	}
	refused(raftnode.OpAdd, raftnode.Member{ID: 7, RaftAddr: "away:1"}, "in use before")
	c.eventually("node 3 counts as away", func() bool {
		_, progress, err := c.nodes[leader].Progress(timeout)
		return err == nil && !progress[third].Active
	})
	refused(raftnode.OpRemove, raftnode.Member{ID: follower}, "no majority")
	refused(raftnode.OpDemote, raftnode.Member{ID: follower}, "no majority")
	if err := c.change(follower, raftnode.OpRemove, raftnode.Member{ID: third}); err != nil {
		t.Fatal("the node that is away can't be removed:", err)
	}
	if _, err := c.open(third); err != nil { // it does not know yet
		t.Fatal(err)
	}
	c.awaitRemoved(third)
	if err := c.change(leader, raftnode.OpDemote, raftnode.Member{ID: follower}); err != nil {
		t.Fatal(err)
	}
	refused(raftnode.OpRemove, raftnode.Member{ID: leader}, "last voter")
	refused(raftnode.OpDemote, raftnode.Member{ID: leader}, "last voter")
	if err := c.change(follower, raftnode.OpPromote, raftnode.Member{ID: follower}); err != nil {
		t.Fatal(err)
	}
	c.awaitMembers(strings.Join([]string{fmt.Sprint(min(leader, follower), "v"), fmt.Sprint(max(leader, follower), "v")}, " "))
	c.agree()
}
