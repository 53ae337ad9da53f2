package cluster_test

import (
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"redoubt/test/ports"
)

// writer sets keys of its own, one after the other, and counts on a counter that all writers share.
type writer struct {
	acked, notDone map[string]bool
	incrAcked      int
	incrUnknown    int
	longest        time.Duration // that a SET took
}

// writeUntil runs writers on every node until stop; they reconnect when their node was killed.
func writeUntil(c cluster, perNode int, prefix string, stop <-chan struct{}, progress *atomic.Int64) []*writer {
	var writers []*writer
	var wg sync.WaitGroup
	for _, p := range c {
		for i := range perNode {
			w := &writer{acked: make(map[string]bool), notDone: make(map[string]bool)}
			writers = append(writers, w)
			wg.Add(1)
			go func() {
				defer wg.Done()
				w.run(p.addr, fmt.Sprintf("%s:%d:%d", prefix, p.id, i), stop, progress)
			}()
		}
	}
	wg.Wait()
	return writers
}

func (w *writer) run(addr, prefix string, stop <-chan struct{}, progress *atomic.Int64) {
	var c *conn
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if c == nil {
			var err error
			if c, err = dial(addr); err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
		}
		key := fmt.Sprintf("%s:%d", prefix, n)
		begun := time.Now()
		_, err := c.do("SET", key, key)
		w.longest = max(w.longest, time.Since(begun))
		switch outcome(err) {
		case "done":
			w.acked[key] = true
			progress.Add(1)
		case "not done":
			w.notDone[key] = true
		}
		if err == nil {
			_, err = c.do("INCR", "counter")
			switch outcome(err) {
			case "done":
				w.incrAcked++
			case "unknown":
				w.incrUnknown++
			}
		}
		if reply := replyError(""); err != nil && !errors.As(err, &reply) {
			c.close()
			c = nil
		}
	}
}

// check reads everything back through a node.
func check(t *testing.T, p *process, writers []*writer) {
	t.Helper()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	total, acked, unknown := 0, 0, 0
	for _, w := range writers {
		acked, unknown = acked+w.incrAcked, unknown+w.incrUnknown
		for key := range w.acked {
			total++
			if reply, err := c.do("GET", key); err != nil || reply != key {
				t.Fatalf("node %d: the acknowledged key %s is %v, %v", p.id, key, reply, err)
			}
		}
		for key := range w.notDone {
			if reply, err := c.do("GET", key); err != nil || reply != nil {
				t.Fatalf("node %d: key %s was said not to be set and is %v, %v", p.id, key, reply, err)
			}
		}
	}
	reply, err := c.do("GET", "counter")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(reply.(string))
	if err != nil || n < acked || n > acked+unknown {
		t.Errorf("node %d: counter is %v after %d acknowledged and %d unknown increments", p.id, reply, acked, unknown)
	}
	if total == 0 {
		t.Error("nothing was written")
	}
	t.Logf("node %d has all %d keys; %d increments acknowledged, %d unknown", p.id, total, acked, unknown)
}

// TestKillLeader kills leaders while every node takes writes.
func TestKillLeader(t *testing.T) {
	c := newCluster(t)
	stop := make(chan struct{})
	done := make(chan []*writer)
	var progress atomic.Int64
	go func() { done <- writeUntil(c, 3, "k", stop, &progress) }()
	for range 3 {
		await(t, &progress, 300)
		p := c.leader(t)
		p.kill()
		killed := time.Now()
		await(t, &progress, 10)
		t.Logf("writes went on %v after the leader was killed", time.Since(killed).Round(time.Millisecond))
		p.start()
	}
	await(t, &progress, 300)
	close(stop)
	writers := <-done
	for _, p := range c {
		check(t, p, writers)
	}
}

// await waits for n more writes.
func await(t *testing.T, progress *atomic.Int64, n int64) {
	t.Helper()
	goal := progress.Load() + n
	eventually(t, "writes go on", func() bool { return progress.Load() >= goal })
}

// TestKillAll kills all nodes at once, in the middle of writes and of snapshots.
func TestKillAll(t *testing.T) {
	c := newCluster(t, "--snapshot-log-bytes", "64kb")
	var all []*writer
	for round := range 3 {
		stop := make(chan struct{})
		done := make(chan []*writer)
		var progress atomic.Int64
		go func() { done <- writeUntil(c, 4, fmt.Sprint("r", round), stop, &progress) }()
		await(t, &progress, 1000)
		for _, p := range c {
			_ = p.cmd.Process.Kill()
		}
		close(stop)
		all = append(all, <-done...)
		for _, p := range c {
			<-p.exited
			p.launch()
		}
		for _, p := range c {
			p.awaitAnswer()
		}
	}
	for _, p := range c {
		check(t, p, all)
	}
}

