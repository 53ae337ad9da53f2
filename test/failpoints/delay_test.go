package failpoints_test

import (
	"strings"
	"testing"
)

// delayed are the points of the way of a write and of a read, in the order in which a leader comes by.
var delayed = []string{"forward-taken", "log-append-before", "log-sync-before", "log-append-after", "send-after",
	"commit-before", "commit-after", "apply-before", "publish-before", "publish-after", "apply-after",
	"reply-before", "read-answer", "hard-state-before"}

// TestDelay holds a leader up at each point for longer than the others wait for a leader, and has none
// of its raft messages leave meanwhile, so that another one takes over. What the old leader says to its
// clients and to the nodes that asked it must be true nevertheless: the writers see to that.
func TestDelay(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var points []failpoint
	for _, name := range delayed {
		points = append(points, failpoint{name: name})
	}
	c.during(points, func(f failpoint) {
		old := c.leader()
		before := old.point(f.name).hits
		old.arm(f.name, "delay 700ms")
		if f.name != "hard-state-before" { // nobody has to vote before there is an election
			c.awaitAt(f.name, old, f.name+" is hit", func() bool { return old.point(f.name).hits > before })
		}
		old.arm("send-before", "error")
		c.leaderBut(old)
		c.awaitProgressOn(f.name, c.nodes[old.id%3]) // the one that does not read through the old leader
		eventually(c.t, f.name+" is hit", func() bool { return old.point(f.name).hits > before })
		old.arm("send-before", "off")
		old.arm(f.name, "off")
		c.awaitProgress(f.name)
	})
	if !t.Failed() {
		c.verify()
	}
}

// TestSlowDisk slows every sync of a leader down. Its heartbeats go on, so that nobody calls an election: it has to
// hand over by itself.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var old *process
	c.during([]failpoint{{name: "log-sync-before"}}, func(f failpoint) {
		old = c.leader()
		old.arm(f.name, "delay 200ms")
		c.leaderBut(old)
		eventually(t, "it says why", func() bool { return strings.Contains(old.output(), "leadership is handed over") })
		old.arm(f.name, "off")
		c.awaitProgress(f.name)
	})
	if !t.Failed() {
		c.verify()
	}
}
