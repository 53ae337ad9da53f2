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
)

// A bank has accounts whose sum never changes, since money is moved by transactions only.
const (
	accounts = 5
	balance  = 100
	bankSum  = accounts * balance
)

func accountKey(i int) string { return fmt.Sprint("account:", i) }

func accountKeys() (keys []string) {
	for i := range accounts {
		keys = append(keys, accountKey(i))
	}
	return keys
}

// bank is what the clients of the accounts count.
type bank struct {
	t         *testing.T
	done      atomic.Int64 // transfers that were answered
	moved     atomic.Int64 // of them those with WATCH
	stale     atomic.Int64 // that a change of a watched key has stopped
	reads     atomic.Int64
	uncertain atomic.Int64
}

// repeat runs one client's step on a connection to a node until stop, with a new connection after each that broke.
func (b *bank) repeat(p *process, seed int64, stop <-chan struct{}, step func(c *conn, rnd *rand.Rand) error) {
	rnd := rand.New(rand.NewSource(seed))
	var c *conn
	for {
		select {
		case <-stop:
			if c != nil {
				c.close()
			}
			return
		default:
		}
		if c == nil {
			var err error
			if c, err = dial(p.addr); err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
		}
		if err := step(c, rnd); err != nil {
			if outcome(err) == "unknown" {
				b.uncertain.Add(1)
			}
			c.close() // and with it whatever it was in the middle of
			c = nil
		}
	}
}

// transaction sends MULTI, the calls and EXEC at once, and returns EXEC's reply.
func (c *conn) transaction(calls ...[]string) (any, error) {
	buf := encode("MULTI")
	for _, call := range calls {
		buf = append(buf, encode(call...)...)
	}
	if _, err := c.Write(append(buf, encode("EXEC")...)); err != nil {
		return nil, err
	}
	var reply any
	var failed error
	for range len(calls) + 2 {
		var err error
		if reply, err = c.receive(); err != nil {
			if answer := replyError(""); !errors.As(err, &answer) {
				return nil, err
			}
			failed = err
		}
	}
	return reply, failed
}

// transfer moves money without looking: MULTI alone keeps the sum.
func (b *bank) transfer(c *conn, rnd *rand.Rand) error {
	from, to, amount := accountKey(rnd.Intn(accounts)), accountKey(rnd.Intn(accounts)), fmt.Sprint(1+rnd.Intn(9))
	reply, err := c.transaction([]string{"DECRBY", from, amount}, append([]string{"MGET"}, accountKeys()...),
		[]string{"INCRBY", to, amount}, append([]string{"MGET"}, accountKeys()...))
	if err != nil {
		return err
	}
	b.done.Add(1)
	replies := reply.([]any)
	n, _ := strconv.Atoi(amount)
	b.check("between the writes", replies[1], bankSum-n)
	b.check("after the writes", replies[3], bankSum)
	return nil
}

// move reads two accounts and sets both, which only WATCH makes right.
func (b *bank) move(c *conn, rnd *rand.Rand) error {
	i := rnd.Intn(accounts)
	from, to := accountKey(i), accountKey((i+1+rnd.Intn(accounts-1))%accounts)
	if _, err := c.do("WATCH", from, to); err != nil {
		return err
	}
	values, err := c.do("MGET", from, to)
	if err != nil {
		return err
	}
	x, _ := strconv.Atoi(values.([]any)[0].(string))
	y, _ := strconv.Atoi(values.([]any)[1].(string))
	reply, err := c.transaction([]string{"SET", from, fmt.Sprint(x - 1)}, []string{"SET", to, fmt.Sprint(y + 1)},
		append([]string{"MGET"}, accountKeys()...))
	switch {
	case err != nil:
		return err
	case reply == nil:
		b.stale.Add(1)
		return nil
	}
	b.done.Add(1)
	b.moved.Add(1)
	b.check("after a move", reply.([]any)[2], bankSum)
	return nil
}

