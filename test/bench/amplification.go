package main

import (
	"context"
	"path/filepath"
	"strings"

	"redoubt/test/bench/load"
)

// amplification tells how many bytes reach the disk for each byte that a client wrote.
func amplification(b *bench, t *table) error {
	t.title = "Bytes written to disk for each byte of keys and values"
	t.note = "SET of new keys, 50 connections, until all is written out; one follower of three nodes. Totals are what the " +
		"kernel counts for the process. The state is the tables that appear (for Redis: a rewritten AOF, which its child " +
		"process writes); the log is the rest."
	t.head = []string{"", "user data, MB", "Redis", "of it rewriting", "a node", "of it log", "of it state"}
	for _, l := range []struct {
		name     string
		requests int
		size     int
	}{{"values of 64 B", 400_000, 64}, {"values of 1 KB", 200_000, kilobyte}} {
		requests := b.count(l.requests, 10_000)
		user := float64(requests * (l.size + load.KeyBytes))
		set := load.Load{Conns: 50, Requests: requests, Request: load.Set(load.Every(uint64(requests)), l.size)}
		redis, rewriting, err := b.redisWrites(set)
		if err != nil {
			return err
		}
		total, state, err := b.nodeWrites(set)
		if err != nil {
			return err
		}
		b.say("amplification: %s: Redis %s, a node %s", l.name, ratio(redis/user), ratio(total/user))
		t.row(l.name, megabytes(user), ratio(redis/user), ratio(rewriting/user), ratio(total/user),
			ratio((total-state)/user), ratio(state/user))
	}
	return nil
}

// redisWrites returns what a new Redis writes for a load, and how much of it to rewrite its log.
func (b *bench) redisWrites(l load.Load) (total, rewriting float64, err error) {
	r, err := b.startRedis()
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	rewritten, err := watch(ctx, r.dir, func(name string) bool {
		base := filepath.Base(name)
		return strings.HasPrefix(base, "temp-") || strings.Contains(base, ".base.")
	})
	if err != nil {
		return 0, 0, err
	}
	l.Addr = r.addr
	own, err := r.writtenBy(func() error {
		_, err := load.Run(b.ctx, l)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	files, err := rewritten.written()
	return own + float64(files), float64(files), err
}

// nodeWrites returns what one follower of three new nodes writes for a load, and how much of it into
// the tables of its state.
func (b *bench) nodeWrites(l load.Load) (total, state float64, err error) {
	c, err := b.startCluster(3)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	followers, err := c.followers()
	if err != nil {
		return 0, 0, err
	}
	nd := followers[0]
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	tables, err := watch(ctx, nd.dir, func(name string) bool {
		return strings.HasSuffix(name, ".sst") && !strings.HasPrefix(name, filepath.Join(nd.dir, "log"))
	})
	if err != nil {
		return 0, 0, err
	}
	total, err = nd.writtenBy(func() error {
		if _, err := c.run(l); err != nil {
			return err
		}
		if err := c.level(readyTimeout); err != nil {
			return err
		}
		return c.snapshot()
	})
	if err != nil {
		return 0, 0, err
	}
	files, err := tables.written()
	return total, float64(files), err
}

// writtenBy is what a process writes while work is done.
func (p *process) writtenBy(work func() error) (float64, error) {
	before, err := p.written()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := p.written()
	return float64(after - before), err
}
