package main

import (
	"context"
	"fmt"
	"slices"

	"redoubt/test/bench/load"
)

// comparison is the head of tables with rates of the three systems.
var comparison = []string{"requests a second", "Redis", "one node", "three nodes", "one / Redis", "mark",
	"three / Redis", "mark"}

// compared adds a row of such a table, and a bar to the chart.
func (t *table) compared(name string, rates [systemCount]float64, one, three mark) {
	ones, threes := rates[onOne]/rates[onRedis], rates[onThree]/rates[onRedis]
	t.row(name, whole(rates[onRedis]), whole(rates[onOne]), whole(rates[onThree]),
		ratio(ones), t.check(name+", one / Redis", ones, one),
		ratio(threes), t.check(name+", three / Redis", threes, three))
	t.bars = append(t.bars, bar{name, ones, threes, one.limit, three.limit})
}

// benchmarkTrial is a trial with redis-benchmark.
func benchmarkTrial(name string, requests, size, keys int, args string) trial {
	return trial{name, func(ctx context.Context, addr string) (float64, error) {
		return redisBenchmark(ctx, addr, requests, size, keys, args)
	}}
}

var throughputLoads = []struct {
	name       string
	requests   int
	args       string
	one, three mark
}{
	{"SET, 50 connections", 200_000, "-t set -c 50", atLeast(0.70), atLeast(0.50)},
	{"SET, 500 connections", 200_000, "-t set -c 500", atLeast(0.80), atLeast(0.65)},
	{"SET, 50 connections, pipelines of 32", 1_000_000, "-t set -c 50 -P 32", atLeast(0.70), atLeast(0.35)},
	{"GET, 50 connections", 400_000, "-t get -c 50", mark{}, atLeast(0.75)},
	{"GET, 50 connections, pipelines of 32", 2_000_000, "-t get -c 50 -P 32", mark{}, atLeast(0.65)},
}

// throughput compares the rates of small requests, and counts elections meanwhile.
func throughput(b *bench, t *table) error {
	t.title = "Throughput"
	t.note = "redis-benchmark; values of 64 bytes; random keys out of 100,000, all of them there."
	t.head = comparison
	s, err := b.startShared()
	if err != nil {
		return err
	}
	before, err := s.three.term()
	if err != nil {
		return err
	}
	var trials []trial
	for _, l := range throughputLoads {
		trials = append(trials, benchmarkTrial(l.name, b.count(l.requests, 5000), valueBytes, keyCount, l.args))
	}
	rates, err := b.compare(s, trials)
	if err != nil {
		return err
	}
	for i, l := range throughputLoads {
		t.compared(l.name, rates[i], l.one, l.three)
	}
	after, err := s.three.term()
	if err != nil {
		return err
	}
	const elections = "leader changes under this load"
	t.row(elections, "", "", whole(after-before), "", "", "", t.check(elections, float64(after-before), atMost(0)))
	return nil
}

// values compares the rates of larger values, and of commands that write many keys.
func values(b *bench, t *table) error {
	t.title = "Larger values"
	t.note = "redis-benchmark, and our own generator for MSET; 50 connections."
	t.head = comparison
	s, err := b.startShared()
	if err != nil {
		return err
	}
	trials := []trial{
		benchmarkTrial("SET of 1 KB", b.count(50_000, 10_000), 1<<10, keyCount, "-t set -c 50"),
		benchmarkTrial("SET of 16 KB", b.count(5000, 2000), 16<<10, 1000, "-t set -c 50"),
		benchmarkTrial("SET of 1 MB", b.count(100, 50), 1<<20, 100, "-t set -c 50"),
		{"MSET of 16 keys, 64 B each", func(ctx context.Context, addr string) (float64, error) {
			result, err := load.Run(ctx, load.Load{Addr: addr, Conns: 50, Requests: b.count(20_000, 2000),
				Request: load.MSet(16, load.Random(keyCount), valueBytes)})
			return result.PerSecond(), err
		}},
	}
	rates, err := b.compare(s, trials)
	if err != nil {
		return err
	}
	for i, trial := range trials {
		t.compared(trial.name, rates[i], mark{}, mark{})
	}
	return nil
}

// mixed tells what pipelines of reads and writes cost beside pipelines of writes.
func mixed(b *bench, t *table) error {
	t.title = "Reads and writes in one pipeline"
	t.note = "Three nodes; 50 connections, pipelines of 32; microseconds of a command."
	t.head = []string{"", "SETs alone", "GET, SET in turns", "ratio", "mark"}
	s, err := b.startShared()
	if err != nil {
		return err
	}
	get, set := load.Get(load.Random(keyCount)), load.Set(load.Random(keyCount), valueBytes)
	requests := []load.Request{set, load.Interleave(get, set)}
	costs := make([][]float64, len(requests))
	for range b.rounds {
		for i, request := range requests {
			result, err := s.three.run(load.Load{Conns: 50, Depth: 32, Requests: b.count(1_000_000, 30_000), Request: request})
			if err == nil && result.Nils > 0 {
				err = fmt.Errorf("%d keys were missing", result.Nils)
			}
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], 1e6/result.PerSecond())
			b.say("mixed: %s µs", fixed(1e6/result.PerSecond(), 2))
		}
	}
	alone, both := median(costs[0]), median(costs[1])
	const what = "cost of a command"
	t.row(what, fixed(alone, 2), fixed(both, 2), ratio(both/alone), t.check("mixed: "+what, both/alone, atMost(1.3)))
	return nil
}

// follower compares reads at a follower, which has to ask the leader, with reads at the leader.
func follower(b *bench, t *table) error {
	t.title = "Reads at a follower"
	t.note = "redis-benchmark; three nodes; requests a second."
	t.head = []string{"", "leader", "follower", "ratio", "mark"}
	s, err := b.startShared()
	if err != nil {
		return err
	}
	rates := make([][]float64, 2)
	for range b.rounds {
		leader, err := s.three.leader()
		if err != nil {
			return err
		}
		other := s.three.nodes[(slices.Index(s.three.nodes, leader)+1)%len(s.three.nodes)]
		for i, nd := range []*node{leader, other} {
			rate, err := redisBenchmark(b.ctx, nd.addr, b.count(400_000, 10_000), valueBytes, keyCount, "-t get -c 50")
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
			b.say("follower: GET at node %d: %s", nd.id, whole(rate))
		}
	}
	const what = "GET, 50 connections"
	part := median(rates[1]) / median(rates[0])
	t.row(what, whole(median(rates[0])), whole(median(rates[1])), ratio(part),
		t.check("follower: "+what, part, atLeast(0.4)))
	return nil
}
