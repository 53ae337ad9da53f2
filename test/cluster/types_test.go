package cluster_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
)

// bigTypes are large collections: how elements are put into them, and the command that counts them.
var bigTypes = []struct {
	name, count string
	put         func(key string, i int) []string
}{
	{"hash", "HLEN", func(key string, i int) []string { return batched([]string{"HSET", key}, i, "field", "value") }},
	{"list", "LLEN", func(key string, i int) []string { return batched([]string{"RPUSH", key}, i, "element") }},
	{"set", "SCARD", func(key string, i int) []string { return batched([]string{"SADD", key}, i, "member") }},
	{"zset", "ZCARD", func(key string, i int) []string { return batched([]string{"ZADD", key}, i, "", "member") }},
	{"stream", "XLEN", func(key string, i int) []string {
		return []string{"XADD", key, "*", "n", strconv.Itoa(i), "text", "what an entry of a stream holds"}
	}},
}

const (
	bigBatches = 100
	bigBatch   = 200 // elements; streams get them one by one
)

// batched appends so many elements to a call, each with these words and a number.
func batched(call []string, i int, words ...string) []string {
	for n := range bigBatch {
		for _, word := range words {
			call = append(call, fmt.Sprintf("%s%d", word, i*bigBatch+n))
		}
	}
	return call
}

// loadBig makes a large collection of each type, and returns how many elements each has.
func loadBig(t *testing.T, p *process) map[string]int {
	t.Helper()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	sizes := map[string]int{}
	for _, kind := range bigTypes {
		key := "big:" + kind.name
		for i := range bigBatches {
			if err := c.send(kind.put(key, i)...); err != nil {
				t.Fatal(err)
			}
		}
		for range bigBatches {
			if _, err := c.receive(); err != nil {
				t.Fatalf("%s: %v", kind.name, err)
			}
		}
		n, err := c.do(kind.count, key)
		if err != nil || n == 0 {
			t.Fatalf("%s %s: %v, %v", kind.count, key, n, err)
		}
		sizes[kind.name] = n.(int)
	}
	return sizes
}

// TestBigCollectionsAndKills makes large collections, has them deleted, overwritten, renamed, copied and expired in the
// moment in which the leader is killed, and wants all of each or nothing, the same on all nodes.
func TestBigCollectionsAndKills(t *testing.T) {
	c := newCluster(t, "--snapshot-log-bytes", "4mb", "--cache-bytes", "16mb")
	stop := make(chan struct{})
	done := make(chan []*writer)
	var progress atomic.Int64
	go func() { done <- writeUntil(c, 1, "k", stop, &progress) }()
	for _, end := range []func(key string) []string{
		func(key string) []string { return []string{"DEL", key} },
		func(key string) []string { return []string{"SET", key, "small"} },
		func(key string) []string { return []string{"RENAME", key, key + ":renamed"} },
		func(key string) []string { return []string{"COPY", key, key + ":copied"} },
		func(key string) []string { return []string{"PEXPIRE", key, "1"} },
	} {
		leader := c.leader(t)
		sizes := loadBig(t, leader)
		conn, err := dial(leader.addr)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range bigTypes {
			if err := conn.send(end("big:" + kind.name)...); err != nil {
				t.Fatal(err)
			}
		}
		leader.kill()
		conn.close()
		await(t, &progress, 10)
		leader.start()
		for _, kind := range bigTypes {
			for _, suffix := range []string{"", ":renamed", ":copied"} {
				wholeOrNothing(t, c, kind.count, "big:"+kind.name+suffix, sizes[kind.name])
			}
		}
		for _, p := range c {
			p.mustDo("RAFT", "VERIFY")
		}
		c.leader(t).mustDo("FLUSHDB")
	}
	close(stop)
	<-done
}

// wholeOrNothing checks that all nodes have the same of a collection: all of it, or nothing, or another value.
func wholeOrNothing(t *testing.T, c cluster, count, key string, size int) {
	t.Helper()
	for _, p := range c {
		n, err := p.do(count, key)
		switch outcome(err) {
		case "done":
			if n != 0 && n != size {
				t.Errorf("node %d: %s %s is %v, want 0 or %d", p.id, count, key, n, size)
			}
		default:
			if v, getErr := p.do("GET", key); v != "small" {
				t.Errorf("node %d: %s %s: %v; GET: %v, %v", p.id, count, key, err, v, getErr)
			}
		}
	}
}
