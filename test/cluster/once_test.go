package cluster_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// retrier is a client that numbers its writes, and sends each of them to one node after the other until it has the reply.
type retrier struct {
	nodes   cluster
	session string
	random  *rand.Rand
	replies []int // of the calls 1, 2, ...
	sent    int   // how often calls were sent
}

// ask sends a call to any node. At times it does not wait for the reply, as one whose connection breaks.
func (r *retrier) ask(args ...string) (any, error) {
	c, err := dial(r.nodes[r.random.IntN(len(r.nodes))].addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r.sent++
	if r.random.IntN(4) > 0 {
		return c.do(args...)
	}
	if err := c.send(args...); err != nil {
		return nil, err
	}
	return nil, errors.New("did not wait")
}

// insist asks until there is an answer. Only what can't be told after a retry fails.
func (r *retrier) insist(args ...string) (int, error) {
	for {
		reply, err := r.ask(args...)
		if err == nil {
			n, ok := reply.(int)
			if !ok {
				return 0, fmt.Errorf("%q: got %v", args, reply)
			}
			return n, nil
		}
		var refusal replyError
		if errors.As(err, &refusal) && !strings.HasPrefix(string(refusal), "CLUSTERDOWN") && !strings.HasPrefix(string(refusal), "UNCERTAIN") {
			return 0, fmt.Errorf("%q: %w", args, err)
		}
	}
}

func (r *retrier) once(sequence int) (int, error) {
	return r.insist("ONCE", r.session, strconv.Itoa(sequence), strconv.Itoa(max(sequence-10, 0)), "INCR", "counter")
}

func (r *retrier) run(stop <-chan struct{}, progress *atomic.Int64) error {
	if _, err := r.insist("SESSION", "OPEN", r.session); err != nil {
		return err
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n, err := r.once(len(r.replies) + 1)
		if err != nil {
			return err
		}
		r.replies = append(r.replies, n)
		progress.Add(1)
		back := r.random.IntN(min(9, len(r.replies)))
		if again, err := r.once(len(r.replies) - back); err != nil || again != r.replies[len(r.replies)-1-back] {
			return fmt.Errorf("call %d of %s was answered with %d, then with %d, %v", len(r.replies)-back, r.session,
				r.replies[len(r.replies)-1-back], again, err)
		}
	}
}

// TestOnce has clients send every increment again and again, through all nodes, while leaders are killed.
func TestOnce(t *testing.T) {
	c := newCluster(t)
	var progress atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	all := make([]*retrier, 6)
	for i := range all {
		all[i] = &retrier{nodes: c, session: fmt.Sprintf("client %d", i), random: rand.New(rand.NewPCG(uint64(i), 1))}
		clients.Go(func() {
			if err := all[i].run(stop, &progress); err != nil {
				t.Error(err)
			}
		})
	}
	for range 3 {
		await(t, &progress, 150)
		p := c.leader(t)
		p.kill()
		await(t, &progress, 20)
		p.start()
	}
	await(t, &progress, 50)
	close(stop)
	clients.Wait()

	seen := map[int]string{}
	sent := 0
	for _, r := range all {
		sent += r.sent
		for _, n := range r.replies {
			if seen[n] != "" {
				t.Errorf("%d was the reply to %s and to %s", n, seen[n], r.session)
			}
			seen[n] = r.session
		}
	}
	for _, p := range c {
		if got, want := fmt.Sprint(p.mustDo("GET", "counter")), strconv.Itoa(len(seen)); got != want {
			t.Errorf("node %d: the counter is %s after %s increments", p.id, got, want)
		}
	}
	c.leader(t).mustDo("RAFT", "VERIFY")
	t.Logf("%d increments, sent %d times", len(seen), sent)
}
