package failpoints_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"redoubt/test/ports"
)

// where says on which node a point is armed, and what makes a node come by.
type where int

const (
	anywhere where = iota // the leader, and then a follower
	leader
	follower
	voter    // a follower, when there is an election
	member   // a follower, when another node has a new address
	sender   // the leader, when a follower was away for long
	receiver // a follower that was away for long
)

// places has the points that not every node comes by all the time. The others are tried anywhere.
var places = map[string]where{
	"hard-state-before": voter, "hard-state-after": voter,
	"log-truncate-before": follower, "log-truncate-after": leader,
	"send-before": leader, "send-after": follower,
	"forward-before": follower, "forward-taken": leader, "forward-ack": leader, "read-answer": leader,
	"member-apply":       member,
	"state-write-before": leader, "state-write-after": follower,
	"state-flush-before": leader, "state-flush-after": follower,
	"snapshot-create": follower, "checkpoint-before": leader, "checkpoint-after": follower,
	"snapshot-sync": leader, "snapshot-rename-before": follower, "snapshot-rename-after": leader,
	"snapshot-prune": follower,
	"snapshot-send":  sender, "snapshot-sent": sender,
	"snapshot-receive": receiver, "snapshot-received": receiver, "snapshot-verify": receiver,
	"snapshot-verified": receiver, "snapshot-offered": receiver, "install-before": receiver,
	"install-noted": receiver, "restore-before": receiver, "restore-renamed": receiver,
	"file-rename-before": receiver, "restore-switched": receiver, "restore-opened": receiver,
	"install-restored": receiver, "install-reset": receiver,
}

// provoke arms a point on the nodes it is meant for, makes them come by, and calls then for each.
func (c *cluster) provoke(point, action string, then func(armed *process)) {
	c.t.Helper()
	switch places[point] {
	case anywhere:
		p := c.leader()
		p.arm(point, action)
		then(p)
		p = c.followers()[0]
		p.arm(point, action)
		then(p)
	case leader:
		p := c.leader()
		p.arm(point, action)
		then(p)
	case follower:
		p := c.followers()[0]
		p.arm(point, action)
		then(p)
	case voter:
		f := c.followers()
		f[0].arm(point, action)
		_, _ = f[1].do("RAFT", "TRANSFER", fmt.Sprint(f[1].id)) // it may fail for lack of this very vote
		then(f[0])
	case member:
		f := c.followers()
		f[0].arm(point, action)
		f[1].kill()
		f[1].otherAddress()
		f[1].launch()
		then(f[0])
	case sender:
		away := c.followers()[0]
		c.leaveBehind(away)
		p := c.leader()
		p.arm(point, action)
		away.launch()
		then(p)
	case receiver:
		away := c.followers()[0]
		c.leaveBehind(away)
		away.launch(point + "=" + action)
		then(away)
	}
}

// awaitAt waits for what happens when a node comes by a point that was provoked. On a busy machine the
// nodes may have elected another leader meanwhile, so that it does not come by any more.
func (c *cluster) awaitAt(point string, armed *process, what string, ok func() bool) {
	c.t.Helper()
	const often = 3 * time.Second
	next := time.Now().Add(often)
	eventually(c.t, what, func() bool {
		if ok() {
			return true
		}
		if time.Now().After(next) {
			c.nudge(point, armed)
			next = time.Now().Add(often)
		}
		return false
	})
}

// nudge gives leadership to whom it must belong for the armed node to come by a point.
func (c *cluster) nudge(point string, armed *process) {
	other := c.others(armed)[0]
	switch places[point] {
	case leader, sender:
		_, _ = armed.do("RAFT", "TRANSFER", fmt.Sprint(armed.id))
	case follower, voter:
		_, _ = other.do("RAFT", "TRANSFER", fmt.Sprint(other.id))
	}
}

// otherAddress has the process tell clients another name of its address.
func (p *process) otherAddress() {
	_, port, _ := strings.Cut(p.addr, ":")
	name := "localhost:" + port
	if i := slices.Index(p.args, "--advertise"); i < 0 {
		p.args = append(p.args, "--advertise", name)
	} else if p.args[i+1] == name {
		p.args[i+1] = p.addr
	} else {
		p.args[i+1] = name
	}
}

// TestCrash crashes a node at every point in turn, and starts it again. Where all nodes come by, a
// follower crashes once more while it recovers.
func TestCrash(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.during(c.nodes[0].points(), func(f failpoint) {
		again := false
		c.provoke(f.name, "crash", func(armed *process) {
			c.awaitCrash(f.name, armed)
			if again {
				armed.launch(f.name + "=crash")
				c.awaitCrash(f.name, armed)
			}
			armed.launch()
			c.awaitProgress(f.name)
			again = true
		})
	})
	if !t.Failed() {
		c.verify()
	}
}

func (c *cluster) awaitCrash(point string, armed *process) {
	c.t.Helper()
	c.awaitAt(point, armed, "a crash at "+point, func() bool { return !armed.running() })
	armed.checkCrash(point)
}

// checkCrash sees that the process has ended at a point.
func (p *process) checkCrash(point string) {
	p.t.Helper()
	if !strings.Contains(p.output(), "failpoint "+point+": crash") {
		p.t.Fatalf("node %d ended in another way", p.id)
	}
}

// TestCrashAtFirstStart crashes a node while it makes its data directory. The next start goes on from
// there.
func TestCrashAtFirstStart(t *testing.T) {
	for _, point := range []string{"file-rename-before=crash", "file-rename-before=crash after 1",
		"file-rename-before=crash after 2", "state-write-before=crash", "state-write-after=crash",
		"state-flush-before=crash", "state-flush-after=crash", "publish-before=crash", "log-sync-before=crash",
		"log-sync-after=crash", "hard-state-before=crash", "hard-state-after=crash"} {
		t.Run(point, func(t *testing.T) {
			p := newProcess(t, 1, "--raft-listen", ports.Failpoints.Free(t))
			p.launch(point)
			name, _, _ := strings.Cut(point, "=")
			eventually(t, "a crash at "+name, func() bool { return !p.running() })
			p.checkCrash(name)
			p.launch()
			eventually(t, "the node takes writes", func() bool {
				if !p.running() {
					t.Fatal("the node has ended")
				}
				reply, err := p.do("SET", "key", "value")
				return err == nil && reply == "OK"
			})
		})
	}
}
