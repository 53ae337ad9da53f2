package server

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	memoryClientsDefault = 512 << 20
	// budgetWait is how long a large request waits for memory, unread, before it is refused.
	budgetWait = 5 * time.Second
	// tooBusy is the error for a request that found no memory. It was not executed.
	tooBusy = "OOM the requests of other clients take all of maxmemory-clients, try again later"
)

// budget bounds the memory of all large requests together, from their first bytes until they are
// executed. A request that it has no room for waits where it is, in its client and in the socket.
// Small ones do not count: there are no more of them than connections.
type budget struct {
	limit int64
	free  *semaphore.Weighted // serves who came first, so that the largest is not passed over
	taken atomic.Int64
	wait  time.Duration
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, free: semaphore.NewWeighted(limit), wait: budgetWait}
}

// take waits for n bytes, and says whether it got them.
func (b *budget) take(n int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), b.wait)
	defer cancel()
	if b.free.Acquire(ctx, n) != nil {
		return false
	}
	b.taken.Add(n)
	return true
}

func (b *budget) give(n int64) {
	if n > 0 {
		b.taken.Add(-n)
		b.free.Release(n)
	}
}
