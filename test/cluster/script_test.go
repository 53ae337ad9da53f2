package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	transferScript = `local have = tonumber(redis.call('get', KEYS[1]) or '0')
local sum = tonumber(ARGV[1])
if have < sum then return 0 end
redis.call('decrby', KEYS[1], sum)
redis.call('incrby', KEYS[2], sum)
redis.call('incr', KEYS[3])
return 1`
	totalScript = `local sum = 0 for _, k in ipairs(KEYS) do sum = sum + tonumber(redis.call('get', k)) end return sum`
)

// scriptSHA has a node load a script.
func scriptSHA(t *testing.T, p *process, text string) string {
	t.Helper()
	return p.mustDo("SCRIPT", "LOAD", text).(string)
}

// agree waits until the nodes have compared their states, and has each check its rows.
func (c cluster) agree(t *testing.T) {
	t.Helper()
	eventually(t, "the leader compares states again", func() bool {
		before := c.leader(t).info("raft_checked_index")
		c[0].mustDo("SET", "agree", fmt.Sprint(before))
		return before >= 0 && c.leader(t).info("raft_checked_index") > before
	})
	for _, p := range c {
		if reply, err := p.do("RAFT", "VERIFY"); err != nil || p.info("raft_corrupt") != 0 {
			t.Errorf("node %d: RAFT VERIFY: %v, %v", p.id, reply, err)
		}
	}
}

// transfers moves money with EVALSHA until stop, and notes what became of it.
type transfers struct {
	done, unknown int
	problem       error
}

func (w *transfers) run(addr, sha, counter string, stop <-chan struct{}, progress *atomic.Int64) {
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
				continue
			}
		}
		from, to := fmt.Sprint("account:", n%5), fmt.Sprint("account:", (n*3+1)%5)
		if from == to {
			continue
		}
		reply, err := c.do("EVALSHA", sha, "3", from, to, counter, "1")
		var refused replyError
		switch {
		case err == nil:
			if reply == int64(1) || fmt.Sprint(reply) == "1" {
				w.done++
			}
			progress.Add(1)
			continue
		case errors.As(err, &refused) && strings.HasPrefix(string(refused), "NOSCRIPT"):
			w.problem = err
			return
		case errors.As(err, &refused) && !strings.HasPrefix(string(refused), "UNCERTAIN"):
			continue // certainly not executed
		}
		w.unknown++
		c.close()
		c = nil
	}
}

// TestScriptsAndKills moves money with a script through all nodes while leaders are killed: none is lost or made, every read
// sees the whole sum, each transfer that was acknowledged happened once, and the script stays known.
func TestScriptsAndKills(t *testing.T) {
	const accounts, each = 5, 100
	c := newCluster(t)
	keys := []string{"EVALSHA", scriptSHA(t, c[1], totalScript), fmt.Sprint(accounts)}
	for i := range accounts {
		name := fmt.Sprint("account:", i)
		c[0].mustDo("SET", name, fmt.Sprint(each))
		keys = append(keys, name)
	}
	sha := scriptSHA(t, c[0], transferScript)
	stop := make(chan struct{})
	var progress atomic.Int64
	var wg sync.WaitGroup
	var all []*transfers
	for _, p := range c {
		w := &transfers{}
		all = append(all, w)
		wg.Add(1)
		go func() {
			defer wg.Done()
			w.run(p.addr, sha, fmt.Sprint("count:", p.id), stop, &progress)
		}()
	}
	for range 3 {
		await(t, &progress, 50)
		victim := c.leader(t)
		victim.kill()
		for _, p := range c.others(victim) {
			eventually(t, "the sum is read", func() bool {
				sum, err := p.do(keys...)
				if err == nil && fmt.Sprint(sum) != fmt.Sprint(accounts*each) {
					t.Errorf("node %d: the sum is %v", p.id, sum)
				}
				return err == nil
			})
		}
		victim.start()
	}
	await(t, &progress, 50)
	close(stop)
	wg.Wait()
	for i, p := range c {
		w := all[i]
		if w.problem != nil {
			t.Errorf("node %d: %v", p.id, w.problem)
		}
		if sum := fmt.Sprint(p.mustDo(keys...)); sum != fmt.Sprint(accounts*each) {
			t.Errorf("node %d: the sum is %s", p.id, sum)
		}
		var count int
		fmt.Sscan(fmt.Sprint(p.mustDo("GET", fmt.Sprint("count:", p.id))), &count)
		if count < w.done || count > w.done+w.unknown {
			t.Errorf("node %d: %d transfers, where %d were acknowledged and %d uncertain", p.id, count, w.done, w.unknown)
		}
	}
	c.agree(t)
}

