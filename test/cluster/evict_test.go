package cluster_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// marginOf is by how much writes may pass a small maxmemory: see evict.go.
func marginOf(maxMemory int) int { return max(maxMemory/16, 64<<10) }

// info returns a number of INFO, -1 if the node does not answer.
func (p *process) info(name string) int {
	reply, err := p.do("INFO", "everything")
	text, ok := reply.(string)
	if err != nil || !ok {
		return -1
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, found := strings.CutPrefix(line, name+":"); found {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return -1
}

// settled waits until all nodes have a data set within its limit, and the same one.
func (c cluster) settled(t *testing.T, maxMemory int) {
	t.Helper()
	eventually(t, "the nodes are within maxmemory, and equal", func() bool {
		used, keys := c[0].info("used_memory"), fmt.Sprint(c[0].mustDo("DBSIZE"))
		for _, p := range c {
			if n := p.info("used_memory"); n != used || n > maxMemory || fmt.Sprint(p.mustDo("DBSIZE")) != keys {
				return false
			}
		}
		return used >= 0
	})
	checked := c.leader(t).info("raft_checked_index")
	eventually(t, "the states are compared", func() bool { return c.leader(t).info("raft_checked_index") > checked })
	for _, p := range c {
		if reply, err := p.do("RAFT", "VERIFY"); err != nil || p.info("raft_corrupt") != 0 {
			t.Errorf("node %d: RAFT VERIFY: %v, %v", p.id, reply, err)
		}
	}
}

// flood sets keys in pipelines through a node until stop, whatever it answers.
func flood(p *process, prefix string, stop <-chan struct{}, written *atomic.Int64) {
	const batch = 50
	value := strings.Repeat("v", 500)
	var conn *conn
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if conn == nil {
			var err error
			if conn, err = dial(p.addr); err != nil {
				continue
			}
		}
		var request []byte
		for i := range batch {
			request = append(request, encode("SET", fmt.Sprintf("%s:%d:%d", prefix, n, i), value)...)
		}
		_, err := conn.Write(request)
		for i := 0; i < batch && err == nil; i++ {
			var reply any
			if reply, err = conn.receive(); reply == "OK" {
				written.Add(1)
			} else if outcome(err) == "unknown" && !strings.HasPrefix(fmt.Sprint(err), "UNCERTAIN") {
				break
			} else {
				err = nil
			}
		}
		if err != nil {
			conn.close()
			conn = nil
		}
	}
}

// TestEviction writes many times maxmemory through all nodes, as fast as they take it, and kills the leader meanwhile: no node
// ever has more than the documented margin above, and in the end all have the same.
func TestEviction(t *testing.T) {
	const maxMemory = 4 << 20
	c := newCluster(t, "--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
	eventually(t, "the limit is set", func() bool { return c[1].info("maxmemory") == maxMemory })
	stop := make(chan struct{})
	var written atomic.Int64
	var highest atomic.Int64
	var wg sync.WaitGroup
	for _, p := range c {
		for i := range 3 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				flood(p, fmt.Sprint(p.id, "-", i), stop, &written)
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n := int64(p.info("used_memory")); n > highest.Load() {
					highest.Store(n)
				}
			}
		}()
	}
	await(t, &written, 30_000) // 15 MB
	old := c.leader(t)
	old.kill()
	await(t, &written, 20_000)
	old.start()
	await(t, &written, 10_000)
	close(stop)
	wg.Wait()
	// A margin for what is applied, and one for what each node has under way, with its last request.
	bound := maxMemory + 4*marginOf(maxMemory) + 3*50*600
	t.Logf("%d keys written, %d bytes at most, %.2f times maxmemory", written.Load(), highest.Load(), float64(highest.Load())/maxMemory)
	if highest.Load() > int64(bound) || highest.Load() < maxMemory {
		t.Errorf("%d bytes at most, want %d to %d", highest.Load(), maxMemory, bound)
	}
	c.settled(t, maxMemory)
	if n := c.leader(t).info("evicted_keys"); n <= 0 {
		t.Errorf("evicted_keys is %d", n)
	}
	if n := c[0].info("used_memory"); n < maxMemory-marginOf(maxMemory) {
		t.Errorf("%d bytes are left: too much was evicted", n)
	}
}