// TestKillSingle kills a node that is alone.
func TestKillSingle(t *testing.T) {
	p := newProcess(t, 1)
	p.args = append(p.args, "--raft-listen", ports.Cluster.Free(t))
	p.start()
	var all []*writer
	for round := range 3 {
		stop := make(chan struct{})
		done := make(chan []*writer)
		var progress atomic.Int64
		go func() { done <- writeUntil(cluster{p}, 4, fmt.Sprint("r", round), stop, &progress) }()
		await(t, &progress, 500)
		p.kill()
		close(stop)
		all = append(all, <-done...)
		p.start()
	}
	check(t, p, all)
}

// TestPausedLeader stops leaders with SIGSTOP, lets the others elect one and change a value, and asks
// the old leader as it wakes up, on a connection from before.
func TestPausedLeader(t *testing.T) {
	for _, mode := range []string{"lease", "linearizable"} {
		t.Run(mode, func(t *testing.T) {
			c := newCluster(t, "--reads", mode)
			for round := range 4 {
				old := c.leader(t)
				old.mustDo("SET", "value", fmt.Sprint("old ", round))
				var waiting []*conn
				for range 8 {
					conn, err := dial(old.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.close()
					if _, err := conn.do("GET", "value"); err != nil {
						t.Fatal(err)
					}
					waiting = append(waiting, conn)
				}
				old.signal(syscall.SIGSTOP)
				fresh := fmt.Sprint("new ", round)
				c.others(old)[round%2].mustDo("SET", "value", fresh) // waits for the election
				for _, conn := range waiting {
					if err := conn.send("GET", "value"); err != nil {
						t.Fatal(err)
					}
				}
				old.signal(syscall.SIGCONT)
				for _, conn := range waiting {
					if reply, err := conn.receive(); err == nil && reply != fresh {
						t.Fatalf("round %d: the old leader answered %v after %q was acknowledged", round, reply, fresh)
					}
				}
			}
		})
	}
}

// TestPausesUnderLoad pauses random nodes for random times while a register is written and read
// through all nodes: reads never go back.
func TestPausesUnderLoad(t *testing.T) {
	c := newCluster(t)
	c.leader(t).mustDo("SET", "register", "0")
	var acked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		writeRegister(c, &acked, stop)
	}()
	var reads [3]int
	for i, p := range c {
		wg.Add(1)
		go func() {
			defer wg.Done()
			conn, err := dial(p.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := acked.Load()
				reply, err := conn.do("GET", "register")
				if err != nil {
					continue
				}
				if got, _ := strconv.ParseInt(reply.(string), 10, 64); got < least {
					t.Errorf("node %d read %d after %d was acknowledged", p.id, got, least)
					return
				}
				reads[i]++
			}
		}()
	}
	rnd := rand.New(rand.NewSource(1))
	for range 6 {
		await(t, &acked, 50)
		p := c[rnd.Intn(3)]
		p.signal(syscall.SIGSTOP)
		time.Sleep(time.Duration(rnd.Intn(1500)) * time.Millisecond) // the fault's length, not a wait
		p.signal(syscall.SIGCONT)
	}
	await(t, &acked, 50)
	close(stop)
	wg.Wait()
	for i, n := range reads {
		if n == 0 {
			t.Errorf("node %d never read", i+1)
		}
	}
}

// writeRegister sets the register to 1, 2, 3... through one node after the other.
func writeRegister(c cluster, acked *atomic.Int64, stop <-chan struct{}) {
	for n := int64(1); ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		conn, err := dial(c[n%3].addr)
		if err != nil {
			continue
		}
		if _, err := conn.do("SET", "register", fmt.Sprint(n)); err == nil {
			acked.Store(n)
		}
		conn.close()
	}
}

// TestTerminate stops a leader with SIGTERM: it hands over, exits with 0, and nothing is lost.
func TestTerminate(t *testing.T) {
	c := newCluster(t)
	p := c.leader(t)
	p.mustDo("SET", "key", "value")
	p.signal(syscall.SIGTERM)
	if code := p.awaitExit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out := p.output(); !strings.Contains(out, "stopped") {
		t.Errorf("no orderly end in the log")
	}
	other := c.others(p)[0]
	if got := other.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET through node %d: %v", other.id, got)
	}
	p.start()
	if got := p.mustDo("GET", "key"); got != "value" {
		t.Errorf("GET after the restart: %v", got)
	}
}
