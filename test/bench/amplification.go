package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"redoubt/test/bench/load"
)

// amplification tells how many bytes reach the disk for each byte that a client wrote.
func amplification(b *bench, t *table) error {
	t.title = "Bytes written to disk for each byte of keys and values"
	t.note = "SET of new keys, 50 connections, until all is written out. Totals are what the disk counts, so nothing else " +
		"should write to it, and for nodes a third of what three write. The state is the tables that appear; the log is the " +
		"rest. Rewriting is the base files of Redis's AOF."
	t.head = []string{"", "user data, MB", "Redis", "of it rewriting", "one of three nodes", "of it log", "of it state"}
	if err := b.quietDisk(); err != nil {
		return err
	}
	for _, l := range []struct {
		name     string
		requests int
		size     int
	}{{"values of 64 B", 400_000, valueBytes}, {"values of 1 KB", 200_000, kilobyte}} {
		requests := b.count(l.requests, 20_000)
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
	l.Addr = r.addr
	isBase := func(name string) bool {
		base := filepath.Base(name)
		return strings.HasPrefix(base, "temp-") || strings.Contains(base, ".base.")
	}
	return b.writes(r.dir, isBase, func() error {
		_, err := load.Run(b.ctx, l)
		return err
	})
}

// nodeWrites returns what each of three new nodes writes for a load, and how much of it into the tables
// of its state.
func (b *bench) nodeWrites(l load.Load) (total, state float64, err error) {
	c, err := b.startCluster(3)
	if err != nil {
		return 0, 0, err
	}
	defer c.close()
	isTable := func(name string) bool {
		return strings.HasSuffix(name, ".sst") && filepath.Base(filepath.Dir(name)) != "log"
	}
	total, state, err = b.writes(c.dir, isTable, func() error {
		if _, err := c.run(l); err != nil {
			return err
		}
		if err := c.level(readyTimeout); err != nil {
			return err
		}
		return c.snapshot()
	})
	nodes := float64(len(c.nodes))
	return total / nodes, state / nodes, err
}

// writes returns what is written to the disk while work is done, and how much of it into files that
// count.
func (b *bench) writes(dir string, counts func(name string) bool, work func() error) (total, counted float64, err error) {
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	files, err := watch(ctx, dir, counts)
	if err != nil {
		return 0, 0, err
	}
	before, err := diskWritten(dir)
	if err != nil {
		return 0, 0, err
	}
	if err := work(); err != nil {
		return 0, 0, err
	}
	after, err := diskWritten(dir)
	if err != nil {
		return 0, 0, err
	}
	written, err := files.written()
	return float64(after - before), float64(written), err
}

const (
	sectorBytes  = 512
	writtenField = 6 // sectors written, see Documentation/block/stat.rst of Linux
)

// diskWritten is how many bytes were ever written to the disk that holds a directory, with what was
// still on its way there. What the kernel counts for a process (write_bytes) is of no use: it counts
// a whole folio, which may be 256 KB, each time that a byte of it is changed.
func diskWritten(dir string) (int64, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	device := uint64(info.Sys().(*syscall.Stat_t).Dev)
	syscall.Sync()
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", major(device), minor(device)))
	if err != nil {
		return 0, fmt.Errorf("%s is not on a disk of its own: %w", dir, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) <= writtenField {
		return 0, fmt.Errorf("the kernel says %q of the disk", text)
	}
	sectors, err := strconv.ParseInt(fields[writtenField], 10, 64)
	return sectors * sectorBytes, err
}

// The two parts of the number of a device, as Linux puts them together.
func major(device uint64) uint64 { return device>>8&0xfff | device>>32&^0xfff }
func minor(device uint64) uint64 { return device&0xff | device>>12&^0xff }

// quietDisk tells when something else writes so much to the disk that the totals will be wrong.
func (b *bench) quietDisk() error {
	const pause, limit = 2 * time.Second, 100 << 10
	before, err := diskWritten(b.dir)
	if err != nil {
		return err
	}
	time.Sleep(pause)
	after, err := diskWritten(b.dir)
	if rate := float64(after-before) / pause.Seconds(); rate > limit {
		b.say("amplification: other programs write %s MB/s to this disk: the totals will be too high", megabytes(rate))
	}
	return err
}
