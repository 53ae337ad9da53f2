package cluster_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/test/ports"
)

// removedCode is the exit code of a node that was removed.
const removedCode = 3

// newMember prepares a node that is alone, or that joins through the client addresses in seeds.
func newMember(t *testing.T, id int, seeds ...string) *process {
	t.Helper()
	p := newProcess(t, id, "--raft-listen", ports.Cluster.Free(t))
	if len(seeds) > 0 {
		p.args = append(p.args, "--join", strings.Join(seeds, ","))
	}
	return p
}

// member is one of RAFT NODES.
type member map[string]any

// roster returns what RAFT NODES says, field by field.
func (p *process) roster() map[int]member {
	out := make(map[int]member)
	c, err := dial(p.addr)
	if err != nil {
		return nil
	}
	defer c.close()
	reply, _ := c.do("RAFT", "NODES")
	list, _ := reply.([]any)
	for _, one := range list {
		fields, m := one.([]any), member{}
		for i := 0; i+1 < len(fields); i += 2 {
			m[fmt.Sprint(fields[i])] = fields[i+1]
		}
		if id, ok := m["id"].(int); ok {
			out[id] = m
		}
	}
	return out
}

// awaitVoters waits until a node knows exactly these members, and all of them vote.
func (p *process) awaitVoters(ids ...int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("node %d knows the voters %v", p.id, ids), func() bool {
		members := p.roster()
		for _, id := range ids {
			if role := members[id]["role"]; role != "voter" && role != "leader" {
				return false
			}
		}
		return len(members) == len(ids)
	})
}

// awaitRemoved waits until a node stops because it was removed, and sees that it does not start again.
func (p *process) awaitRemoved() {
	p.t.Helper()
	for range 2 {
		if code := p.awaitExit(patience); code != removedCode {
			p.t.Errorf("the removed node %d exits with %d", p.id, code)
		}
		if out := tail(p.output(), 400); !strings.Contains(out, fmt.Sprintf("redoubt: node %d was removed from the cluster", p.id)) {
			p.t.Errorf("the removed node %d says: %s", p.id, out)
		}
		p.launch()
	}
	p.awaitExit(patience)
}

// TestGrowAndShrink goes from one node to three, to five and back to three while all of the first nodes
// take writes. The leader is among those that are removed, and a node that is down.
func TestGrowAndShrink(t *testing.T) {
	c := cluster{newMember(t, 1)}
	c[0].start()
	stop, done := make(chan struct{}), make(chan []*writer)
	var progress atomic.Int64
	go func() { done <- writeUntil(c[:1:1], 3, "k", stop, &progress) }()
	await(t, &progress, 200)
	for id := 2; id <= 5; id++ {
		seed := c[len(c)-1].addr
		if id == 3 {
			seed = strings.Replace(c[0].addr, "127.0.0.1", "localhost", 1)
		}
		p := newMember(t, id, ports.Cluster.Free(t), seed) // nobody is at the first
		p.start()
		c = append(c, p)
		p.awaitVoters(upTo(id)...)
		await(t, &progress, 100)
	}
	remote, done2 := make(chan struct{}), make(chan []*writer)
	go func() { done2 <- writeUntil(c[1:], 1, "r", remote, &progress) }()
	await(t, &progress, 300)
	c[4].kill() // it is not there to hear of it
	if got := c[1].mustDo("RAFT", "REMOVE", "5"); got != "OK" {
		t.Errorf("RAFT REMOVE: %v", got)
	}
	await(t, &progress, 100)
	if got := c[1].mustDo("RAFT", "TRANSFER", "4"); got != "OK" {
		t.Errorf("RAFT TRANSFER: %v", got)
	}
	if got := c[0].mustDo("RAFT", "REMOVE", "4"); got != "OK" { // the leader
		t.Errorf("RAFT REMOVE: %v", got)
	}
	c[3].awaitRemoved()
	c[4].launch()
	c[4].awaitRemoved()
	await(t, &progress, 300)
	close(stop)
	close(remote)
	writers := <-done
	longest := time.Duration(0)
	for _, w := range writers {
		longest = max(longest, w.longest)
	}
	t.Logf("the longest that a write took at node 1, which stayed: %v", longest.Round(time.Millisecond))
	if longest > patience/2 {
		t.Error("a write was stalled")
	}
	writers = append(writers, <-done2...)
	for _, p := range c[:3] {
		p.awaitVoters(1, 2, 3)
		check(t, p, writers)
	}
	restart(t, c[1], c[2])
	check(t, c[1], writers)
	check(t, c[2], writers)
	again := newMember(t, 6, c[2].addr) // whose id is a new one
	again.start()
	again.awaitVoters(1, 2, 3, 6)
	check(t, again, writers)
}

