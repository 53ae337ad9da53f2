package main

import (
	"fmt"
	"strconv"

	"redoubt/test/bench/load"
)

// sizedLoads are measured on data sets of different sizes.
var sizedLoads = []struct {
	name     string
	depth    int
	read     bool
	requests int
}{
	{"SET, 50 connections", 1, false, 100_000},
	{"SET, 50 connections, pipelines of 32", 32, false, 500_000},
	{"GET, 50 connections", 1, true, 200_000},
	{"GET, 50 connections, pipelines of 32", 32, true, 500_000},
}

// sized measures these loads with keys below n, all of which are there. It returns requests a second.
func (c *cluster) sized(n, size int) ([]float64, error) {
	rates := make([]float64, len(sizedLoads))
	for i, l := range sizedLoads {
		samples := make([]float64, c.b.rounds)
		for round := range samples {
			request := load.Set(load.Random(uint64(n)), size)
			if l.read {
				request = load.Get(load.Random(uint64(n)))
			}
			result, err := c.run(load.Load{Conns: 50, Depth: l.depth, Requests: c.b.count(l.requests, 10_000), Request: request})
			if err == nil && result.Nils > 0 {
				err = fmt.Errorf("%d keys were missing", result.Nils)
			}
			if err != nil {
				return nil, err
			}
			samples[round] = result.PerSecond()
			c.b.say("%s keys: %s: %s/s, longest %v", whole(n), l.name, whole(samples[round]), result.Max())
		}
		rates[i] = median(samples)
	}
	return rates, nil
}

// The data set of large is ten times the memory that its nodes are told to use for data, which is
// --cache-bytes once for keys and once for blocks.
const (
	largeCache  = 32 << 20
	largeFactor = 10
	largeValue  = 256
	leastCache  = 1 << 20
)

// large compares a data set that does not fit into memory with one that does, on the same nodes.
func large(b *bench, t *table) error {
	cache := b.count(largeCache, leastCache)
	keys := 2 * cache * largeFactor / (largeValue + load.KeyBytes)
	small := min(20_000, keys/50)
	c, err := b.startCluster(3, "--cache-bytes", strconv.Itoa(cache))
	if err != nil {
		return err
	}
	defer c.close()
	t.title = "More data than memory"
	t.note = fmt.Sprintf("Three nodes with --cache-bytes of %s MB; values of 256 bytes; random keys over the whole set; "+
		"requests a second.", megabytes(cache))
	t.head = []string{"", whole(small) + " keys, in memory", whole(keys) + " keys, ten times the memory", "ratio", "mark"}
	sizes := []int{small, keys}
	rates := make([][]float64, len(sizes))
	resident, peak := make([]string, len(sizes)), make([]string, len(sizes))
	for i, n := range sizes {
		if _, err := c.fill(n, largeValue); err != nil {
			return err
		}
		if err := c.settle(); err != nil {
			return err
		}
		var err error
		if rates[i], err = c.sized(n, largeValue); err != nil {
			return err
		}
		leader, err := c.leader()
		if err != nil {
			return err
		}
		now, most, err := leader.memory()
		if err != nil {
			return err
		}
		resident[i], peak[i] = megabytes(now), megabytes(most)
	}
	for i, l := range sizedLoads {
		var m mark
		if !l.read {
			m = atLeast(0.5)
		}
		part := rates[1][i] / rates[0][i]
		t.row(l.name, whole(rates[0][i]), whole(rates[1][i]), ratio(part), t.check("large: "+l.name, part, m))
	}
	t.row("resident memory of the leader, MB", resident[0], resident[1], "", "")
	t.row("the same at its highest, MB", peak[0], peak[1], "", "")
	return nil
}

// growth tells what a SET costs with ever more keys.
func growth(b *bench, t *table) error {
	t.title = "Growth"
	t.note = "Three nodes; 50 connections; values of 64 bytes; random keys over the whole set; microseconds of a command."
	t.head = []string{"keys", "SET", "to the first", "SET, pipelines of 32", "to the first", "GET", "loaded in, s", "disk of a node, MB"}
	c, err := b.startCluster(3)
	if err != nil {
		return err
	}
	defer c.close()
	var first []float64
	for _, keys := range []int{10_000, b.count(1_000_000, 20_000), b.count(20_000_000, 40_000)} {
		loaded, err := c.fill(keys, valueBytes)
		if err != nil {
			return err
		}
		if err := c.settle(); err != nil {
			return err
		}
		rates, err := c.sized(keys, valueBytes)
		if err != nil {
			return err
		}
		costs := make([]float64, len(rates))
		for i, rate := range rates {
			costs[i] = 1e6 / rate
		}
		if first == nil {
			first = costs
		}
		disk, err := diskBytes(c.nodes[0].dir)
		if err != nil {
			return err
		}
		t.row(whole(keys), fixed(costs[0], 2), ratio(costs[0]/first[0]), fixed(costs[1], 2), ratio(costs[1]/first[1]),
			fixed(costs[2], 2), fixed(loaded.Seconds(), 1), megabytes(disk))
	}
	return nil
}
