package raftnode_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"redoubt/raftnode"
)

// outcomes counts what became of proposals, by payload.
type outcomes struct {
	mu  sync.Mutex
	err map[string]error
}

// check compares what was answered with what was applied.
func (o *outcomes) check(t *testing.T, applied []string) {
	t.Helper()
	times := make(map[string]int)
	for _, item := range applied {
		times[item]++
	}
	for payload, err := range o.err {
		n := times[payload]
		switch {
		case err == nil && n != 1:
			t.Errorf("%s was acknowledged and applied %d times", payload, n)
		case errors.Is(err, raftnode.ErrUncertain) && n > 1:
			t.Errorf("%s had an unknown outcome and was applied %d times", payload, n)
		case err != nil && !errors.Is(err, raftnode.ErrUncertain) && n != 0:
			t.Errorf("%s was said not to be executed (%v) and was applied %d times", payload, err, n)
		}
	}
}

// load proposes from several clients on every node until stop is closed or each did n.
func load(nodes map[uint64]*node, clients, n int, stop <-chan struct{}) *outcomes {
	o := &outcomes{err: make(map[string]error)}
	var wg sync.WaitGroup
	for id, node := range nodes {
		for client := range clients {
			wg.Add(1)
			go func() {
				defer wg.Done()
				p := raftnode.NewProposal()
				for i := range n {
					select {
					case <-stop:
						return
					default:
					}
					payload := fmt.Sprintf("node %d client %d item %d", id, client, i)
					p.Payload = []byte(payload)
					err := node.Propose(p)
					o.mu.Lock()
					o.err[payload] = err
					o.mu.Unlock()
					if err != nil {
						p = raftnode.NewProposal()
					}
				}
			}()
		}
	}
	wg.Wait()
	return o
}

