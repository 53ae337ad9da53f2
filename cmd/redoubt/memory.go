package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcPercentMin and gcPercentMax bound by how many percent the heap may grow beyond what is in use
	// before garbage is collected; the first is Go's default.
	gcPercentMin, gcPercentMax = 100, 800
	gcLook                     = time.Second
	liveHeap                   = "/gc/heap/live:bytes"
)

// limitMemory tells the collector to work harder before the program takes a fourth more memory than bytes,
// which is all that it may have in use: so much is always left for garbage that the collector has time. A
// GOMEMLIMIT in the environment comes first.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes + bytes/4)
	}
}

// spendMemory lets the heap grow to budget bytes before garbage is collected, as long as ctx lasts. Go by
// itself collects whenever the heap has doubled, so that a node with little data, which has room for much
// more, would walk through all of it again and again. What is in use beyond half of the budget is treated
// as Go always does.
//
func spendMemory(ctx context.Context, budget int64) {
	sample := []metrics.Sample{{Name: liveHeap}}
	ticker := time.NewTicker(gcLook)
	defer ticker.Stop()
	for present := gcPercentMin; ; {
		metrics.Read(sample)
		percent := gcPercent(budget, sample[0].Value.Uint64())
		if percent*10 < present*9 || percent*10 > present*11 { // setting it stops the program for a moment
			debug.SetGCPercent(percent)
			present = percent
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// gcPercent is by how much a heap with this much in use may grow.
func gcPercent(budget int64, live uint64) int {
	if live == 0 { // nothing was collected yet
		live = 1
	}
	growth := 100 * (float64(budget)/float64(live) - 1)
	return int(math.Min(math.Max(growth, gcPercentMin), gcPercentMax))
}
