package raftnode

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"

	"redoubt/failpoint"
)

const (
	// readRetryTicks is how long a follower waits for the leader's answer to a read request.
	readRetryTicks = 4
	// leaseSlackTicks is how many ticks a follower may count more than the time that passed: the
	// heartbeat may arrive just before a tick, and a goroutine that was held up gets one tick at once
	// and the next on schedule.
	leaseSlackTicks = 2
	// leaseDrift is the part of the lease that is given up for clocks that run at different rates.
	leaseDrift = 0.1
)

// readWaiter is a read that waits for a read index: a local one, or one that a follower asks for.
type readWaiter struct {
	since time.Duration
	index uint64
	err   error
	done  chan struct{} // nil for a follower's
	from  uint64        // the follower, and
	id    uint64        // its name for the request
}

// readRound is one exchange that confirms who leads, for all reads that waited when it began.
type readRound struct {
	id      uint64
	start   time.Duration
	term    uint64
	ticks   int
	waiters []*readWaiter
}

// readState is the loop's part of reading.
type readState struct {
	queue  []*readWaiter
	round  *readRound // as leader: through raft's ReadIndex
	asked  *readRound // as follower: through the leader
	nextID uint64
}

// ReadBarrier returns when the state of this node holds every write that was acknowledged to anyone
// before ReadBarrier was called: a read of it is then linearizable. Errors: ErrNoLeader, ErrClosed.
//
// Without a lease the leader confirms, by a round of heartbeats that a majority answers, that it led
// after the call began; its commit index at that time is what to wait for. A follower asks the
// leader. All reads that wait at the same moment share one round.
//
// With a lease the leader answers at once. The lease runs from the time before a heartbeat round was
// sent, for less than an election timeout: each node that answered takes part in no election until an
// election timeout after it got the heartbeat (raft's check-quorum rule; a restarted node waits one
// out, see startRaft; a transfer of leadership ends the lease before it begins). The order below
// matters: the commit index is read before the clock. If the clock then says that the lease holds, no
// other node had committed anything at that instant, which lies within the call, so that the commit
// index misses nothing; however long the process is stopped before, between or after the two.
func (g *Group) ReadBarrier() error {
	index, ok := g.leaseIndex()
	if ok {
		g.stats.LeaseReads.Add(1)
	} else {
		var err error
		if index, err = g.readIndex(); err != nil {
			return err
		}
		g.stats.RoundReads.Add(1)
	}
	return g.waitApplied(index)
}

func (g *Group) leaseIndex() (uint64, bool) {
	until := g.leaseUntil.Load()
	if until == 0 {
		return 0, false
	}
	index := g.commit.Load()
	return index, int64(g.cfg.Clock()) < until
}

func (g *Group) readIndex() (uint64, error) {
	w := g.submitRead()
	select {
	case <-w.done:
		return w.index, w.err
	case <-g.stop:
		return 0, ErrClosed
	}
}

func (g *Group) submitRead() *readWaiter {
	w := &readWaiter{done: make(chan struct{})}
	g.mail.put(func(in *mail) { in.reads = append(in.reads, w) })
	return w
}

// flowReads begins a round for the reads that wait, unless one is under way: they could not use that
// one, since it began before them.
func (g *Group) flowReads() {
	l := &g.loop
	r := &l.reads
	if len(r.queue) == 0 {
		return
	}
	switch {
	case l.role == raft.StateLeader && !g.mayRead():
	case l.role == raft.StateLeader:
		if index, ok := g.leaseIndex(); ok {
			finishReads(g, r.queue, index, nil)
			r.queue = nil
		} else if r.round == nil {
			g.beginRound()
		}
	case l.lead != raft.None && r.asked == nil:
		r.nextID++
		r.asked = &readRound{id: r.nextID, waiters: r.queue}
		r.queue = nil
		g.cfg.Transport.Send(l.lead, LaneControl, numbers(frameRead, r.nextID))
	}
}

// mayRead says whether this node, as leader, knows all that was committed before its term: only once
// an entry of its own term is. Raft sees to this too, except for a group of one, which would confirm
// the commit index that it happened to have stored before it was restarted.
func (g *Group) mayRead() bool { return g.loop.resolved >= g.loop.term }