func TestProposeOnEveryNode(t *testing.T) {
	c := newCluster(t, 3, 1, nil)
	o := load(c.nodes, 8, 50, nil)
	for payload, err := range o.err {
		if err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	o.check(t, c.agree())
}

func TestLossyNetwork(t *testing.T) {
	c := newCluster(t, 3, 2, nil)
	c.leader()
	c.net.lossy(0.05, 0.1)
	o := load(c.nodes, 4, 60, nil)
	c.net.lossy(0, 0)
	if err := c.propose(1, "last"); err != nil {
		t.Fatal(err)
	}
	o.check(t, c.agree())
}

// TestLeaderCutOff cuts leaders off under load. Every proposal must have a true answer, and those of
// the old leader that it could not commit must be done by the new one.
func TestLeaderCutOff(t *testing.T) {
	c := newCluster(t, 3, 3, nil)
	stop := make(chan struct{})
	done := make(chan *outcomes)
	go func() { done <- load(c.nodes, 4, 1<<20, stop) }()
	for range 4 {
		old := c.leader()
		c.net.isolate(old, true)
		c.eventually("another leader", func() bool {
			for id, n := range c.nodes {
				if v := n.Status().View; id != old && v.Leader == id {
					return true
				}
			}
			return false
		})
		c.net.isolate(old, false)
		c.eventually("the old leader follows", func() bool {
			v := c.nodes[old].Status().View
			return v.Leader != 0 && v.Leader != old
		})
	}
	close(stop)
	o := <-done
	unknown := 0
	for _, err := range o.err {
		if err != nil {
			unknown++
		}
	}
	if unknown > 0 {
		t.Errorf("%d of %d proposals failed though the leader came back in time", unknown, len(o.err))
	}
	o.check(t, c.agree())
}

// TestCutOffForLong keeps a node away from the others for longer than a request waits.
func TestCutOffForLong(t *testing.T) {
	c := newCluster(t, 3, 4, nil)
	old := c.leader()
	if err := c.propose(old, "before"); err != nil {
		t.Fatal(err)
	}
	c.net.isolate(old, true)
	// The leader proposes it at once and can't commit it.
	if err := c.propose(old, "in flight"); !errors.Is(err, raftnode.ErrUncertain) {
		t.Errorf("a proposal in flight got %v, want ErrUncertain", err)
	}
	// By now it knows that it leads no one: this one is never proposed.
	if err := c.propose(old, "too late"); !errors.Is(err, raftnode.ErrNoLeader) {
		t.Errorf("a proposal without a leader got %v, want ErrNoLeader", err)
	}
	if err := c.nodes[old].ReadBarrier(); !errors.Is(err, raftnode.ErrNoLeader) {
		t.Errorf("a read without a leader got %v, want ErrNoLeader", err)
	}
	c.net.isolate(old, false)
	if err := c.propose(old, "after"); err != nil {
		t.Fatal(err)
	}
	for _, item := range c.agree() {
		if item == "too late" {
			t.Error("a proposal that was said not to be executed was applied")
		}
	}
}

// TestReadBarrier reads on every node, while leaders are cut off: what was acknowledged before a read
// began must be there when the barrier returns.
func TestReadBarrier(t *testing.T) {
	for _, lease := range []bool{true, false} {
		t.Run(fmt.Sprint("lease=", lease), func(t *testing.T) {
			c := newCluster(t, 3, 5, func(c *cluster) { c.lease = lease })
			c.leader()
			var mu sync.Mutex
			acked := 0 // number of items acknowledged, in order
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					p := raftnode.NewProposal()
					p.Payload = []byte(fmt.Sprint(i))
					if c.nodes[uint64(i%3)+1].Propose(p) == nil {
						mu.Lock()
						acked = max(acked, p.Context.(int)) // its place in the list
						mu.Unlock()
					}
				}
			}()
			var reads [4]int
			for id, n := range c.nodes {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for {
						select {
						case <-stop:
							return
						default:
						}
						mu.Lock()
						want := acked
						mu.Unlock()
						if n.ReadBarrier() != nil {
							continue
						}
						if got := len(n.machine.items()); got < want {
							t.Errorf("node %d read %d items, %d were acknowledged before", id, got, want)
							return
						}
						reads[id]++
					}
				}()
			}
			for range 3 {
				old := c.leader()
				c.net.isolate(old, true)
				c.eventually("another leader", func() bool { return c.leader() != old })
				c.net.isolate(old, false)
			}
			close(stop)
			wg.Wait()
			for id := 1; id <= 3; id++ {
				if reads[id] == 0 {
					t.Errorf("node %d never read", id)
				}
			}
		})
	}
}

// TestLeaseEnds checks that a leader that is cut off stops answering before another one can commit.
func TestLeaseEnds(t *testing.T) {
	c := newCluster(t, 3, 6, nil)
	old := c.leader()
	c.eventually("a lease", func() bool {
		before := c.nodes[old].Status().Stats.LeaseReads.Load()
		return c.nodes[old].ReadBarrier() == nil && c.nodes[old].Status().Stats.LeaseReads.Load() > before
	})
	c.net.isolate(old, true)
	other := old%3 + 1
	if err := c.propose(other, "news"); err != nil { // waits for the new leader
		t.Fatal(err)
	}
	if err := c.nodes[old].ReadBarrier(); err == nil {
		t.Error("a deposed leader that hears no one confirmed a read")
	}
	c.net.isolate(old, false)
	if err := c.nodes[old].ReadBarrier(); err != nil {
		t.Fatal(err)
	}
	if len(c.nodes[old].machine.items()) != 1 {
		t.Error("the barrier returned before the node had caught up")
	}
}

