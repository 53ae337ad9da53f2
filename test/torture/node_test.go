package torture_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/test/ports"
)

// patience is how long a condition may take that should come much sooner.
const patience = 90 * time.Second

// binary is the program under test.
var binary string

// node is one process, which may be started again and again.
type node struct {
	id     int
	addr   string // for clients
	args   []string
	out    *os.File
	served atomic.Int64 // requests of the clients that it answered

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{}
	ending  bool // its end is on purpose
	stopped bool // by SIGSTOP
}

// cluster is three nodes with proxies between them.
type cluster struct {
	t     *testing.T
	dir   string // of data and logs
	nodes []*node
	net   *network
}

// newCluster starts three nodes that make snapshots all the time.
func newCluster(t *testing.T, dir string, seed int64, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: dir, net: newNetwork(seed)}
	var members []string
	for id := 1; id <= 3; id++ {
		n := &node{id: id, addr: ports.Torture.Free(t)}
		raft := ports.Torture.Free(t)
		members = append(members, fmt.Sprintf("%d=%s", id, c.net.proxy(t, id, raft)))
		n.args = append(args[:len(args):len(args)], "--id", fmt.Sprint(id), "--listen", n.addr, "--raft-listen", raft,
			"--data-dir", filepath.Join(dir, fmt.Sprintf("data%d", id)), "--snapshot-log-bytes", "64kb",
			"--cache-bytes", "4mb", "--election-timeout", "500ms", "--heartbeat-interval", "100ms",
			"--request-timeout", "1s")
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		n.args = append(n.args, "--cluster", strings.Join(members, ","))
		var err error
		if n.out, err = os.Create(filepath.Join(dir, fmt.Sprintf("node%d.log", n.id))); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			n.kill()
			n.out.Close()
		})
		c.start(n)
	}
	c.awaitAnswers()
	return c
}

// start starts the process. If it ends although nobody ended it, the test fails.
func (c *cluster) start(n *node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cmd = exec.Command(binary, n.args...)
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	n.exited, n.ending, n.stopped = make(chan struct{}), false, false
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.ending {
			log, _ := os.ReadFile(n.out.Name())
			c.t.Errorf("node %d ended by itself: %v: ...%s", n.id, cmd.ProcessState, log[max(0, len(log)-500):])
		}
		close(exited)
	}(n.cmd, n.exited)
}

// signal sends a signal to the process; n.mu is held.
func (n *node) signal(sig syscall.Signal) { _ = n.cmd.Process.Signal(sig) }

// end makes the process end by a signal, without waiting for it.
func (n *node) end(sig syscall.Signal) (exited chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		exited = make(chan struct{})
		close(exited)
		return exited
	}
	n.ending = true
	n.signal(sig)
	return n.exited
}

func (n *node) kill() { <-n.end(syscall.SIGKILL) }

// terminate ends the process as a service manager does, and expects it to end well.
func (c *cluster) terminate(n *node) {
	select {
	case <-n.end(syscall.SIGTERM):
	case <-time.After(patience):
		c.t.Fatalf("node %d does not end on SIGTERM", n.id)
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("node %d ended on SIGTERM with %d", n.id, code)
	}
}

func (n *node) pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = true
	n.signal(syscall.SIGSTOP)
}

func (n *node) resume() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = false
	n.signal(syscall.SIGCONT)
}

func (n *node) up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd != nil && !n.ending && !n.stopped
}

// killAll kills all processes at once and starts them again.
func (c *cluster) killAll() {
	var exits []chan struct{}
	for _, n := range c.nodes {
		exits = append(exits, n.end(syscall.SIGKILL))
	}
	for i, n := range c.nodes {
		<-exits[i]
		c.start(n)
	}
}

// do sends one command on a connection of its own, and returns "" when there is no answer.
func (n *node) do(args ...string) string {
	conn, err := dial(n.addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	reply, _ := conn.do(args...)
	return reply
}

// view is what a node says of the leader, 0 when it knows none or does not answer.
func (n *node) view() (leader, term int) {
	reply := n.do("RAFT", "STATUS")
	return field(reply, "leader"), field(reply, "term")
}

// status returns a number of RAFT STATUS.
func (n *node) status(name string) int { return field(n.do("RAFT", "STATUS"), name) }

func field(reply, name string) (value int) {
	_, rest, _ := strings.Cut(reply, "$"+name+" :")
	number, _, _ := strings.Cut(rest, " ")
	value, _ = strconv.Atoi(number)
	return value
}

// eventually waits for a condition.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s", what)
		}
	}
}

// leader waits for a leader that a majority follows, one other than not.
func (c *cluster) leader(not *node) *node {
	c.t.Helper()
	var found *node
	c.eventually("a leader", func() bool {
		votes := make(map[[2]int]int)
		for _, n := range c.nodes {
			if n != not && n.up() {
				id, term := n.view()
				votes[[2]int{id, term}]++
			}
		}
		for vote, count := range votes {
			if id := vote[0]; id > 0 && count >= 2 && c.nodes[id-1] != not && c.nodes[id-1].up() {
				found = c.nodes[id-1]
			}
		}
		return found != nil
	})
	return found
}

// awaitAnswers waits until every node can write.
func (c *cluster) awaitAnswers() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.eventually(fmt.Sprintf("node %d writes", n.id), func() bool {
			return strings.HasPrefix(n.do("SETRANGE", "nothing", "0", ""), ":")
		})
	}
}

// said counts how often the nodes logged something.
func (c *cluster) said(what string) (n int) {
	for _, node := range c.nodes {
		data, _ := os.ReadFile(node.out.Name())
		n += strings.Count(string(data), what)
	}
	return n
}

func (c *cluster) ids(but *node) (ids []int) {
	for _, n := range c.nodes {
		if n != but {
			ids = append(ids, n.id)
		}
	}
	return ids
}