// TestEvictionSparesHotKeys reads some keys again and again while others fill the data set several times.
func TestEvictionSparesHotKeys(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "allkeys-lfu"} {
		t.Run(policy, func(t *testing.T) {
			const maxMemory, hot = 1 << 20, 50
			c := newCluster(t)
			c.others(c.leader(t))[0].mustDo("CONFIG", "SET", "maxmemory", "1mb", "maxmemory-policy", policy)
			conn, err := dial(c.leader(t).addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.close()
			do := func(args ...string) any {
				reply, err := conn.do(args...)
				if err != nil {
					t.Fatal(err)
				}
				return reply
			}
			value := strings.Repeat("v", 1000)
			for i := range hot {
				do("SET", fmt.Sprint("hot", i), value)
			}
			for i := range 4000 { // four times maxmemory
				do("SET", fmt.Sprint("cold", i), value)
				do("GET", fmt.Sprint("hot", i%hot))
			}
			c.settled(t, maxMemory)
			left := 0
			for i := range hot {
				if do("GET", fmt.Sprint("hot", i)) != nil {
					left++
				}
			}
			t.Logf("%d of %d hot keys are left, %v keys in all", left, hot, do("DBSIZE"))
			if left < hot*8/10 {
				t.Errorf("%d of %d hot keys are left", left, hot)
			}
		})
	}
}

const outOfMemory = "OOM command not allowed when used memory > 'maxmemory'."

// TestMaxMemory sets the limit through one node and sees it on all, also after all were started again with other flags.
// With noeviction writes that need room are refused on every node, others are not; with a volatile policy only keys with
// an expiry time go.
func TestMaxMemory(t *testing.T) {
	c := newCluster(t, "--maxmemory", "7mb")
	eventually(t, "the limit of the flags is set", func() bool { return c[0].info("maxmemory") == 7<<20 })
	c.others(c.leader(t))[0].mustDo("CONFIG", "SET", "maxmemory", "1mb", "maxmemory-samples", "7", "hash-max-ziplist-entries", "9")
	seen := func() bool {
		for _, p := range c {
			if got := fmt.Sprint(p.mustDo("CONFIG", "GET", "maxmemory", "hash-max-listpack-entries")); got != "[maxmemory 1048576 hash-max-listpack-entries 9]" {
				return false
			}
		}
		return true
	}
	eventually(t, "the limit is seen by all", seen)
	for _, p := range c {
		p.kill()
		p.launch()
	}
	for _, p := range c {
		p.awaitAnswer()
	}
	eventually(t, "the limit is seen after a restart", seen)

	value := strings.Repeat("v", 1000)
	full := func(p *process, ttl ...string) (written int) {
		for ; ; written++ {
			_, err := p.do(append([]string{"SET", fmt.Sprint("key", p.id, ttl, written), value}, ttl...)...)
			switch {
			case err == nil && written < 3000:
			case fmt.Sprint(err) == outOfMemory:
				return written
			default:
				t.Fatalf("after %d writes: %v", written, err)
			}
		}
	}
	if n := full(c[0]); n < 900 || n > 1048 {
		t.Errorf("%d keys of 1 KB are within 1 MB", n)
	}
	for _, p := range c {
		eventually(t, "writes are refused on all nodes", func() bool {
			_, err := p.do("APPEND", "k", "v")
			return fmt.Sprint(err) == outOfMemory
		})
		if got := p.mustDo("EXPIRE", "none", "1"); got != 0 {
			t.Errorf("EXPIRE: %v", got)
		}
	}
	for i := range 500 {
		c[1].mustDo("DEL", fmt.Sprint("key", 1, []string{}, i))
	}
	c[2].mustDo("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
	lasting := c[1].mustDo("DBSIZE").(int)
	for i := range 3000 {
		c[1].mustDo("SET", fmt.Sprint("volatile", i), value, "EX", "10000")
	}
	c.settled(t, 1<<20)
	for i := range lasting {
		if c[1].mustDo("EXISTS", fmt.Sprint("key", 1, []string{}, 500+i)) != 1 {
			t.Fatalf("key %d has no expiry time and was evicted", i)
		}
	}
	full(c[1]) // at the cost of the volatile ones, until there are none
	if got := c[1].info("evicted_keys"); got < 2900 {
		t.Errorf("%d keys evicted", got)
	}
	c[1].mustDo("CONFIG", "SET", "maxmemory", "0")
	c[1].mustDo("SET", "key", value)
}