// TestCrashOfAll crashes all nodes at once, again and again: what was acknowledged stays.
func TestCrashOfAll(t *testing.T) {
	c := newCluster(t, 3, 7, func(c *cluster) { c.snap = 4 << 10 })
	all := &outcomes{err: make(map[string]error)}
	for round := range 4 {
		stop := make(chan struct{})
		done := make(chan *outcomes)
		go func() { done <- load(c.nodes, 3, 1<<20, stop) }()
		target := c.nodes[1]
		start := target.Status().Applied
		c.eventually("progress", func() bool { return target.Status().Applied > start+100 })
		// The file systems are cloned while proposals are being acknowledged; an acknowledgement that
		// comes after the clone of a majority may be for something the clones don't hold, so stop first.
		close(stop)
		o := <-done
		for payload, err := range o.err {
			all.err[fmt.Sprint("round ", round, " ", payload)] = err
		}
		for _, id := range c.ids {
			c.crash(id)
		}
		for _, id := range c.ids {
			c.start(id)
		}
		for err := errors.New("not tried"); err != nil; {
			// A snapshot may skip it, after which its outcome is not known.
			if err = c.propose(2, "restarted"); err != nil && !errors.Is(err, raftnode.ErrUncertain) {
				t.Fatal(err)
			}
		}
	}
	items := c.agree()
	counts := make(map[string]int)
	for _, item := range items {
		counts[item]++
	}
	acked := make(map[string]int)
	for payload, err := range all.err {
		if err == nil {
			var round int
			var a, b, d int
			if _, e := fmt.Sscanf(payload, "round %d node %d client %d item %d", &round, &a, &b, &d); e != nil {
				t.Fatal(e)
			}
			acked[fmt.Sprintf("node %d client %d item %d", a, b, d)]++
		}
	}
	for payload, n := range acked {
		if counts[payload] < n {
			t.Errorf("%q was acknowledged %d times and is there %d times", payload, n, counts[payload])
		}
	}
}

// TestSnapshotCatchUp leaves a node behind until the log it needs is gone.
func TestSnapshotCatchUp(t *testing.T) {
	c := newCluster(t, 3, 8, func(c *cluster) { c.snap = 2 << 10 })
	away := c.leader()%3 + 1
	if err := c.propose(away, "first"); err != nil {
		t.Fatal(err)
	}
	c.stop(away)
	load(c.nodes, 4, 100, nil)
	c.eventually("a truncated log", func() bool {
		for _, n := range c.nodes {
			if n.Status().FirstIndex < 50 {
				return false
			}
		}
		return true
	})
	n := c.start(away)
	c.eventually("a snapshot", func() bool { return n.Status().Stats.SnapshotsReceived.Load() > 0 })
	c.agree() // a proposal made while the snapshot is installed may have an unknown outcome
	if err := c.propose(away, "back"); err != nil {
		t.Fatal(err)
	}
	items := c.agree()
	if items[0] != "first" || items[len(items)-1] != "back" {
		t.Errorf("first and last items are %q and %q", items[0], items[len(items)-1])
	}
	c.crash(away) // what was installed is durable
	c.start(away)
	if err := c.propose(away, "again"); err != nil {
		t.Fatal(err)
	}
	c.agree()
}

// TestWipedNode brings a node back under its id without its data.
func TestWipedNode(t *testing.T) {
	c := newCluster(t, 3, 9, nil)
	c.leader()
	load(c.nodes, 1, 5, nil)
	c.agree()
	leader := c.leader()
	if leader == 3 { // it must go on leading, with what it remembers of node 3
		if err := c.nodes[3].Transfer(1, timeout); err != nil {
			t.Fatal(err)
		}
	}
	c.stop(3)
	c.fs[3] = newFS()
	c.inc[3] = 9999
	n := c.start(3)
	select {
	case <-n.Failed():
	case <-time.After(timeout):
		t.Fatal("the wiped node was let in")
	}
	var wiped *raftnode.WipedError
	if !errors.As(n.Err(), &wiped) {
		t.Fatalf("it failed with %v", n.Err())
	}
	if err := c.propose(1, "the others go on"); err != nil {
		t.Fatal(err)
	}
	c.stop(3)
	if err := c.change(1, raftnode.OpReplace, raftnode.Member{ID: 3, Incarnation: 9999}); err != nil {
		t.Fatal(err)
	}
	c.start(3)
	c.eventually("the replaced node is heard", func() bool { return c.propose(3, "replaced") == nil })
	c.awaitMembers("1v 2v 3v")
	c.agree()
	c.stop(3)
	c.inc[3] = 1003 // the one that was replaced must not come back either
	n = c.start(3)
	select {
	case <-n.Failed():
	case <-time.After(timeout):
		t.Fatal("the old incarnation was let in")
	}
}

