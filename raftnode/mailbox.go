package raftnode

import (
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
)

// mail is what arrived for the loop.
type mail struct {
	messages    []*pb.Message // from peers and from the storage threads
	calls       []func()
	proposals   []*Proposal
	reads       []*readWaiter
	appended    int    // appends finished
	appliedTerm uint64 // term of the last applied entry
}

// mailbox collects mail until the loop takes it all at once.
type mailbox struct {
	wake chan struct{} // has one element when there may be mail that does not bear waiting
	mu   sync.Mutex
	in   mail
	out  mail // the mail taken last, whose slices are used again
	// expecting: the loop can go on with what it has once an append is finished.
	expecting bool
	closed    bool // nobody will take anything any more
}

// put adds mail for the loop, and returns false when it is too late for that.
func (b *mailbox) put(add func(*mail)) bool { return b.add(add, true) }

// leave is put for what nothing waits for: the loop finds it when something else wakes it, or with the next
// tick. To wake it for each takes a good part of what a small entry costs a node. A finished append of
// which something is expected wakes it all the same.
func (b *mailbox) leave(add func(*mail)) bool { return b.add(add, false) }

func (b *mailbox) add(add func(*mail), wake bool) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	add(&b.in)
	wake = wake || b.expecting && b.in.appended > 0
	b.mu.Unlock()
	if wake {
		b.wakeUp()
	}
	return true
}

func (b *mailbox) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// expectAppend has the next finished append wake the loop, and one that was left already.
func (b *mailbox) expectAppend() {
	b.mu.Lock()
	b.expecting = true
	wake := b.in.appended > 0
	b.mu.Unlock()
	if wake {
		b.wakeUp()
	}
}

// take returns all mail. It is valid until the next take.
func (b *mailbox) take() mail {
	old := b.out
	clear(old.messages)
	clear(old.calls)
	clear(old.proposals)
	clear(old.reads)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expecting = false
	b.out = b.in
	b.in = mail{messages: old.messages[:0], calls: old.calls[:0], proposals: old.proposals[:0],
		reads: old.reads[:0], appliedTerm: b.out.appliedTerm}
	return b.out
}

// close lets nothing more in and returns what is left.
func (b *mailbox) close() mail {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.take()
}

// fifo is an unbounded queue between two goroutines, taken whole. What is in it is bounded by raft's
// limits on entries in flight.
type fifo[T any] struct {
	mu     sync.Mutex
	cond   *sync.Cond
	items  []T
	closed bool
}

func (q *fifo[T]) init() { q.cond = sync.NewCond(&q.mu) }

func (q *fifo[T]) put(item T) {
	q.mu.Lock()
	q.items = append(q.items, item)
	q.mu.Unlock()
	q.cond.Signal()
}

// take waits for items and returns all of them, or false once the queue is closed. The slice given
// back in reuse becomes the queue's next buffer.
func (q *fifo[T]) take(reuse []T) ([]T, bool) {
	clear(reuse)
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.cond.Wait()
	}
	if q.closed {
		return nil, false
	}
	items := q.items
	q.items = reuse[:0]
	return items, true
}

// poll is take for one who does not wait.
func (q *fifo[T]) poll() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

func (q *fifo[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.cond.Broadcast()
}
