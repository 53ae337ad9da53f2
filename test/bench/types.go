package main

import (
	"fmt"
	"math"
)

// typeLoads are those of redis-benchmark for all types, each of which works on one key for a type. What takes elements out
// comes after what puts them in.
var typeLoads = []struct {
	name     string
	requests int
	args     string
}{
	{"SET", 100_000, "-t set"},
	{"INCR", 100_000, "-t incr"},
	{"LPUSH", 100_000, "-t lpush"},
	{"RPUSH", 100_000, "-t rpush"},
	{"LPOP", 100_000, "-t lpop"},
	{"LRANGE_100", 50_000, "-t lrange_100"},
	{"SADD", 100_000, "-t sadd"},
	{"SPOP", 100_000, "-t spop"},
	{"HSET", 100_000, "-t hset"},
	{"ZADD", 100_000, "-t zadd"},
	{"ZPOPMIN", 100_000, "-t zpopmin"},
	{"MSET of 10 keys", 50_000, "-t mset"},
	{"XADD", 100_000, "xadd mystream * field value"},
}

// typeShare is how much of the ratio that SET has the other types are to have.
const typeShare = 0.6

// types compares the rates of commands on all types.
func types(b *bench, t *table) error {
	t.title = "Types"
	t.note = fmt.Sprintf("redis-benchmark, 50 connections; values of 64 bytes; one list, set, hash, sorted set, stream for all. "+
		"A mark is %.1f of the ratio that SET has.", typeShare)
	t.head = comparison
	s, err := b.startShared()
	if err != nil {
		return err
	}
	var trials []trial
	for _, l := range typeLoads {
		trials = append(trials, benchmarkTrial(l.name, b.count(l.requests, 5000), valueBytes, keyCount, "-c 50 "+l.args))
	}
	rates, err := b.compare(s, trials)
	if err != nil {
		return err
	}
	share := func(system int) mark {
		return atLeast(math.Round(100*typeShare*rates[0][system]/rates[0][onRedis]) / 100)
	}
	t.compared(typeLoads[0].name, rates[0], mark{}, mark{})
	for i, l := range typeLoads[1:] {
		t.compared(l.name, rates[i+1], share(onOne), share(onThree))
	}
	return nil
}