// TestScriptsSurvive restarts all nodes: scripts and functions are still known to each, and after SCRIPT FLUSH to none.
func TestScriptsSurvive(t *testing.T) {
	c := newCluster(t)
	sha := scriptSHA(t, c[0], "return redis.call('incr', KEYS[1])")
	c[1].mustDo("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('add', function(keys, args) return redis.call('incrby', keys[1], args[1]) end)")
	if got := fmt.Sprint(c[2].mustDo("EVAL", "return 7", "0")); got != "7" {
		t.Fatalf("EVAL answered %s", got)
	}
	for _, p := range c {
		p.kill()
	}
	for _, p := range c {
		p.launch()
	}
	for _, p := range c {
		p.awaitAnswer()
	}
	c.leader(t)
	for i, p := range c {
		if got := fmt.Sprint(p.mustDo("EVALSHA", sha, "1", "n")); got != fmt.Sprint(2*i+1) {
			t.Errorf("node %d: EVALSHA answered %s", p.id, got)
		}
		if got := fmt.Sprint(p.mustDo("FCALL", "add", "1", "n", "1")); got != fmt.Sprint(2*i+2) {
			t.Errorf("node %d: FCALL answered %s", p.id, got)
		}
		if got := fmt.Sprint(p.mustDo("EVALSHA_RO", "59b6ab2fbe0ee4b25733de0f62e6cda4899ef8e9", "0")); got != "7" {
			t.Errorf("node %d: a script that was only run: %s", p.id, got)
		}
	}
	c[0].mustDo("SCRIPT", "FLUSH")
	for _, p := range c {
		if _, err := p.do("EVALSHA", sha, "1", "n"); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
			t.Errorf("node %d: after SCRIPT FLUSH: %v", p.id, err)
		}
	}
	c.agree(t)
}

// TestRunawayScripts runs scripts that never end, before and after a write, on the leader and on a follower: they are ended by
// the limit of instructions or by SCRIPT KILL, other clients are served in between, and the nodes agree afterwards.
func TestRunawayScripts(t *testing.T) {
	c := newCluster(t)
	leader := c.leader(t)
	c[0].mustDo("CONFIG", "SET", "lua-instruction-limit", "3000000")
	for _, p := range []*process{leader, c.others(leader)[0]} {
		before := fmt.Sprint("before:", p.id)
		runaway, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer runaway.close()
		if err := runaway.send("EVAL", "while true do end redis.call('set', KEYS[1], 1)", "1", before); err != nil {
			t.Fatal(err)
		}
		eventually(t, "others are served, and the script is killed", func() bool {
			for _, other := range c {
				other.mustDo("INCR", "others")
			}
			_, err := p.do("SCRIPT", "KILL")
			return err == nil
		})
		if _, err := runaway.receive(); err == nil || !strings.Contains(err.Error(), "Script killed by user with SCRIPT KILL") {
			t.Errorf("a script that was killed answered with %v", err)
		}
		after := fmt.Sprint("after:", p.id)
		if _, err := p.do("EVAL", "redis.call('set', KEYS[1], 1) while true do pcall(function() end) end", "1", after); err == nil ||
			!strings.Contains(err.Error(), "3000000") {
			t.Errorf("a script without an end answered with %v", err)
		}
		if got := fmt.Sprint(p.mustDo("EXISTS", before, after)); got != "1" {
			t.Errorf("%s keys of the scripts are there", got)
		}
	}
	c.agree(t)
}
