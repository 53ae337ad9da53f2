package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cachingClient keeps what it reads until it is told to drop it, and everything when its connection breaks.
type cachingClient struct {
	addr    string
	options []string

	mu     sync.Mutex
	values map[string]int // absent keys are 0
	conn   *conn
	flush  int // how often it was told to drop everything

	kept, asked int
}

// receivePush reads until a reply, and heeds what comes before it.
func (c *cachingClient) receive() (any, error) {
	for {
		if len(c.conn.buf) == 0 {
			if err := c.conn.fill(); err != nil {
				return nil, err
			}
		}
		switch c.conn.buf[0] {
		case '_':
			_, err := c.conn.read(3)
			return nil, err
		case '%':
			c.conn.buf[0] = '*'
			line, err := c.conn.line()
			if err != nil {
				return nil, err
			}
			n, _ := strconv.Atoi(line[1:])
			for range 2 * n {
				if _, err := c.receive(); err != nil {
					return nil, err
				}
			}
			return nil, nil
		case '>':
			if err := c.heed(); err != nil {
				return nil, err
			}
		default:
			return c.conn.receive()
		}
	}
}

// heed drops what a push names.
func (c *cachingClient) heed() error {
	if _, err := c.conn.line(); err != nil {
		return err
	}
	if _, err := c.conn.receive(); err != nil {
		return err
	}
	keys, err := c.receive()
	if err != nil {
		return err
	}
	names, some := keys.([]any)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !some {
		clear(c.values)
		c.flush++
	}
	for _, name := range names {
		delete(c.values, name.(string))
	}
	return nil
}

func (c *cachingClient) connect() (err error) {
	c.mu.Lock()
	c.values = map[string]int{}
	c.mu.Unlock()
	if c.conn != nil {
		c.conn.close()
	}
	if c.conn, err = dial(c.addr); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	for _, call := range [][]string{{"HELLO", "3"}, append([]string{"CLIENT", "TRACKING", "ON"}, c.options...)} {
		if err := c.conn.send(call...); err != nil {
			return err
		}
		if _, err := c.receive(); err != nil {
			return err
		}
	}
	return nil
}

// get returns a value from the cache, or else from the node. The pushes that are there already are heeded first.
func (c *cachingClient) get(key string) (n int, err error) {
	if err := c.drain(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	n, have := c.values[key]
	c.mu.Unlock()
	if have {
		c.kept++
		return n, nil
	}
	c.asked++
	if err := c.conn.send("GET", key); err != nil {
		return 0, err
	}
	reply, err := c.receive()
	if err != nil {
		return 0, err
	}
	if text, ok := reply.(string); ok {
		n, _ = strconv.Atoi(text)
	}
	c.mu.Lock()
	c.values[key] = n
	c.mu.Unlock()
	return n, nil
}

// drain heeds the pushes that have come.
func (c *cachingClient) drain() error {
	if c.conn == nil {
		return c.connect()
	}
	if err := c.conn.send("PING"); err != nil {
		return err
	}
	reply, err := c.receive()
	if err == nil && reply != "PONG" {
		err = fmt.Errorf("reply %v to PING", reply)
	}
	return err
}

// written is what a writer knows of its key.
type written struct {
	acked atomic.Int64 // the last value that was acknowledged
	next  int
}

func cacheKey(i int) string { return "cache:" + strconv.Itoa(i) }

// Clients at all nodes keep what they read, while others write through all nodes and leaders are killed and nodes stopped.
// Each key has one writer, with growing values. What a client has after it has heard everything that its
// node has sent must be at least as new as what had been acknowledged the bound before; when all is quiet, everything is
// the last value.
func TestCachesAreRight(t *testing.T) {
	const keys, bound = 12, 20 * time.Second // the bound is for busy machines: caches are emptied after 1.2 s
	c := newCluster(t)
	c.leader(t)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	all := make([]*written, keys)
	for i := range all {
		all[i] = &written{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			all[i].write(c, i, stop)
		}()
	}
	var clients []*cachingClient
	for i, p := range c {
		for _, options := range [][]string{nil, {"BCAST", "PREFIX", "cache:"}, {"NOLOOP"}} {
			cl := &cachingClient{addr: p.addr, options: options}
			clients = append(clients, cl)
			wait.Add(1)
			go func() {
				defer wait.Done()
				cl.read(t, all, bound, stop, uint64(i))
			}()
		}
	}
	victim := c.leader(t)
	victim.kill()
	c.leader(t)
	victim.start()
	paused := c.others(c.leader(t))[0]
	paused.signal(syscall.SIGSTOP)
	time.Sleep(2 * time.Second)
	paused.signal(syscall.SIGCONT)
	paused = c.leader(t)
	paused.signal(syscall.SIGSTOP)
	c.others(paused).leader2(t)
	paused.signal(syscall.SIGCONT)
	time.Sleep(500 * time.Millisecond)
	close(stop)
	wait.Wait()
	kept := 0
	for _, cl := range clients {
		kept += cl.kept
		eventually(t, fmt.Sprintf("the cache of a client of %s with %v is right", cl.addr, cl.options), func() bool {
			return cl.isRight(c, all)
		})
	}
	if kept == 0 {
		t.Error("nothing was ever kept")
	}
}

// leader2 waits until two nodes agree on one of themselves as the leader.
func (c cluster) leader2(t *testing.T) {
	t.Helper()
	eventually(t, "another leader", func() bool {
		a, b := c[0].raftField("leader"), c[1].raftField("leader")
		return a == b && (a == fmt.Sprint(c[0].id) || a == fmt.Sprint(c[1].id))
	})
}

// write counts in a key, through one node after the other.
func (w *written) write(c cluster, i int, stop chan struct{}) {
	var conns [3]*conn
	for at := i; ; at++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
		}
		p := c[at%len(c)]
		if conns[at%3] == nil {
			conns[at%3], _ = dial(p.addr)
		}
		if conns[at%3] == nil {
			continue
		}
		w.next++ // a value that may be there is never written again
		_ = conns[at%3].SetWriteDeadline(time.Now().Add(5 * time.Second))
		if err := conns[at%3].send("SET", cacheKey(i), strconv.Itoa(w.next)); err == nil {
			_, err = conns[at%3].receiveBy(time.Now().Add(8 * time.Second))
			if err == nil {
				w.acked.Store(int64(w.next))
				continue
			}
		}
		conns[at%3].close()
		conns[at%3] = nil
	}
}

