package failpoints_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"redoubt/test/ports"
)

// cluster is three processes and the clients that write to them.
type cluster struct {
	t       *testing.T
	nodes   []*process
	writers []*writer
	stop    chan struct{}
}

// newCluster starts three nodes that make snapshots all the time, and writers on each of them.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, stop: make(chan struct{})}
	var members []string
	for id := 1; id <= 3; id++ {
		raft := ports.Failpoints.Free(t)
		c.nodes = append(c.nodes, newProcess(t, id, "--id", fmt.Sprint(id), "--raft-listen", raft,
			"--snapshot-log-bytes", "64kb", "--election-timeout", "500ms", "--heartbeat-interval", "50ms"))
		members = append(members, fmt.Sprintf("%d=%s", id, raft))
	}
	for _, p := range c.nodes {
		p.args = append(p.args, "--cluster", strings.Join(members, ","))
		p.launch()
	}
	for i := range 2 * len(c.nodes) {
		c.writers = append(c.writers, newWriter(i, c.nodes[i%3].addr, c.nodes[(i+1)%3].addr))
	}
	for _, w := range c.writers {
		go w.run(c.stop)
	}
	t.Cleanup(c.stopWriters)
	c.awaitProgress("the start")
	return c
}

func (c *cluster) stopWriters() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	for _, w := range c.writers {
		<-w.ended
	}
}

// awaitProgress waits until every node has answered several writes that were sent after the call.
func (c *cluster) awaitProgress(after string) {
	c.t.Helper()
	c.awaitProgressOn(after, c.nodes...)
}

func (c *cluster) awaitProgressOn(after string, nodes ...*process) {
	c.t.Helper()
	goals := make(map[*writer]int64)
	for _, w := range c.writers {
		for _, p := range nodes {
			if w.addr == p.addr {
				goals[w] = w.progress.Load() + 4
			}
		}
	}
	eventually(c.t, "writes go on after "+after, func() bool {
		for _, p := range nodes {
			if !p.running() {
				c.t.Fatalf("node %d has ended after %s", p.id, after)
			}
		}
		maps.DeleteFunc(goals, func(w *writer, goal int64) bool { return w.progress.Load() >= goal })
		return len(goals) == 0
	})
}

// leader waits for a leader that most of the running nodes follow.
func (c *cluster) leader() *process {
	c.t.Helper()
	return c.leaderBut(nil)
}

// leaderBut is leader, where the opinion of one node does not count.
func (c *cluster) leaderBut(ignored *process) *process {
	c.t.Helper()
	var found *process
	eventually(c.t, "a leader", func() bool {
		votes := make(map[[2]int]int)
		for _, p := range c.nodes {
			if p != ignored && p.running() {
				votes[[2]int{p.field("leader"), p.field("term")}]++
			}
		}
		for vote, n := range votes {
			if id := vote[0]; n >= 2 && id > 0 && c.nodes[id-1] != ignored && c.nodes[id-1].running() {
				found = c.nodes[id-1]
			}
		}
		return found != nil
	})
	return found
}

// followers waits for a leader and returns the others.
func (c *cluster) followers() []*process {
	c.t.Helper()
	return c.others(c.leader())
}

func (c *cluster) others(p *process) []*process {
	var out []*process
	for _, o := range c.nodes {
		if o != p {
			out = append(out, o)
		}
	}
	return out
}

// leaveBehind kills a node and waits until the others have no log any more of what it lacks.
func (c *cluster) leaveBehind(p *process) {
	c.t.Helper()
	last := 0
	eventually(c.t, "a position in the log", func() bool { last = p.field("last"); return last > 0 })
	p.kill()
	// Whatever was still under way when it was asked fits into the margin.
	const margin = 200
	eventually(c.t, "the others truncate their logs", func() bool {
		for _, o := range c.others(p) {
			if o.field("first") <= last+margin {
				return false
			}
		}
		return true
	})
}

// verify ends the writers and looks at what every node has.
func (c *cluster) verify() {
	c.t.Helper()
	c.awaitProgress("the last point")
	c.stopWriters()
	acked := 0
	for _, w := range c.writers {
		for _, problem := range w.problems {
			c.t.Errorf("writer %d: %s", w.id, problem)
		}
		acked += w.count(done)
	}
	var states []map[string]string
	for _, p := range c.nodes {
		states = append(states, c.read(p))
	}
	for i, state := range states {
		for _, w := range c.writers {
			for _, problem := range w.check(state) {
				c.t.Errorf("node %d: %s", i+1, problem)
			}
		}
		if !maps.Equal(state, states[0]) {
			c.t.Errorf("node %d and node 1 hold different data", i+1)
		}
	}
	if acked == 0 {
		c.t.Error("nothing was written")
	}
	c.t.Logf("%d acknowledged writes are on every node", acked)
}

// read returns all that writers wrote, as one node has it.
func (c *cluster) read(p *process) map[string]string {
	c.t.Helper()
	conn, err := dial(p.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.close()
	state := make(map[string]string)
	for _, w := range c.writers {
		for _, key := range w.keys() {
			reply, err := conn.do("GET", key)
			if err != nil {
				c.t.Fatalf("node %d: GET %s: %v", p.id, key, err)
			}
			state[key], _ = reply.(string)
		}
	}
	if reply, err := conn.do("DBSIZE"); err != nil {
		c.t.Fatalf("node %d: DBSIZE: %v", p.id, err)
	} else {
		state["DBSIZE"] = fmt.Sprint(reply)
	}
	return state
}

// during runs f for every point, as a subtest, until one fails.
func (c *cluster) during(points []failpoint, f func(failpoint)) {
	outer := c.t
	defer func() { c.setTest(outer) }()
	for _, p := range points {
		start := time.Now()
		ok := outer.Run(p.name, func(t *testing.T) {
			c.setTest(t)
			for _, w := range c.writers {
				w.now.Store(&p.name)
			}
			f(p)
		})
		if !ok {
			return // the cluster is not in a state to go on from
		}
		outer.Logf("%s took %v", p.name, time.Since(start).Round(10*time.Millisecond))
	}
}

// setTest has failures reported for a subtest.
func (c *cluster) setTest(t *testing.T) {
	c.t = t
	for _, p := range c.nodes {
		p.t = t
	}
}
