package cluster_test

import (
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// producer pushes elements of its own to the list of jobs, each once, and notes what became of it.
type producer struct {
	outcomes map[string]string
}

func (p *producer) run(addr, name string, stop <-chan struct{}, pushed *atomic.Int64) {
	p.outcomes = map[string]string{}
	l := &lasting{addr: addr}
	defer l.close()
	for n := 0; !ended(stop); n++ {
		if !l.dial() {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		job := fmt.Sprintf("%s:%d", name, n)
		_, err := l.do("RPUSH", "jobs", job)
		if p.outcomes[job] = outcome(err); err == nil {
			pushed.Add(1)
		}
	}
}

// consumer moves jobs to a list of its own, waiting for them; now and then it breaks its connection while it waits.
type consumer struct {
	list string
	got  []string
}

func (c *consumer) run(addr string, seed int64, stop <-chan struct{}, consumed *atomic.Int64) error {
	random := rand.New(rand.NewSource(seed))
	l := &lasting{addr: addr}
	defer l.close()
	for !ended(stop) {
		if !l.dial() {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if random.Intn(20) == 0 {
			_ = l.conn.send("BLMOVE", "jobs", c.list, "LEFT", "RIGHT", "0")
			l.close()
			continue
		}
		reply, err := l.do("BLMOVE", "jobs", c.list, "LEFT", "RIGHT", "1")
		switch reply := reply.(type) {
		case string:
			c.got = append(c.got, reply)
			consumed.Add(1)
		case nil: // time has passed, or an error
			if text := replyError(""); errors.As(err, &text) && !strings.HasPrefix(string(text), "CLUSTERDOWN") &&
				!strings.HasPrefix(string(text), "UNCERTAIN") && !strings.HasPrefix(string(text), "ERR Server is shutting") {
				return err
			}
		default:
			return fmt.Errorf("BLMOVE answers %v", reply)
		}
	}
	return nil
}

// lasting is a connection that is made again after it broke.
type lasting struct {
	addr string
	conn *conn
}

func (l *lasting) dial() bool {
	if l.conn == nil {
		l.conn, _ = dial(l.addr)
	}
	return l.conn != nil
}

func (l *lasting) close() {
	if l.conn != nil {
		l.conn.close()
		l.conn = nil
	}
}

func (l *lasting) do(args ...string) (any, error) {
	if !l.dial() {
		return nil, errors.New("not connected")
	}
	reply, err := l.conn.do(args...)
	if text := replyError(""); err != nil && !errors.As(err, &text) {
		l.close()
	}
	return reply, err
}

func ended(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// TestBlockingConsumers has producers and waiting consumers at all nodes while leaders are killed and consumers leave in
// the middle of their waits: every job is moved exactly once.
func TestBlockingConsumers(t *testing.T) {
	c := newCluster(t)
	var pushed, consumed atomic.Int64
	var producing, consuming sync.WaitGroup
	noMore, enough := make(chan struct{}), make(chan struct{})
	var producers []*producer
	var consumers []*consumer
	for _, p := range c {
		for i := range 2 {
			from := &producer{}
			producers = append(producers, from)
			producing.Add(1)
			go func() {
				defer producing.Done()
				from.run(p.addr, fmt.Sprintf("p%d.%d", p.id, i), noMore, &pushed)
			}()
		}
		for i := range 3 {
			to := &consumer{list: fmt.Sprintf("got:%d.%d", p.id, i)}
			consumers = append(consumers, to)
			consuming.Add(1)
			go func() {
				defer consuming.Done()
				if err := to.run(p.addr, int64(10*p.id+i), enough, &consumed); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	for range 3 {
		await(t, &consumed, 200)
		p := c.leader(t)
		p.kill()
		await(t, &consumed, 20)
		p.start()
	}
	await(t, &consumed, 200)
	close(noMore)
	producing.Wait()
	eventually(t, "all jobs are taken", func() bool {
		n, err := c[0].do("LLEN", "jobs")
		return err == nil && n == 0
	})
	close(enough)
	consuming.Wait()
	checkJobs(t, c[0], producers, consumers)
}

// checkJobs finds every job that was pushed in exactly one list, and every one that a consumer was given in its own.
func checkJobs(t *testing.T, p *process, producers []*producer, consumers []*consumer) {
	t.Helper()
	where := map[string]string{}
	for _, to := range consumers {
		all, _ := p.mustDo("LRANGE", to.list, "0", "-1").([]any)
		for _, job := range all {
			job := job.(string)
			if where[job] != "" {
				t.Errorf("%s was taken twice: by %s and %s", job, where[job], to.list)
			}
			where[job] = to.list
		}
		given := map[string]bool{}
		for _, job := range to.got {
			if given[job] || where[job] != to.list {
				t.Errorf("%s was given %s, which is in %q", to.list, job, where[job])
			}
			given[job] = true
		}
	}
	counts := map[string]int{}
	for _, from := range producers {
		for job, outcome := range from.outcomes {
			counts[outcome]++
			if taken := where[job] != ""; outcome != "unknown" && taken != (outcome == "done") {
				t.Errorf("pushing %s was %s, and it was taken: %v", job, outcome, taken)
			}
		}
	}
	if counts["done"] == 0 {
		t.Error("nothing was pushed")
	}
	t.Logf("pushed: %v, taken: %d", counts, len(where))
}

// TestBlockedThroughFailover has a client wait at a follower while leaders are killed.
func TestBlockedThroughFailover(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(t)
	followers := c.others(leader)
	l := &lasting{addr: followers[0].addr}
	if !l.dial() || l.conn.send("BLPOP", "q", "0") != nil {
		t.Fatal("no connection")
	}
	defer l.close()
	eventually(t, "it waits", func() bool {
		info, err := followers[0].do("INFO", "clients")
		return err == nil && strings.Contains(info.(string), "blocked_clients:1\r\n")
	})
	leader.kill()
	c.leader(t)
	followers[1].mustDo("RPUSH", "q", "v")
	reply, err := l.conn.receive()
	if err != nil || fmt.Sprint(reply) != "[q v]" {
		t.Fatalf("it got %v, %v", reply, err)
	}
	if n := followers[1].mustDo("LLEN", "q"); n != 0 {
		t.Errorf("%v elements are left", n)
	}
}