// beginRound has the leader confirmed for the waiting reads, and for the lease.
func (g *Group) beginRound() {
	l := &g.loop
	r := &l.reads
	r.nextID++
	r.round = &readRound{id: r.nextID, start: g.cfg.Clock(), term: l.term, waiters: r.queue}
	r.queue = nil
	l.rounds++
	l.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, r.nextID))
}

// finishRound takes raft's word that this node led after the round began.
func (g *Group) finishRound(rs raft.ReadState) {
	l := &g.loop
	round := l.reads.round
	if round == nil || len(rs.RequestCtx) != 8 || binary.BigEndian.Uint64(rs.RequestCtx) != round.id {
		return
	}
	l.reads.round = nil
	if g.cfg.Lease && l.role == raft.StateLeader && l.term == round.term && l.leaseBarred != l.term &&
		round.start >= l.change.at {
		ticks := float64(g.cfg.ElectionTicks-leaseSlackTicks) * (1 - leaseDrift)
		g.leaseUntil.Store(int64(round.start) + int64(ticks*float64(g.cfg.TickInterval)))
	}
	finishReads(g, round.waiters, rs.Index, nil)
}

// takeRead answers a follower that asks for a read index.
func (g *Group) takeRead(from, id uint64) {
	if g.loop.role == raft.StateLeader {
		g.loop.reads.queue = append(g.loop.reads.queue, &readWaiter{from: from, id: id, since: g.cfg.Clock()})
	}
}

func (g *Group) takeReadResp(id, index uint64) {
	if asked := g.loop.reads.asked; asked != nil && asked.id == id {
		g.loop.reads.asked = nil
		finishReads(g, asked.waiters, index, nil)
	}
}

func finishReads(g *Group, waiters []*readWaiter, index uint64, err error) {
	for _, w := range waiters {
		if w.done == nil {
			if err == nil && failpoint.ReadAnswer.Err() == nil {
				g.cfg.Transport.Send(w.from, LaneControl, numbers(frameReadResp, w.id, index))
			}
			continue
		}
		w.index, w.err = index, err
		close(w.done)
	}
}

// requeueReads puts back what waited for an answer that may never come. Followers ask again.
func (g *Group) requeueReads() {
	r := &g.loop.reads
	for _, round := range []*readRound{r.round, r.asked} {
		if round != nil {
			r.queue = append(r.queue, round.waiters...)
		}
	}
	r.round, r.asked = nil, nil
	keep := r.queue[:0]
	for _, w := range r.queue {
		if w.done != nil {
			keep = append(keep, w)
		}
	}
	r.queue = keep
}

// tickReads renews the lease, repeats lost questions, and ends what waited too long.
func (g *Group) tickReads() {
	l := &g.loop
	r := &l.reads
	if r.asked != nil {
		if r.asked.ticks++; r.asked.ticks >= readRetryTicks {
			r.queue = append(r.asked.waiters, r.queue...)
			r.asked = nil // an answer that still comes is not known any more
		}
	}
	if l.heartbeat++; l.heartbeat >= g.cfg.HeartbeatTicks {
		l.heartbeat = 0
		if g.cfg.Lease && l.role == raft.StateLeader && r.round == nil && g.mayRead() && l.leaseBarred != l.term {
			g.beginRound()
		}
	}
	g.expireReads()
}

func (g *Group) expireReads() {
	l := &g.loop
	expire := func(waiters []*readWaiter) []*readWaiter {
		keep := waiters[:0]
		for _, w := range waiters {
			if g.tooLong(w.since) {
				finishReads(g, []*readWaiter{w}, 0, ErrNoLeader)
				continue
			}
			keep = append(keep, w)
		}
		return keep
	}
	l.reads.queue = expire(l.reads.queue)
	for _, round := range []*readRound{l.reads.round, l.reads.asked} {
		if round != nil {
			round.waiters = expire(round.waiters)
		}
	}
}

func (g *Group) abandonReads() {
	g.requeueReads()
	finishReads(g, g.loop.reads.queue, 0, ErrClosed)
	g.loop.reads.queue = nil
}
