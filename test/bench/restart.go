package main

import (
	"errors"
	"fmt"
	"time"

	"redoubt/test/bench/load"
)

// kilobyte is the size of values where data counts by its bytes.
const kilobyte = 1 << 10

// restart measures how long a node that was killed under way needs to answer again.
func restart(b *bench, t *table) error {
	t.title = "Restart"
	t.note = "One node, kill -9 right after the load; from the start of the process to the first answer to a GET."
	t.head = []string{"data", "loaded in, s", "disk, MB", "first answer after, s"}
	keys := b.count(1<<20, 10_000)
	c, err := b.startCluster(1)
	if err != nil {
		return err
	}
	defer c.close()
	loaded, err := c.fill(keys, kilobyte)
	if err != nil {
		return err
	}
	nd := c.nodes[0]
	nd.kill()
	disk, err := diskBytes(nd.dir)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := c.startNode(nd); err != nil {
		return err
	}
	for {
		value, err := load.Do(nd.addr, askTimeout, "GET", "key:000000000007")
		if err == nil && value == nil {
			return errors.New("a key is missing")
		}
		if err == nil {
			break
		}
		if err := errors.Join(nd.failure(), b.ctx.Err()); err != nil {
			return err
		}
		time.Sleep(retryPause)
	}
	took := time.Since(start)
	b.say("restart: %v", took)
	t.row(megabytes(keys*kilobyte)+" MB", fixed(loaded.Seconds(), 1), megabytes(disk), fixed(took.Seconds(), 3))
	return nil
}

// catchup measures how fast a follower gets what was written while it was away.
func catchup(b *bench, t *table) error {
	t.title = "Catching up"
	t.note = "Three nodes; a follower is killed, values of 1 KB are written, it is started again; from there until the " +
		"leader knows it to have every entry."
	t.head = []string{"", "written, MB", "entries", "s", "MB/s"}
	keys := b.count(256<<10, 4000)
	for _, way := range []struct {
		name     string
		logBytes string
		snapshot bool
	}{{"by the log", "4gb", false}, {"by a snapshot", "1mb", true}} {
		if err := b.catchup(t, way.name, way.logBytes, way.snapshot, keys); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return nil
}

func (b *bench) catchup(t *table, name, logBytes string, snapshot bool, keys int) error {
	c, err := b.startCluster(3, "--snapshot-log-bytes", logBytes)
	if err != nil {
		return err
	}
	defer c.close()
	leader, err := c.leader()
	if err != nil {
		return err
	}
	followers, err := c.followers()
	if err != nil {
		return err
	}
	away := followers[0]
	away.kill()
	before, err := leader.status()
	if err != nil {
		return err
	}
	if _, err := c.run(load.Load{Conns: 50, Depth: 8, Requests: keys, Request: load.Set(load.Every(uint64(keys)), kilobyte)}); err != nil {
		return err
	}
	if snapshot {
		if err := leader.snapshot(); err != nil {
			return err
		}
	}
	after, err := leader.status()
	if err != nil {
		return err
	}
	if cut := number(after, "first") > number(before, "last")+1; cut != snapshot {
		return fmt.Errorf("the log begins at %d, the follower ended at %d", number(after, "first"), number(before, "last"))
	}
	start := time.Now()
	if err := c.startNode(away); err != nil {
		return err
	}
	if err := c.level(10 * time.Minute); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	bytes := keys * (kilobyte + load.KeyBytes)
	b.say("catching up %s: %s MB in %s s", name, megabytes(bytes), fixed(took, 3))
	t.row(name, megabytes(bytes), whole(number(after, "last")-number(before, "last")), fixed(took, 2), fixed(float64(bytes)/1e6/took, 1))
	return nil
}