// receiveBy is receive with a time at which it gives up.
func (c *conn) receiveBy(at time.Time) (reply any, err error) {
	done := time.AfterFunc(time.Until(at), c.close)
	defer done.Stop()
	return c.receive()
}

// read gets keys at random and checks their age.
func (c *cachingClient) read(t *testing.T, all []*written, bound time.Duration, stop chan struct{}, seed uint64) {
	type mark struct {
		at    time.Time
		acked []int64
	}
	var marks []mark
	random := rand.New(rand.NewPCG(seed, 7))
	for {
		select {
		case <-stop:
			return
		default:
		}
		now := time.Now()
		if len(marks) == 0 || now.Sub(marks[len(marks)-1].at) > 100*time.Millisecond {
			m := mark{at: now}
			for _, w := range all {
				m.acked = append(m.acked, w.acked.Load())
			}
			marks = append(marks, m)
		}
		i := random.IntN(len(all))
		if c.conn != nil {
			_ = c.conn.SetDeadline(now.Add(15 * time.Second))
		}
		n, err := c.get(cacheKey(i))
		if err != nil {
			if c.connect() != nil {
				time.Sleep(20 * time.Millisecond)
			}
			continue
		}
		for len(marks) > 1 && now.Sub(marks[1].at) > bound {
			marks = marks[1:]
		}
		if now.Sub(marks[0].at) > bound && int64(n) < marks[0].acked[i] {
			t.Errorf("%s: a client of %s with %v has %d, when %d was acknowledged %v before", cacheKey(i), c.addr, c.options, n,
				marks[0].acked[i], now.Sub(marks[0].at))
			return
		}
	}
}

// isRight says whether all that the client keeps is what is stored.
func (c *cachingClient) isRight(nodes cluster, all []*written) bool {
	if c.conn == nil {
		return true
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if err := c.drain(); err != nil {
		return c.connect() == nil
	}
	for i := range all {
		stored, err := nodes[0].do("GET", cacheKey(i))
		if err != nil {
			return false
		}
		c.mu.Lock()
		n, have := c.values[cacheKey(i)]
		c.mu.Unlock()
		if text, _ := stored.(string); have && text != strconv.Itoa(n) {
			return false
		}
	}
	return true
}

// A node that hears from nobody tells its clients to drop everything, be it the leader or not, and what they read from it
// then they cannot keep.
func TestCachesOfACutOffNode(t *testing.T) {
	c := newCluster(t, "--election-timeout=500ms", "--max-staleness=0", "--request-timeout=1s")
	for _, cut := range []*process{c.leader(t), c.others(c.leader(t))[0]} {
		cl := &cachingClient{addr: cut.addr}
		eventually(t, "the node answers", func() bool {
			if cl.connect() != nil {
				return false
			}
			_, err := cl.get(cacheKey(0))
			return err == nil
		})
		if err := cl.conn.send("READONLY"); err != nil {
			t.Fatal(err)
		}
		if _, err := cl.receive(); err != nil {
			t.Fatal(err)
		}
		before := cl.flush
		for _, p := range c.others(cut) {
			p.signal(syscall.SIGSTOP)
		}
		eventually(t, "the caches are emptied", func() bool {
			_ = cl.conn.SetDeadline(time.Now().Add(patience))
			return cl.drain() == nil && cl.flush > before
		})
		if _, err := cl.get(cacheKey(1)); err != nil {
			t.Error("a local read:", err)
		}
		eventually(t, "what was read is dropped", func() bool { return cl.drain() == nil && len(cl.values) == 0 })
		for _, p := range c.others(cut) {
			p.signal(syscall.SIGCONT)
		}
		eventually(t, "values are kept again", func() bool {
			_, err := cl.get(cacheKey(2))
			return err == nil && cl.drain() == nil && len(cl.values) > 0
		})
		c.leader(t)
	}
}