func TestTransfer(t *testing.T) {
	c := newCluster(t, 3, 10, nil)
	old := c.leader()
	stop := make(chan struct{})
	done := make(chan *outcomes)
	go func() { done <- load(c.nodes, 2, 1<<20, stop) }()
	for _, asked := range []uint64{old, old%3 + 1} { // at the leader and through a follower
		to := c.leader()%3 + 1
		if err := c.nodes[asked].Transfer(to, timeout); err != nil {
			t.Fatal(err)
		}
		if now := c.leader(); now != to {
			t.Errorf("node %d leads, not %d", now, to)
		}
	}
	if err := c.nodes[old].Transfer(42, timeout); err == nil {
		t.Error("leadership was given to a node that does not exist")
	}
	close(stop)
	o := <-done
	for payload, err := range o.err {
		if err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	o.check(t, c.agree())
}

func TestSingleNode(t *testing.T) {
	c := newCluster(t, 1, 11, nil)
	load(c.nodes, 4, 50, nil)
	if err := c.nodes[1].ReadBarrier(); err != nil {
		t.Fatal(err)
	}
	c.crash(1)
	c.start(1)
	if err := c.nodes[1].ReadBarrier(); err != nil {
		t.Fatal(err)
	}
	if got := len(c.nodes[1].machine.items()); got != 200 {
		t.Errorf("%d items after the crash, want 200", got)
	}
}

// TestMembersAnnounced checks that the log learns where nodes are and who they are.
func TestMembersAnnounced(t *testing.T) {
	c := newCluster(t, 3, 12, nil)
	c.eventually("announcements on all nodes", func() bool {
		for _, n := range c.nodes {
			for _, m := range n.Status().Members {
				if m.ClientAddr != fmt.Sprint("client-", m.ID) || m.Incarnation != 1000+m.ID {
					return false
				}
			}
		}
		return true
	})
	commit, progress, err := c.nodes[2].Progress(timeout)
	if err != nil || len(progress) != 3 || commit == 0 {
		t.Fatalf("Progress = %d, %v, %v", commit, progress, err)
	}
}

// Whoever waits for a group that fails gets an answer without anybody closing it: what is being applied may
// have happened, what comes after has not.
func TestFailedGroupAnswers(t *testing.T) {
	c := newCluster(t, 1, 1, nil)
	c.eventually("a write is taken", func() bool { return c.propose(1, "first") == nil })
	n := c.nodes[1]
	n.machine.mu.Lock()
	n.machine.broken = errors.New("broken")
	n.machine.mu.Unlock()
	verdicts := make(chan error)
	for i := range 10 {
		go func() { verdicts <- c.propose(1, fmt.Sprint("lost ", i)) }()
	}
	uncertain := 0
	for range 10 {
		switch err := <-verdicts; {
		case errors.Is(err, raftnode.ErrUncertain):
			uncertain++
		case !errors.Is(err, raftnode.ErrClosed):
			t.Errorf("a proposal to a group that fails: %v", err)
		}
	}
	if uncertain == 0 {
		t.Error("no proposal was being applied")
	}
	if err := c.propose(1, "late"); !errors.Is(err, raftnode.ErrClosed) {
		t.Errorf("a proposal to a group that has failed: %v", err)
	}
	if n.Err() == nil {
		t.Error("the group did not fail")
	}
}
