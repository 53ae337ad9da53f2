package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
)

// limit is what the clients share: a burst, and a rate that they all want more of than there is.
var limit = redis_rate.Limit{Rate: 40, Burst: 25, Period: time.Second}

// permit is one event that was allowed. The limiter decided somewhere between the two times.
type permit struct{ asked, got time.Time }

// runLimiter asks for one event after the other, at all nodes, and then looks at every stretch of time.
func runLimiter(ctx context.Context, cfg config) error {
	if err := limiterSteps(cfg); err != nil {
		return err
	}
	var mu sync.Mutex
	var permits []permit
	var refused int
	var running sync.WaitGroup
	for id := range 6 {
		client := cfg.connect(id)
		defer client.Close()
		limiter := redis_rate.NewLimiter(client)
		running.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				result, err := limiter.Allow(context.Background(), cfg.prefix+":shared", limit)
				got := time.Now()
				wait := 5 * time.Millisecond
				mu.Lock()
				switch {
				case err != nil:
					cfg.journal.trouble("Allow", err)
				case result.Allowed == 1:
					permits = append(permits, permit{asked, got})
					cfg.journal.done("allowed %d", id)
				default:
					refused++
					wait = min(result.RetryAfter, 50*time.Millisecond)
					if wait <= 0 {
						cfg.journal.broken("refused, to be asked again after %v", result.RetryAfter)
					}
				}
				mu.Unlock()
				time.Sleep(wait)
			}
		})
	}
	running.Wait()
	if refused == 0 {
		cfg.journal.broken("nothing was refused")
	}
	checkPermits(cfg.journal, permits)
	return cfg.journal.report(fmt.Sprintf("%d events allowed, %d refused", len(permits), refused))
}

// checkPermits looks at every stretch of time from a question to an answer: all events that were asked for
// and allowed within it must fit into the burst and what the rate gives in that time.
func checkPermits(out *journal, permits []permit) {
	slices.SortFunc(permits, func(a, b permit) int { return a.got.Compare(b.got) })
	const clock = 5 * time.Millisecond // what may lie between two readings of clocks
	for _, first := range permits {
		count := 0
		for _, last := range permits {
			if last.asked.Before(first.asked) {
				continue
			}
			count++
			stretch := last.got.Sub(first.asked)
			most := float64(limit.Burst) + float64(limit.Rate)*(stretch+clock).Seconds()
			if float64(count) > most {
				out.broken("%d events allowed within %v", count, stretch)
				return
			}
		}
	}
}

// limiterSteps uses the rest of the limiter's interface, with a limit so slow that the time it takes does not matter.
func limiterSteps(cfg config) error {
	ctx := context.Background()
	client := cfg.connect(0)
	defer client.Close()
	limiter := redis_rate.NewLimiter(client)
	key, slow := cfg.prefix+":slow", redis_rate.PerHour(20)
	for i, step := range []struct {
		allow            func(context.Context, string, redis_rate.Limit, int) (*redis_rate.Result, error)
		n                int
		reset            bool
		want, remaining  int
		mayRetry, before time.Duration
	}{
		{limiter.AllowN, 15, true, 15, 5, -1, 0},
		{limiter.AllowN, 6, false, 0, 0, 0, 3 * time.Minute},
		{limiter.AllowAtMost, 100, false, 5, 0, -1, 0},
		{limiter.AllowAtMost, 1, false, 0, 0, 0, 3 * time.Minute},
		{limiter.AllowAtMost, 100, true, 20, 0, -1, 0},
	} {
		if step.reset {
			if err := limiter.Reset(ctx, key); err != nil {
				return err
			}
		}
		got, err := step.allow(ctx, key, slow, step.n)
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if got.Allowed != step.want || got.Remaining != step.remaining ||
			got.RetryAfter < step.mayRetry || got.RetryAfter > max(step.before, 0) ||
			got.ResetAfter <= 0 || got.ResetAfter > time.Hour {
			return fmt.Errorf("step %d: %+v", i, got)
		}
	}
	return nil
}
