package raftnode_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"redoubt/raftnode"
)

// audience notes what it hears of each node; "lost" stands for what it is told that it may have missed.
type audience struct {
	mu    sync.Mutex
	heard map[uint64][]string
}

func (a *audience) Heard(from uint64, messages [][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range messages {
		a.heard[from] = append(a.heard[from], string(m))
	}
}

func (a *audience) Lost(from uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard[from] = append(a.heard[from], "lost")
}

func (a *audience) of(from uint64) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.heard[from])
}

// listening has the nodes of a cluster listen.
func listening(c *cluster) { c.listen = true }

// heardAll says whether a node has heard these of another one, and nothing else after the last loss.
func (c *cluster) heardAll(at, from uint64, want []string) bool {
	heard := c.nodes[at].audience.of(from)
	if i := slices.Index(heard, "lost"); len(want) > 0 && i >= 0 {
		for i := range heard {
			if heard[len(heard)-1-i] == "lost" {
				heard = heard[len(heard)-i:]
				break
			}
		}
	}
	return slices.Equal(heard, want)
}

func TestBroadcast(t *testing.T) {
	c := newCluster(t, 3, 1, listening)
	c.leader()
	const messages = 500
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint(i))
	}
	var publishers sync.WaitGroup
	for _, n := range c.nodes {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for _, m := range want {
				n.Broadcast([]byte(m))
			}
		}()
	}
	publishers.Wait()
	for _, at := range c.ids {
		for _, from := range c.ids {
			if at != from {
				c.eventually(fmt.Sprintf("node %d hears node %d", at, from), func() bool { return c.heardAll(at, from, want) })
			}
		}
	}
}

// What does not arrive is missed, also when nothing comes after it.
func TestBroadcastLost(t *testing.T) {
	c := newCluster(t, 3, 2, listening)
	leader := c.leader()
	from, at := c.ids[leader%3], c.ids[(leader+1)%3]
	c.nodes[from].Broadcast([]byte("first"))
	c.eventually("the first", func() bool { return slices.Contains(c.nodes[at].audience.of(from), "first") })
	losses := func() (n int) {
		for _, what := range c.nodes[at].audience.of(from) {
			if what == "lost" {
				n++
			}
		}
		return n
	}
	before := losses()
	c.net.mu.Lock()
	c.net.cut[[2]uint64{from, at}] = true
	c.net.mu.Unlock()
	c.nodes[from].Broadcast([]byte("second"))
	c.eventually("silence is noticed", func() bool { return losses() > before })
	before = losses()
	c.net.isolate(from, false)
	c.eventually("the gap is noticed", func() bool { return losses() > before })
	before = losses()
	c.stop(from)
	c.start(from)
	c.eventually("the restart is noticed", func() bool { return losses() > before })
	c.eventually("it is heard again", func() bool {
		c.nodes[from].Broadcast([]byte("third"))
		return slices.Contains(c.nodes[at].audience.of(from), "third")
	})
}

// A node that is cut off is told so.
func TestBroadcastCutOff(t *testing.T) {
	c := newCluster(t, 3, 3, listening)
	away := c.ids[c.leader()%3]
	c.net.isolate(away, true)
	c.eventually("it is told", func() bool { return slices.Contains(c.nodes[away].audience.of(0), "lost") })
}

var _ raftnode.Audience = (*audience)(nil)
