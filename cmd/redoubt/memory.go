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
	// before garbage is collected; gcPercentGo is what a program starts with.
	gcPercentMin, gcPercentMax, gcPercentGo = 25, 400, 100

	gcLook   = 100 * time.Millisecond
	liveHeap = "/gc/heap/live:bytes"
)

// limitMemory tells the collector to work harder before the program takes a fourth more memory than bytes,
// which is all that it may have in use: so much is always left for garbage that the collector has time. A
// GOMEMLIMIT in the environment comes first.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes + bytes/4)
	}
}

// spendMemory sets how far the heap may grow before garbage is collected, as long as ctx lasts. Go by itself
// collects whenever the heap has doubled. That is too often for a node with little data, which would walk
// through all of it several times a second though it has room for much more: the heap may always grow to
// least bytes. And it is too late for one whose caches are full: beyond most bytes a fourth of what is in
// use has to do. A GOGC in the environment comes first.
func spendMemory(ctx context.Context, least, most int64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	sample := []metrics.Sample{{Name: liveHeap}}
	ticker := time.NewTicker(gcLook)
	defer ticker.Stop()
	for present := gcPercentGo; ; {
		metrics.Read(sample)
		percent := gcPercent(least, most, sample[0].Value.Uint64())
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

// gcPercent is by how many percent a heap with live bytes in use may grow.
func gcPercent(least, most int64, live uint64) int {
	use := math.Max(float64(live), 1) // 0: nothing was collected yet
	goal := math.Max(float64(least), math.Min(2*use, float64(most)))
	return int(math.Min(math.Max(100*(goal/use-1), gcPercentMin), gcPercentMax))
}
