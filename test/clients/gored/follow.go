package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// setter is what follow needs of a client library.
type setter struct {
	set   func(ctx context.Context, key, value string) error
	close func()
}

// libraries are clients that find the leader by themselves, with the retries that they have by default.
// The cluster client of go-redis looks at the topology again when it is redirected, not when its master is
// gone, and otherwise every 60 s: applications have to make that shorter, with any Redis Cluster.
var libraries = map[string]func(cfg config) (setter, error){
	"go-redis": func(cfg config) (setter, error) {
		return goRedis(redis.NewClient(&redis.Options{Addr: cfg.addrs[0]})), nil
	},
	"go-redis-cluster": func(cfg config) (setter, error) {
		return goRedis(redis.NewClusterClient(&redis.ClusterOptions{Addrs: cfg.addrs,
			ClusterStateReloadInterval: time.Second})), nil
	},
	"go-redis-sentinel": func(cfg config) (setter, error) {
		return goRedis(redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mymaster",
			SentinelAddrs: cfg.addrs})), nil
	},
	"rueidis": func(cfg config) (setter, error) {
		return rueidisClient(rueidis.ClientOption{InitAddress: cfg.addrs[:1], ForceSingleClient: true})
	},
	"rueidis-cluster": func(cfg config) (setter, error) {
		return rueidisClient(rueidis.ClientOption{InitAddress: cfg.addrs})
	},
	"rueidis-sentinel": func(cfg config) (setter, error) {
		return rueidisClient(rueidis.ClientOption{InitAddress: cfg.addrs,
			Sentinel: rueidis.SentinelOption{MasterSet: "mymaster"}})
	},
}

func goRedis(c redis.UniversalClient) setter {
	return setter{
		set:   func(ctx context.Context, key, value string) error { return c.Set(ctx, key, value, 0).Err() },
		close: func() { _ = c.Close() },
	}
}

func rueidisClient(options rueidis.ClientOption) (setter, error) {
	options.DisableCache = true // there is no CLIENT TRACKING
	c, err := rueidis.NewClient(options)
	if err != nil {
		return setter{}, err
	}
	return setter{
		set: func(ctx context.Context, key, value string) error {
			return c.Do(ctx, c.B().Set().Key(key).Value(value).Build()).Error()
		},
		close: c.Close,
	}, nil
}

// quiet keeps what go-redis logs out of the results.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// troubles collects the errors that an application sees.
type troubles struct {
	mu          sync.Mutex
	texts       map[string]int
	first, last time.Time
}

func (t *troubles) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := err.Error()
	for _, cut := range []string{"127.0.0.1:", "port "} { // ports differ from run to run
		if at := strings.Index(text, cut); at >= 0 {
			text = text[:at] + "..."
		}
	}
	t.texts[text]++
	if t.first.IsZero() {
		t.first = time.Now()
	}
	t.last = time.Now()
}

func (t *troubles) report() {
	for _, text := range slices.Sorted(maps.Keys(t.texts)) {
		fmt.Printf("%6d x %s\n", t.texts[text], text)
	}
	if !t.first.IsZero() {
		fmt.Printf("errors for %v\n", t.last.Sub(t.first).Round(time.Millisecond))
	}
}

// follow writes keys of its own through one client that all workers share. A client that repeats a SET
// does no harm, but what an error says of the SET is only that it is unknown.
func follow(ctx context.Context, cfg config) error {
	open := libraries[cfg.library]
	if open == nil {
		return fmt.Errorf("unknown library %q", cfg.library)
	}
	file, err := os.OpenFile(cfg.journal, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	redis.SetLogger(quiet{})
	client, err := open(cfg)
	if err != nil {
		return err
	}
	defer client.close()
	out := &journal{file: file}
	beats := &pulse{last: time.Now(), counts: map[outcome]int{}}
	seen := &troubles{texts: map[string]int{}}
	var running sync.WaitGroup
	for id := range cfg.workers {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r := record{fmt.Sprintf("%s:%d:%d", cfg.prefix, id, n), fmt.Sprintf("value-%d-%d", id, n), done}
				if err := client.set(context.Background(), r.key, r.value); err != nil {
					r.outcome = unknown
					seen.add(err)
					time.Sleep(10 * time.Millisecond)
				}
				beats.beat(r.outcome)
				if err := out.add(r); err != nil {
					seen.add(err)
				}
			}
		})
	}
	running.Wait()
	seen.report()
	return beats.report(cfg.pauseMax)
}
