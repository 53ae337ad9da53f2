package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"redoubt/test/bench/load"
)

const (
	failovers      = 20
	failoversQuick = 4
	// failoverWarmup passes before a leader is killed, and some random time more, so that the moment has
	// no place in the rhythm of heartbeats.
	failoverWarmup = 500 * time.Millisecond
	failoverLimit  = 30 * time.Second
	retryPause     = time.Millisecond
)

// failover kills the leader again and again, and measures for how long nobody's writes are answered.
func failover(b *bench, t *table) error {
	t.title = "Leader killed"
	c, err := b.startCluster(3)
	if err != nil {
		return err
	}
	defer c.close()
	times := failovers
	if b.quick {
		times = failoversQuick
	}
	var gaps []float64
	for i := range times {
		gap, err := c.killLeader()
		if err != nil {
			return err
		}
		b.say("failover %d: %v", i+1, gap.Round(time.Millisecond))
		gaps = append(gaps, gap.Seconds())
	}
	t.note = fmt.Sprintf("Three nodes, kill -9 of the leader %d times while a client of each node writes; seconds until "+
		"a write that was sent after the kill is acknowledged.", times)
	t.head = []string{"", "median", "worst", "mark"}
	worst := slices.Max(gaps)
	t.row("three nodes", fixed(median(gaps), 3), fixed(worst, 3), t.check("failover, worst", worst, below(1.5)))
	return nil
}

// killLeader kills the leader under load and returns the time to the next write acknowledged. When it
// returns, the node runs again and has all entries.
func (c *cluster) killLeader() (time.Duration, error) {
	leader, err := c.leader()
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(c.b.ctx)
	defer stop()
	acks := make(chan ack, 1)
	var group sync.WaitGroup
	for _, nd := range c.nodes {
		group.Go(func() { write(ctx, nd, acks) })
	}
	killed := make(chan time.Time, 1)
	time.AfterFunc(failoverWarmup+rand.N(failoverWarmup), func() {
		at := time.Now()
		leader.kill()
		killed <- at
	})
	gap, err := firstAfter(ctx, killed, acks)
	stop()
	group.Wait()
	if err != nil {
		return 0, err
	}
	if err := c.startNode(leader); err != nil {
		return 0, err
	}
	if err := c.ready(leader); err != nil {
		return 0, err
	}
	return gap, c.level(readyTimeout)
}

// ack is a write that was acknowledged, or an error that no client may see.
type ack struct {
	sent, answered time.Time
	err            error
}

// firstAfter waits for the first acknowledgement of a write that was sent after the kill.
func firstAfter(ctx context.Context, killed <-chan time.Time, acks <-chan ack) (time.Duration, error) {
	var at time.Time
	limit := time.After(failoverLimit)
	for {
		select {
		case at = <-killed:
		case a := <-acks:
			if a.err != nil {
				return 0, a.err
			}
			if !at.IsZero() && a.sent.After(at) {
				return a.answered.Sub(at), nil
			}
		case <-limit:
			return 0, fmt.Errorf("no write was acknowledged for %v", failoverLimit)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// write keeps one write under way on a node until the context ends.
func write(ctx context.Context, nd *node, acks chan<- ack) {
	var client *load.Client
	defer func() {
		if client != nil {
			client.Close()
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		a := ack{sent: time.Now()}
		if client == nil {
			if client, a.err = load.Dial(nd.addr, askTimeout); a.err != nil { // the node is down
				time.Sleep(retryPause)
				continue
			}
		}
		_, a.err = client.Do("SET", "failover:"+strconv.Itoa(nd.id), strconv.Itoa(i))
		a.answered = time.Now()
		switch {
		case a.err == nil:
		case !errors.As(a.err, new(load.ReplyError)): // the node has died
			client.Close()
			client = nil
			continue
		case strings.HasPrefix(a.err.Error(), "CLUSTERDOWN"), strings.HasPrefix(a.err.Error(), "UNCERTAIN"):
			time.Sleep(retryPause)
			continue
		}
		select {
		case acks <- a:
		case <-ctx.Done():
		}
	}
}
