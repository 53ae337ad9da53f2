package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"redoubt/test/bench/load"
)

// stallMark is the longest that any request should take, in milliseconds.
const stallMark = 100

// snapshotPause passes between the snapshot of one node and that of the next.
const snapshotPause = time.Second

// snapshots measures how much a steady load suffers while every node makes one snapshot after the other.
func snapshots(b *bench, t *table) error {
	keys := b.count(1<<20, 10_000)
	t.title = "Snapshots under load"
	t.note = fmt.Sprintf("Three nodes with %s MB of data; SET of 64 bytes, 50 connections; RAFT SNAPSHOT sent to every "+
		"node again and again during the second half.", megabytes(keys*kilobyte))
	t.head = []string{"", "before", "during", "ratio", "mark"}
	c, err := b.startCluster(3)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.fill(keys, kilobyte); err != nil {
		return err
	}
	if err := c.snapshot(); err != nil { // so that none is due by itself in the first half
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	l := load.Load{Conns: 50, Duration: b.duration(20*time.Second, 6*time.Second),
		Request: load.Set(load.Random(uint64(keys)), valueBytes)}
	before, err := c.run(l)
	if err != nil {
		return err
	}
	during, took, err := c.runWithSnapshots(l)
	if err != nil {
		return err
	}
	const rate, stall = "requests a second", "longest request, ms"
	part := during.PerSecond() / before.PerSecond()
	t.row(rate, whole(before.PerSecond()), whole(during.PerSecond()), ratio(part),
		t.check("snapshots: "+rate, part, atLeast(0.8)))
	for _, p := range percentiles[1:] {
		t.row(fmt.Sprintf("p%g, ms", p), fixed(before.Micros(p)/1000, 1), fixed(during.Micros(p)/1000, 1),
			ratio(during.Micros(p)/before.Micros(p)), "")
	}
	worst := [2]float64{before.Max().Seconds() * 1000, during.Max().Seconds() * 1000}
	t.row(stall, fixed(worst[0], 1), fixed(worst[1], 1), ratio(worst[1]/worst[0]),
		t.check("snapshots: "+stall+", before or during", max(worst[0], worst[1]), atMost(stallMark)))
	t.row("snapshots made", "", whole(len(took)), "", "")
	t.row("longest of them, s", "", fixed(slices.Max(took).Seconds(), 3), "", "")
	return nil
}

// runWithSnapshots sends a load while each node in turn makes a snapshot, and returns how long they took.
func (c *cluster) runWithSnapshots(l load.Load) (result load.Result, took []time.Duration, err error) {
	group, ctx := errgroup.WithContext(c.b.ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group.Go(func() (err error) {
		defer stop()
		result, err = c.run(l)
		return err
	})
	group.Go(func() error {
		for i := 0; ctx.Err() == nil; i++ {
			start := time.Now()
			if err := c.nodes[i%len(c.nodes)].snapshot(); err != nil {
				return err
			}
			took = append(took, time.Since(start))
			select {
			case <-ctx.Done():
			case <-time.After(snapshotPause):
			}
		}
		return nil
	})
	err = group.Wait()
	return result, took, err
}
