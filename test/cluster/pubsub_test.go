package cluster_test

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// channelOf is the channel on which a node's publisher publishes.
func channelOf(p *process) string { return fmt.Sprint("from", p.id) }

// publisher publishes numbers at a node, which begin anew with every connection: what a broken one was about to publish
// may have been or not.
type publisher struct {
	node *process

	mu    sync.Mutex
	acked []int // by connection: how many were
}

func (p *publisher) run(stop <-chan struct{}) {
	for {
		c := dialUntil(p.node.addr, stop)
		if c == nil {
			return
		}
		p.mu.Lock()
		p.acked = append(p.acked, 0)
		run := len(p.acked) - 1
		p.mu.Unlock()
		for n := 0; ; {
			_, err := c.do("PUBLISH", channelOf(p.node), fmt.Sprintf("%d:%d", run, n))
			what := outcome(err)
			if what == "unknown" {
				break
			}
			if what == "done" {
				n++
				p.mu.Lock()
				p.acked[run] = n
				p.mu.Unlock()
			}
			select {
			case <-stop:
				c.close()
				return
			case <-time.After(time.Millisecond):
			}
		}
		c.close()
	}
}

// published returns how many messages of a connection were acknowledged, and which is the last connection.
func (p *publisher) published(run int) (count, last int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked[run], len(p.acked) - 1
}

// dialUntil connects to a node, however often that takes; nil: it is time to stop.
func dialUntil(addr string, stop <-chan struct{}) *conn {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if c, err := dial(addr); err == nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// subscriber is subscribed at a node to what all publishers publish, and checks on each connection that it misses nothing.
type subscriber struct {
	t          *testing.T
	node       *process
	publishers []*publisher

	mu     sync.Mutex
	run, n []int // by publisher: the last message of this connection; -1: none
	got    int
	ended  int // connections
}

// listen is subscribed until the connection ends, and says whether to go on.
func (s *subscriber) listen(stop <-chan struct{}) bool {
	c := dialUntil(s.node.addr, stop)
	if c == nil {
		return false
	}
	defer c.close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-stop:
			c.close()
		case <-ended:
		}
	}()
	words := []string{"SUBSCRIBE"}
	for _, p := range s.publishers {
		words = append(words, channelOf(p.node))
	}
	if c.send(words...) != nil {
		return true
	}
	s.mu.Lock()
	for i := range s.publishers {
		s.run[i], s.n[i] = -1, -1
	}
	s.mu.Unlock()
	for {
		reply, err := c.receive()
		if err != nil {
			time.Sleep(time.Millisecond) // no leader, mostly
			return true
		}
		if message := reply.([]any); message[0] == "message" {
			s.take(message[1].(string), message[2].(string))
		}
	}
}

// take checks a message.
func (s *subscriber) take(channel, text string) {
	i := slices.IndexFunc(s.publishers, func(p *publisher) bool { return channelOf(p.node) == channel })
	var run, n int
	if _, err := fmt.Sscanf(text, "%d:%d", &run, &n); err != nil {
		s.t.Errorf("node %d: message %q", s.node.id, text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	switch {
	case s.run[i] < 0: // the first one here
	case run == s.run[i]:
		if n != s.n[i]+1 {
			s.t.Errorf("node %d: message %s of %s after %d:%d", s.node.id, text, channel, s.run[i], s.n[i])
		}
	default:
		acked, _ := s.publishers[i].published(s.run[i])
		if n != 0 || run < s.run[i] || s.n[i]+1 < acked {
			s.t.Errorf("node %d: message %s of %s after %d:%d, of which %d were acknowledged", s.node.id, text, channel,
				s.run[i], s.n[i], acked)
		}
	}
	s.run[i], s.n[i] = run, n
}

// caughtUp says whether what the present connection got goes on up to what was published last.
func (s *subscriber) caughtUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.publishers {
		count, last := p.published(max(s.run[i], 0))
		if s.run[i] != last || s.n[i]+1 < count {
			return false
		}
	}
	return true
}

// TestPubSub publishes at every node and is subscribed at every node, while nodes are killed and stopped. A subscriber has
// every message of a publisher, in order, or its connection has ended.
func TestPubSub(t *testing.T) {
	c := newCluster(t)
	c.leader(t)
	publishing, listening := make(chan struct{}), make(chan struct{})
	var publishers []*publisher
	var subscribers []*subscriber
	var running, published sync.WaitGroup
	for _, p := range c {
		publishers = append(publishers, &publisher{node: p})
	}
	for _, pub := range publishers {
		s := &subscriber{t: t, node: pub.node, publishers: publishers, run: make([]int, len(c)), n: make([]int, len(c))}
		subscribers = append(subscribers, s)
		running.Go(func() {
			for s.listen(listening) {
				s.mu.Lock()
				s.ended++
				s.mu.Unlock()
			}
		})
		published.Go(func() { pub.run(publishing) })
	}
	more := func() { awaitMessages(t, subscribers) }
	more()
	for _, choose := range []func() *process{
		func() *process { return c.leader(t) },
		func() *process { return c.others(c.leader(t))[0] },
	} {
		p := choose()
		p.kill()
		time.Sleep(200 * time.Millisecond)
		p.start()
		c.leader(t)
		more()
		p = choose()
		p.signal(syscall.SIGSTOP)
		time.Sleep(4 * time.Second) // longer than a node may be silent
		p.signal(syscall.SIGCONT)
		c.leader(t)
		more()
	}
	close(publishing)
	published.Wait()
	for _, s := range subscribers {
		s.awaitLast()
	}
	close(listening)
	running.Wait()
}

// awaitMessages waits until every subscriber has got more.
func awaitMessages(t *testing.T, subscribers []*subscriber) {
	t.Helper()
	for _, s := range subscribers {
		got := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.got
		}
		before := got()
		eventually(t, "messages come", func() bool { return got() > before+300 })
	}
}

// awaitLast waits until the subscriber has what every publisher published last. One that was disconnected late waits for
// something new.
func (s *subscriber) awaitLast() {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the subscriber of node %d has the last message of all", s.node.id), func() bool {
		if s.caughtUp() {
			return true
		}
		for _, pub := range s.publishers {
			_, last := pub.published(0)
			count, _ := pub.published(last)
			if _, err := pub.node.do("PUBLISH", channelOf(pub.node), fmt.Sprintf("%d:%d", last, count)); err == nil {
				pub.mu.Lock()
				pub.acked[last]++
				pub.mu.Unlock()
			}
		}
		time.Sleep(50 * time.Millisecond)
		return s.caughtUp()
	})
	s.t.Logf("node %d: %d messages, %d connections ended", s.node.id, s.got, s.ended)
}
