package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	cachedKeys = 40
	// cachedFor is how long rueidis may keep a value that nobody invalidates: longer than the test.
	cachedFor = time.Hour
	// cacheBound is how old a value from a cache may be, on a machine that is busy with other tests.
	cacheBound = 20 * time.Second
)

// cached is a key with growing values.
type cached struct {
	key   string
	acked atomic.Int64
}

// cachedReader is a client with a cache, at one node.
type cachedReader struct {
	rueidis.Client
	name   string
	static bool // asks for the value alone; otherwise for its time to live, too, in a transaction
	hits   atomic.Int64
}

func (r *cachedReader) get(ctx context.Context, key string) (int64, error) {
	cmd := r.B().Get().Key(key).Cache()
	if r.static {
		cmd = cmd.ToStaticTTL()
	}
	result := r.DoCache(ctx, cmd, cachedFor)
	if result.IsCacheHit() {
		r.hits.Add(1)
	}
	n, err := result.AsInt64()
	if rueidis.IsRedisNil(err) {
		return 0, nil
	}
	return n, err
}

// cachedReaders connects to every node, in every way in which rueidis can cache.
func cachedReaders(cfg config) (all []*cachedReader, err error) {
	for _, addr := range cfg.addrs {
		for mode, options := range map[string][]string{"optin": nil, "bcast": {"BCAST", "PREFIX", cfg.prefix}} {
			for _, static := range []bool{true, false} {
				c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true,
					ClientTrackingOptions: options, ConnWriteTimeout: 8 * time.Second})
				if err != nil {
					return nil, err
				}
				all = append(all, &cachedReader{Client: c, name: fmt.Sprint(addr, " ", mode, " ", static), static: static})
			}
		}
	}
	return all, nil
}

// cache reads through caches at all nodes what other clients write through all nodes, until it is told to stop. No value may be older
// than cacheBound, and when nobody writes any more, every cache has what is stored.
func cache(ctx context.Context, cfg config) error {
	file, err := os.OpenFile(cfg.journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	out := &journal{file: file}
	readers, err := cachedReaders(cfg)
	if err != nil {
		return err
	}
	keys := make([]*cached, cachedKeys)
	var running sync.WaitGroup
	for i := range keys {
		keys[i] = &cached{key: fmt.Sprintf("%s:%d", cfg.prefix, i)}
		running.Go(func() { keys[i].write(ctx, cfg.addrs[i%len(cfg.addrs)], out) })
	}
	failures := make(chan error, len(readers))
	for _, r := range readers {
		defer r.Close()
		running.Go(func() { failures <- r.watch(ctx, keys) })
	}
	running.Wait()
	for range readers {
		if err := <-failures; err != nil {
			return err
		}
	}
	for _, r := range readers {
		fmt.Printf("%s: %d hits\n", r.name, r.hits.Load())
		if err := r.settles(keys); err != nil {
			return err
		}
	}
	return nil
}

// write counts in the key. What an error leaves in it is not known, so the next value is greater.
func (k *cached) write(ctx context.Context, addr string, out *journal) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true,
		DisableRetry: true})
	if err != nil {
		return
	}
	defer c.Close()
	for n := int64(1); ctx.Err() == nil; n++ {
		err := c.Do(context.Background(), c.B().Set().Key(k.key).Value(strconv.FormatInt(n, 10)).Build()).Error()
		r := record{k.key, strconv.FormatInt(n, 10), done}
		if err != nil {
			r.outcome = unknown
		} else {
			k.acked.Store(n)
		}
		_ = out.add(r)
		time.Sleep(10 * time.Millisecond)
	}
}

// watch reads all keys again and again, and compares them with what was acknowledged the bound before.
func (r *cachedReader) watch(ctx context.Context, keys []*cached) error {
	type mark struct {
		at    time.Time
		acked [cachedKeys]int64
	}
	var marks []*mark
	for ctx.Err() == nil {
		now := &mark{at: time.Now()}
		for i, k := range keys {
			now.acked[i] = k.acked.Load()
		}
		marks = append(marks, now)
		for len(marks) > 1 && now.at.Sub(marks[1].at) > cacheBound {
			marks = marks[1:]
		}
		old := marks[0]
		for i, k := range keys {
			n, err := r.get(context.Background(), k.key)
			if err == nil && now.at.Sub(old.at) > cacheBound && n < old.acked[i] {
				return fmt.Errorf("%s: %s is %d, when %d was acknowledged %v before", r.name, k.key, n, old.acked[i], now.at.Sub(old.at))
			}
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// settles waits until everything in the cache is what is stored.
func (r *cachedReader) settles(keys []*cached) error {
	deadline := time.Now().Add(cacheBound)
	for _, k := range keys {
		for {
			stored, err := r.Do(context.Background(), r.B().Get().Key(k.key).Build()).AsInt64()
			if err == nil {
				var n int64
				if n, err = r.get(context.Background(), k.key); err == nil && n == stored {
					break
				}
				if err == nil {
					err = fmt.Errorf("%s: %s is %d in the cache, and %d at the node", r.name, k.key, n, stored)
				}
			}
			if time.Now().After(deadline) {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}
