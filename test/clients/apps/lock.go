package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// lock is a lock that was obtained. It lasts from some time after since until the library lets it expire.
type lock struct {
	since   time.Time
	extend  func(ctx context.Context) error
	release func(ctx context.Context) error
}

// errTaken says that somebody else has the lock.
var errTaken = errors.New("taken")

// locker tries once to obtain a lock.
type locker func(ctx context.Context, key string, ttl time.Duration) (lock, error)

func newRedsync(client redis.UniversalClient) locker {
	sync := redsync.New(goredis.NewPool(client))
	return func(ctx context.Context, key string, ttl time.Duration) (lock, error) {
		mutex := sync.NewMutex(key, redsync.WithExpiry(ttl), redsync.WithTimeoutFactor(0.5))
		l := lock{
			since: time.Now(),
			extend: func(ctx context.Context) error {
				ok, err := mutex.ExtendContext(ctx)
				if err == nil && !ok {
					err = errTaken
				}
				return err
			},
			release: func(ctx context.Context) error {
				_, err := mutex.UnlockContext(ctx)
				return err
			},
		}
		err := mutex.TryLockContext(ctx)
		var taken *redsync.ErrTaken
		if errors.As(err, &taken) {
			err = errTaken
		}
		return l, err
	}
}

func newRedislock(client redis.UniversalClient) locker {
	locks := redislock.New(client)
	return func(ctx context.Context, key string, ttl time.Duration) (lock, error) {
		l := lock{since: time.Now()}
		held, err := locks.Obtain(ctx, key, ttl, &redislock.Options{Metadata: "apps"})
		if errors.Is(err, redislock.ErrNotObtained) {
			err = errTaken
		}
		l.extend = func(ctx context.Context) error {
			if err := held.Refresh(ctx, ttl, nil); err != nil {
				return err
			}
			left, err := held.TTL(ctx)
			if err == nil && (left <= 0 || left > ttl) {
				err = fmt.Errorf("%v are left of %v", left, ttl)
			}
			return err
		}
		l.release = func(ctx context.Context) error { return held.Release(ctx) }
		return l, err
	}
}

// guarded is what the lock protects: a counter in the database, which is read and then written, and the
// knowledge of who believes to be alone with it.
type guarded struct {
	cfg     config
	mu      sync.Mutex
	inside  bool
	until   time.Time
	given   map[int]bool
	done    int
	unknown int
	waited  int
}

const (
	ttl      = 6 * time.Second
	shortTTL = 600 * time.Millisecond
)

// runLocks lets several clients at several nodes count under one lock, and one of them let locks expire.
func runLocks(ctx context.Context, cfg config, open func(redis.UniversalClient) locker) error {
	g := &guarded{cfg: cfg, given: map[int]bool{}}
	if err := cfg.connect(0).Set(context.Background(), cfg.prefix+":{lock}:counter", 0, 0).Err(); err != nil {
		return err
	}
	var running sync.WaitGroup
	for id := range 5 {
		client := cfg.connect(id)
		defer client.Close()
		obtain := open(client)
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				g.turn(obtain, client, n)
			}
		})
	}
	running.Go(func() {
		client := cfg.connect(1)
		defer client.Close()
		g.expire(ctx, open(client))
	})
	running.Wait()
	client := cfg.connect(2)
	defer client.Close()
	count, err := client.Get(context.Background(), g.key("counter")).Int()
	if err != nil {
		return err
	}
	if count < g.done || count > g.done+g.unknown {
		cfg.journal.broken("the counter is %d after %d turns and %d that are unknown", count, g.done, g.unknown)
	}
	if cfg.calm && g.unknown > 0 {
		cfg.journal.broken("%d turns are unknown", g.unknown)
	}
	return cfg.journal.report(fmt.Sprintf("%d turns, %d unknown, the lock was taken %d times", g.done, g.unknown, g.waited))
}

func (g *guarded) key(name string) string { return g.cfg.prefix + ":{lock}:" + name }

// turn waits for the lock and counts.
func (g *guarded) turn(obtain locker, client redis.UniversalClient, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), ttl)
	defer cancel()
	held, err := obtain(ctx, g.key("lock"), ttl)
	switch {
	case errors.Is(err, errTaken):
		g.mu.Lock()
		g.waited++
		g.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return
	case err != nil:
		g.cfg.journal.trouble("obtain", err)
		time.Sleep(10 * time.Millisecond)
		return
	}
	until := held.since.Add(ttl)
	g.enter(until)
	if n%5 == 0 {
		since := time.Now()
		if err := held.extend(ctx); err != nil {
			g.cfg.journal.trouble("extend", err)
		} else {
			until = since.Add(ttl)
			g.mu.Lock()
			g.until = until
			g.mu.Unlock()
		}
	}
	work, stop := context.WithDeadline(context.Background(), until)
	defer stop()
	value, err := count(work, client, g.key("counter"))
	g.leave(value, err, until)
	if err := held.release(context.Background()); err != nil {
		g.cfg.journal.trouble("release", err)
	}
	time.Sleep(20 * time.Millisecond)
}

// count is what needs the lock: a read, and a write of something that follows from it, a moment later.
func count(ctx context.Context, client redis.UniversalClient, key string) (int, error) {
	n, err := client.Get(ctx, key).Int()
	if err != nil {
		return 0, err
	}
	time.Sleep(3 * time.Millisecond)
	return n + 1, client.Set(ctx, key, n+1, 0).Err()
}

func (g *guarded) enter(until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside && time.Now().Before(g.until) {
		g.cfg.journal.broken("two have the lock, %v before it may expire", time.Until(g.until))
	}
	g.inside, g.until = true, until
}

// leave ends a turn, before the lock is released.
func (g *guarded) leave(value int, err error, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until.Equal(until) {
		g.inside = false
	}
	if err != nil {
		g.unknown++
		g.cfg.journal.trouble("count", err)
		return
	}
	if g.given[value] {
		g.cfg.journal.broken("%d was counted twice", value)
	}
	g.given[value] = true
	g.done++
	g.cfg.journal.done("turn %d", value)
}

// expire is a holder that never releases. Nobody may have the lock before its time is over.
func (g *guarded) expire(ctx context.Context, obtain locker) {
	var last time.Time
	for ctx.Err() == nil {
		held, err := obtain(context.Background(), g.key("short"), shortTTL)
		switch {
		case errors.Is(err, errTaken):
		case err != nil:
			g.cfg.journal.trouble("obtain a short one", err)
		default:
			if now := time.Now(); now.Before(last.Add(shortTTL - 5*time.Millisecond)) {
				g.cfg.journal.broken("a lock for %v expired after %v at the latest", shortTTL, now.Sub(last))
			}
			last = held.since
		}
		time.Sleep(10 * time.Millisecond)
	}
}