// look reads all accounts, in a transaction or not.
func (b *bank) look(c *conn, rnd *rand.Rand) error {
	mget := append([]string{"MGET"}, accountKeys()...)
	if rnd.Intn(2) == 0 {
		reply, err := c.do(mget...)
		if err != nil {
			return err
		}
		b.reads.Add(1)
		b.check("MGET", reply, bankSum)
		return nil
	}
	var gets [][]string
	for _, key := range accountKeys() {
		gets = append(gets, []string{"GET", key})
	}
	reply, err := c.transaction(gets...)
	if err != nil {
		return err
	}
	b.reads.Add(1)
	b.check("GETs of a transaction", reply, bankSum)
	return nil
}

func (b *bank) check(what string, reply any, want int) {
	sum := 0
	values, _ := reply.([]any)
	for _, v := range values {
		text, _ := v.(string)
		n, err := strconv.Atoi(text)
		if err != nil {
			b.t.Errorf("%s: %v", what, reply)
			return
		}
		sum += n
	}
	if sum != want {
		b.t.Errorf("%s: the accounts have %d, not %d: %v", what, sum, want, reply)
	}
}

// run starts three clients on each node, which end when stop is closed.
func (b *bank) run(c cluster, stop <-chan struct{}) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, p := range c {
		for i, step := range []func(*conn, *rand.Rand) error{b.transfer, b.move, b.look} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				b.repeat(p, int64(10*p.id+i), stop, step)
			}()
		}
	}
	return &wg
}

// TestTransfers moves money through all nodes while leaders are killed and stopped.
func TestTransfers(t *testing.T) {
	c := newCluster(t)
	set := []string{"MSET"}
	for _, key := range accountKeys() {
		set = append(set, key, fmt.Sprint(balance))
	}
	c.leader(t).mustDo(set...)
	b := &bank{t: t}
	stop := make(chan struct{})
	clients := b.run(c, stop)
	for round := range 4 {
		await(t, &b.moved, 30)
		await(t, &b.done, 200)
		await(t, &b.reads, 100)
		p := c.leader(t)
		if round%2 == 0 {
			p.kill()
			await(t, &b.done, 50)
			p.start()
			continue
		}
		p.signal(syscall.SIGSTOP)
		await(t, &b.done, 50) // through the others, which have elected another leader
		p.signal(syscall.SIGCONT)
	}
	await(t, &b.moved, 30)
	close(stop)
	clients.Wait()
	for _, p := range c {
		b.check(fmt.Sprintf("node %d in the end", p.id), p.mustDo(append([]string{"MGET"}, accountKeys()...)...), bankSum)
	}
	t.Logf("%d transfers, %d of them with WATCH, %d more stale, %d unknown, %d reads", b.done.Load(), b.moved.Load(), b.stale.Load(),
		b.uncertain.Load(), b.reads.Load())
}

// TestWatchAcrossFailover watches a key through each node, has the leader killed, and executes after it: with a change in
// between through the next leader never, without one always.
func TestWatchAcrossFailover(t *testing.T) {
	c := newCluster(t)
	for round := range 3 {
		old := c.leader(t)
		old.mustDo("MSET", "changed", fmt.Sprint(round), "kept", fmt.Sprint(round))
		var watchers []*conn
		for _, p := range c.others(old) {
			for _, key := range []string{"changed", "kept"} {
				conn, err := dial(p.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.close()
				if reply, err := conn.do("WATCH", key, "never"); err != nil || reply != "OK" {
					t.Fatal(reply, err)
				}
				watchers = append(watchers, conn)
			}
		}
		old.kill()
		eventually(t, "the key is changed through the next leader", func() bool {
			_, err := c.others(old)[round%2].do("SET", "changed", fmt.Sprint(round))
			return err == nil
		})
		for i, conn := range watchers {
			reply, err := conn.transaction([]string{"INCR", "ran"}, []string{"GET", "kept"})
			if unknown := replyError(""); errors.As(err, &unknown) && strings.HasPrefix(string(unknown), "UNCERTAIN") {
				continue
			}
			if err != nil || (reply == nil) != (i%2 == 0) {
				t.Errorf("round %d: EXEC of watcher %d answers %v, %v", round, i, reply, err)
			}
		}
		old.start()
	}
}