func upTo(n int) []int {
	var ids []int
	for id := 1; id <= n; id++ {
		ids = append(ids, id)
	}
	return ids
}

// restart kills nodes and starts them again, without --join.
func restart(t *testing.T, nodes ...*process) {
	t.Helper()
	for _, p := range nodes {
		p.kill()
		for i, arg := range p.args {
			if arg == "--join" {
				p.args = append(append([]string{}, p.args[:i]...), p.args[i+2:]...)
				break
			}
		}
		p.start()
		eventually(t, "it is heard", func() bool {
			c, err := dial(p.addr)
			if err != nil {
				return false
			}
			defer c.close()
			_, err = c.do("INCR", "restarts")
			return err == nil
		})
	}
}

// TestMovedNode brings nodes back at other addresses: one, and then two of three at the same time.
func TestMovedNode(t *testing.T) {
	c := cluster{newMember(t, 1)}
	c[0].start()
	for id := 2; id <= 3; id++ {
		p := newMember(t, id, c[0].addr)
		p.start()
		c = append(c, p)
		c[0].awaitVoters(upTo(id)...)
	}
	c[2].mustDo("SET", "key", "value")
	for _, moved := range []cluster{{c[1]}, {c[0], c[2]}} {
		for _, p := range moved {
			p.signal(syscall.SIGTERM)
		}
		for _, p := range moved {
			if code := p.awaitExit(patience); code != 0 {
				t.Fatalf("node %d exits with %d", p.id, code)
			}
			for i, arg := range p.args {
				switch arg {
				case "--listen":
					p.addr = ports.Cluster.Free(t)
					p.args[i+1] = p.addr
				case "--raft-listen":
					p.args[i+1] = ports.Cluster.Free(t)
				}
			}
			p.launch()
		}
		for _, p := range moved {
			p.awaitAnswer()
			eventually(t, fmt.Sprintf("node %d is found at its new address", p.id), func() bool {
				return c[0].roster()[p.id]["address"] == p.addr && c[0].roster()[p.id]["active"] == 1
			})
			if got := p.mustDo("GET", "key"); got != "value" {
				t.Errorf("GET at node %d: %v", p.id, got)
			}
		}
	}
}

// refusal sends a command that is answered with an error.
func (p *process) refusal(t *testing.T, want string, args ...string) {
	t.Helper()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.do(args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v: %v, want %q", args, err, want)
	}
}

// TestJoinRefusals starts nodes that can't join, and asks for what must not be done.
func TestJoinRefusals(t *testing.T) {
	p := newMember(t, 1)
	p.start()
	refusal := func(want string, args ...string) { p.refusal(t, want, args...) }
	refusal("ERR node 9 is not a member", "RAFT", "REMOVE", "9")
	refusal("ERR node 1 is the last voter", "RAFT", "REMOVE", "1")
	refusal("ERR node 1 is the last voter", "RAFT", "DEMOTE", "1")
	refusal("ERR node id 1 is in use", "RAFT", "ADD", "1", "127.0.0.1:1")
	refusal("ERR invalid address", "RAFT", "ADD", "*", "nowhere")
	refusal("ERR invalid node id", "RAFT", "PROMOTE", "x")
	refusal("ERR syntax error", "RAFT", "ADD", "*", "127.0.0.1:1", "127.0.0.1:2", "more")
	refusal("ERR no other voter is there to lead", "RAFT", "TRANSFER")

	// Stopped before anybody has let it in.
	q := newMember(t, 2, ports.Cluster.Free(t))
	q.launch()
	eventually(t, "it says that it has not joined", func() bool { return strings.Contains(q.output(), "not joined yet") })
	q.signal(syscall.SIGTERM)
	if code := q.awaitExit(patience); code == 0 {
		t.Error("a node that has not joined exits with 0")
	}
	q.args = q.args[:len(q.args)-2]
	refused(t, q, "start it with --join")
}

