package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// verify reads every key of the journal through every node.
func verify(ctx context.Context, cfg config) error {
	records, err := readJournal(cfg.journal)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return errors.New("the journal is empty")
	}
	for _, addr := range cfg.addrs {
		client := connect(addr)
		defer client.Close()
		if err := verifyNode(ctx, client, records); err != nil {
			return fmt.Errorf("node %s: %w", addr, err)
		}
	}
	fmt.Printf("%d records verified on %d nodes\n", len(records), len(cfg.addrs))
	return nil
}

func verifyNode(ctx context.Context, client *redis.Client, records []record) error {
	var sets []record
	counters := map[string]map[outcome]int{}
	for _, r := range records {
		if r.value != "" {
			sets = append(sets, r)
			continue
		}
		if counters[r.key] == nil {
			counters[r.key] = map[outcome]int{}
		}
		counters[r.key][r.outcome]++
	}
	for start := 0; start < len(sets); start += 500 {
		if err := verifySets(ctx, client, sets[start:min(start+500, len(sets))]); err != nil {
			return err
		}
	}
	for key, outcomes := range counters {
		if err := verifyCounter(ctx, client, key, outcomes); err != nil {
			return err
		}
	}
	return nil
}

// verifySets reads the keys in one pipeline.
func verifySets(ctx context.Context, client *redis.Client, sets []record) error {
	pipe := client.Pipeline()
	replies := make([]*redis.StringCmd, len(sets))
	for i, r := range sets {
		replies[i] = pipe.Get(ctx, r.key)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	for i, r := range sets {
		got, err := replies[i].Result()
		missing := errors.Is(err, redis.Nil)
		switch {
		case err != nil && !missing:
			return err
		case missing && r.outcome == done:
			return fmt.Errorf("acknowledged key %s is missing", r.key)
		case !missing && r.outcome == refused:
			return fmt.Errorf("refused key %s is there", r.key)
		case !missing && got != r.value:
			return fmt.Errorf("key %s is %q, not %q", r.key, got, r.value)
		}
	}
	return nil
}

func verifyCounter(ctx context.Context, client *redis.Client, key string, outcomes map[outcome]int) error {
	text, err := client.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if text == "" {
		text = "0"
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	low, high := outcomes[done], outcomes[done]+outcomes[unknown]
	if count < low || count > high {
		return fmt.Errorf("counter %s is %d, not within %d and %d", key, count, low, high)
	}
	return nil
}
