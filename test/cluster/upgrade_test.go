package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/test/ports"
)

// wanderer writes like a plain client: on one node, and on the next when that one closes the connection. A
// command that got no reply is sent again there.
type wanderer struct {
	nodes   cluster
	stop    atomic.Bool
	acked   int           // keys from 0 on
	longest time.Duration // that a command took, until it was acknowledged
	errs    []string      // error replies
}

func (w *wanderer) run(prefix string, at int) {
	var c *conn
	began := time.Now()
	for key := 0; !w.stop.Load(); {
		if c == nil {
			at = (at + 1) % len(w.nodes)
			var err error
			if c, err = dial(w.nodes[at].addr); err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
		}
		_, err := c.do("SET", fmt.Sprint(prefix, key), fmt.Sprint(key))
		reply := replyError("")
		switch {
		case err == nil:
			key++
			w.acked = key
			w.longest = max(w.longest, time.Since(began))
			began = time.Now()
		case errors.As(err, &reply):
			w.errs = append(w.errs, err.Error())
		default:
			c.close()
			c = nil
		}
	}
}

// TestRollingUpgrade replaces the build of one node after the other under load. What came with the next version
// is refused until all have it, clients see no error, and nothing goes back.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.leader(t)
	writers := make([]wanderer, len(c))
	var wg sync.WaitGroup
	for i := range writers {
		writers[i].nodes = c
		wg.Go(func() { writers[i].run(fmt.Sprintf("w%d:", i), i) })
	}
	exchange(t, c)
	eventually(t, "all nodes are at version 2", func() bool {
		for _, p := range c {
			if p.raftField("version") != "2" {
				return false
			}
		}
		return true
	})
	for _, p := range c {
		p.mustDo("NEXTSET", fmt.Sprint("next", p.id), "v")
	}
	for i := range writers {
		writers[i].stop.Store(true)
	}
	wg.Wait()
	for i := range writers {
		writers[i].check(t, fmt.Sprintf("w%d:", i))
	}
	noWayBack(t, c)
}

// exchange replaces the build of one node after the other.
func exchange(t *testing.T, c cluster) {
	t.Helper()
	for i, p := range c {
		if _, err := p.do("NEXTSET", "k", "v"); err == nil || !strings.HasPrefix(err.Error(), "ERR unknown command") {
			t.Errorf("a node of the old build answers %v", err)
		}
		p.signal(syscall.SIGTERM)
		if code := p.awaitExit(patience); code != 0 {
			t.Fatalf("node %d ends with %d", p.id, code)
		}
		p.program = nextBinary
		p.start()
		eventually(t, "the new build follows", func() bool { return p.raftField("leader") != "0" && p.raftField("version_max") == "2" })
		if i == len(c)-1 {
			break
		}
		if _, err := p.do("NEXTSET", "k", "v"); err == nil || !strings.Contains(err.Error(), "until every node") {
			t.Errorf("with %d of the new build it answers %v", i+1, err)
		}
	}
}

// check looks for errors, and for what was acknowledged.
func (w *wanderer) check(t *testing.T, prefix string) {
	t.Helper()
	t.Logf("%s %d keys, longest %v", prefix, w.acked, w.longest)
	if len(w.errs) > 0 {
		t.Errorf("%s was answered with %q", prefix, w.errs)
	}
	for key := range w.acked {
		if got := w.nodes[key%3].mustDo("GET", fmt.Sprint(prefix, key)); got != fmt.Sprint(key) {
			t.Fatalf("%s key %d is %v", prefix, key, got)
		}
	}
}

// noWayBack sees that a node of the old build neither starts again nor is let in.
func noWayBack(t *testing.T, c cluster) {
	t.Helper()
	p := c[2]
	p.signal(syscall.SIGTERM)
	p.awaitExit(patience)
	p.program = binary
	p.launch()
	if code := p.awaitExit(patience); code == 0 || !strings.Contains(p.output(), "the cluster is at version 2") {
		t.Errorf("the old build ends with %d in a cluster of version 2", code)
	}
	joining := newProcess(t, 4, "--raft-listen", ports.Cluster.Free(t), "--join", c[0].addr)
	joining.launch()
	eventually(t, "the old build is not let in", func() bool {
		return strings.Contains(joining.output(), "the cluster is at version 2")
	})
	if nodes := c[0].mustDo("RAFT", "NODES").([]any); len(nodes) != 3 {
		t.Errorf("%d members", len(nodes))
	}
}