// TestAddByHand makes a place for a node, which takes it, loses its directory, and comes back as another.
func TestAddByHand(t *testing.T) {
	p := newMember(t, 1)
	p.start()
	raft := ports.Cluster.Free(t)
	if got := p.mustDo("RAFT", "ADD", "7", raft, "LEARNER"); got != 7 {
		t.Errorf("RAFT ADD: %v", got)
	}
	p.refusal(t, "ERR node 7 lags behind", "RAFT", "PROMOTE", "7")
	l := newProcess(t, 7, "--raft-listen", raft, "--join", p.addr)
	l.start()
	eventually(t, "node 7 is active", func() bool { return p.roster()[7]["active"] == 1 })
	p.mustDo("SET", "key", "value")
	if got := l.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET at the learner: %v", got)
	}
	if role := p.roster()[7]["role"]; role != "learner" {
		t.Errorf("node 7 is %v", role)
	}
	eventually(t, "node 7 is promoted", func() bool {
		c, err := dial(p.addr)
		if err != nil {
			return false
		}
		defer c.close()
		_, err = c.do("RAFT", "PROMOTE", "7")
		return err == nil
	})

	// A directory that is gone: another id, once the old one is removed.
	p.mustDo("RAFT", "DEMOTE", "7")
	l.kill()
	if err := os.RemoveAll(l.dir); err != nil {
		t.Fatal(err)
	}
	l.launch()
	eventually(t, "it says what to do", func() bool { return strings.Contains(l.output(), "RAFT REMOVE 7") })
	p.mustDo("RAFT", "REMOVE", "7")
	p.awaitVoters(1, 8)

	// A node of another cluster.
	other := newMember(t, 1)
	other.start()
	id := fmt.Sprint(p.mustDo("RAFT", "ADD", "*", other.args[5]))
	eventually(t, "the other cluster's node is refused", func() bool {
		return strings.Contains(p.output(), "cluster") && strings.Contains(other.output()+p.output(), "is of cluster")
	})
	if got := p.mustDo("RAFT", "REMOVE", id); got != "OK" {
		t.Errorf("RAFT REMOVE: %v", got)
	}
}

// TestSameArguments starts nodes as a StatefulSet does: each is told the same, and its own address. The last of them
// is not among the founders, and is removed again by a command that it gets itself.
func TestSameArguments(t *testing.T) {
	t.Parallel()
	var c cluster
	var founders []string
	for id := 1; id <= 4; id++ {
		raft := ports.Cluster.Free(t)
		p := newProcess(t, id, "--raft-listen", raft, "--raft-advertise", raft)
		c = append(c, p)
		if id < 4 {
			founders = append(founders, fmt.Sprintf("%d=%s", id, raft))
		}
	}
	for _, p := range c {
		p.args = append(p.args, "--cluster", strings.Join(founders, ","), "--join", c[0].addr+","+c[1].addr)
		p.launch()
	}
	for _, p := range c {
		p.awaitAnswer()
	}
	c[0].awaitVoters(1, 2, 3, 4)
	c[1].mustDo("SET", "key", "value")
	for _, p := range c[2:] { // a founder, and the one that joined
		p.kill()
		p.start()
		if got := p.mustDo("GET", "key"); got != "value" {
			t.Errorf("GET at node %d: %v", p.id, got)
		}
	}
	if got := c[3].mustDo("RAFT", "REMOVE", "4"); got != "OK" {
		t.Errorf("RAFT REMOVE 4 at node 4: %v", got)
	}
	if code := c[3].awaitExit(patience); code != 3 {
		t.Errorf("the removed node exits with %d", code)
	}
	c[0].awaitVoters(1, 2, 3)
}
