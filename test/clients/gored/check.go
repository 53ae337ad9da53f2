package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/redis/go-redis/v9"
)

// step is one use of the client's interface with what it must give.
type step struct {
	name string
	run  func(ctx context.Context, c *redis.Client, key func(string) string) (any, error)
	want any
}

var steps = []step{
	{"ping", func(ctx context.Context, c *redis.Client, _ func(string) string) (any, error) {
		return c.Ping(ctx).Result()
	}, "PONG"},
	{"set, get", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		if err := c.Set(ctx, key("a"), "one", 0).Err(); err != nil {
			return nil, err
		}
		return c.Get(ctx, key("a")).Result()
	}, "one"},
	{"absent key", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		err := c.Get(ctx, key("absent")).Err()
		return errors.Is(err, redis.Nil), nil
	}, true},
	{"set if absent", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		return c.SetNX(ctx, key("a"), "two", 0).Result()
	}, false},
	{"expiry", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		if err := c.Set(ctx, key("b"), "x", time.Hour).Err(); err != nil {
			return nil, err
		}
		ttl, err := c.TTL(ctx, key("b")).Result()
		return ttl > 59*time.Minute && ttl <= time.Hour, err
	}, true},
	{"counter", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		if err := c.IncrBy(ctx, key("n"), 41).Err(); err != nil {
			return nil, err
		}
		return c.Incr(ctx, key("n")).Result()
	}, int64(42)},
	{"many keys", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		if err := c.MSet(ctx, key("m1"), "1", key("m2"), "2").Err(); err != nil {
			return nil, err
		}
		return c.MGet(ctx, key("m1"), key("none"), key("m2")).Result()
	}, []any{"1", nil, "2"}},
	{"pipeline", pipeline, []any{"OK", int64(3), "v!!"}},
	{"scan", scan, 1000},
	{"binary", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		if err := c.Set(ctx, key("bin\x00\r\n\xff"), "\x00\r\n\xfe", 0).Err(); err != nil {
			return nil, err
		}
		return c.GetDel(ctx, key("bin\x00\r\n\xff")).Result()
	}, "\x00\r\n\xfe"},
	{"error reply", func(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
		return c.Incr(ctx, key("a")).Err().Error(), nil
	}, "ERR value is not an integer or out of range"},
	{"client name", func(ctx context.Context, c *redis.Client, _ func(string) string) (any, error) {
		conn := c.Conn()
		defer conn.Close()
		if err := conn.ClientSetName(ctx, "gored").Err(); err != nil {
			return nil, err
		}
		return conn.ClientGetName(ctx).Result()
	}, "gored"},
}

func pipeline(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
	pipe := c.Pipeline()
	set := pipe.Set(ctx, key("p"), "v", 0)
	size := pipe.Append(ctx, key("p"), "!!")
	get := pipe.Get(ctx, key("p"))
	_, err := pipe.Exec(ctx)
	return []any{set.Val(), size.Val(), get.Val()}, err
}

func scan(ctx context.Context, c *redis.Client, key func(string) string) (any, error) {
	pipe := c.Pipeline()
	for i := range 1000 {
		pipe.Set(ctx, key(fmt.Sprintf("scan:%d", i)), i, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	iter := c.Scan(ctx, 0, key("scan:*"), 100).Iterator()
	for iter.Next(ctx) {
		seen[iter.Val()] = true
	}
	return len(seen), iter.Err()
}

// check runs the steps on every node, with both protocol versions and otherwise
// the options that go-redis has by default.
func check(ctx context.Context, cfg config) error {
	for _, addr := range cfg.addrs {
		for _, protocol := range []int{2, 3} {
			c := redis.NewClient(&redis.Options{Addr: addr, Protocol: protocol})
			defer c.Close()
			key := func(name string) string { return fmt.Sprintf("check:%s:%d:%s", addr, protocol, name) }
			for _, s := range steps {
				got, err := s.run(ctx, c, key)
				if err != nil {
					return fmt.Errorf("%s, RESP%d, %s: %w", addr, protocol, s.name, err)
				}
				if !reflect.DeepEqual(got, s.want) {
					return fmt.Errorf("%s, RESP%d, %s: got %#v, want %#v", addr, protocol, s.name, got, s.want)
				}
			}
		}
	}
	return nil
}
