package raftnode

import (
	"slices"

	"go.etcd.io/raft/v3"

	"redoubt/failpoint"
)

// forwardState is what a follower knows of the proposals that it forwarded in the present term.
type forwardState struct {
	base  uint64 // the leader need not wait for anything before this one; 0 = none sent yet
	acked uint64 // the leader has all before this one
	quiet int    // ticks since something was sent or acknowledged
}

// forwardQueued sends the queue to the leader. The proposals stay pending until they are met in the
// log, or an entry of a later term is.
func (g *Group) forwardQueued() {
	l := &g.loop
	if len(l.queue) == 0 {
		return
	}
	if l.fwd.base == 0 {
		l.fwd.base, l.fwd.acked = l.nextSeq, l.nextSeq
	}
	batch := make([]*Proposal, 0, len(l.queue))
	for _, it := range l.queue {
		p := it.local // the queue of a follower holds no other: see dropRemote
		p.seq, p.term = l.nextSeq, l.term
		l.nextSeq++
		g.pending.add(p)
		batch = append(batch, p)
	}
	l.queue = nil
	l.fwd.quiet = 0
	g.sendForwards(batch)
}

// sendForwards sends proposals with consecutive sequence numbers in frames of bounded size.
func (g *Group) sendForwards(batch []*Proposal) {
	for len(batch) > 0 {
		f := forward{term: g.loop.term, origin: g.origin, base: g.loop.fwd.base, first: batch[0].seq}
		size, n := 0, 0
		for n < len(batch) && (n == 0 || size+len(batch[n].Payload) <= entryMax) {
			size += len(batch[n].Payload)
			f.payloads = append(f.payloads, batch[n].Payload)
			n++
		}
		batch = batch[n:]
		if failpoint.ForwardBefore.Err() == nil {
			g.cfg.Transport.Send(g.loop.lead, LaneBulk, encodeForward(f, size))
		}
	}
}

// resendForwards sends again what the leader has not acknowledged: a stream that broke, or a full
// queue, loses frames. The leader leaves out what it has already.
func (g *Group) resendForwards() {
	l := &g.loop
	if l.lead == raft.None || l.lead == g.cfg.NodeID || l.fwd.base == 0 || l.fwd.acked == l.nextSeq {
		return
	}
	if l.fwd.quiet++; l.fwd.quiet < resendTicks {
		return
	}
	l.fwd.quiet = 0
	runs := g.unacked()
	if len(runs) == 0 { // what was missing has been given up
		l.fwd.base, l.fwd.acked = 0, 0
		return
	}
	l.fwd.base = runs[0][0].seq
	for _, batch := range runs {
		l.fwd.base = max(l.fwd.base, batch[0].seq)
		g.sendForwards(batch)
	}
}

// unacked returns copies of the pending proposals of this term that the leader may not have, as runs
// of consecutive sequence numbers. They are copies because the originals belong to whoever takes them
// out of the pending set; the payloads stay as they are until then, so they are copied as well.
func (g *Group) unacked() [][]*Proposal {
	l := &g.loop
	s := &g.pending
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Proposal
	for _, p := range s.list {
		if p != nil && p.term == l.term && p.seq >= l.fwd.acked {
			all = append(all, &Proposal{Payload: slices.Clone(p.Payload), seq: p.seq})
		}
	}
	var runs [][]*Proposal
	for i, p := range all {
		if i == 0 || p.seq != all[i-1].seq+1 {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	return runs
}

// takeForward queues what a follower forwarded, as the leader of the term that the follower means.
func (g *Group) takeForward(from uint64, f forward) {
	l := &g.loop
	if l.role != raft.StateLeader || f.term != l.term {
		return // the follower learns of the new term from raft
	}
	if l.origins == nil {
		l.origins = make(map[uint64]uint64)
	}
	next := max(l.origins[f.origin], f.base)
	// Frames of a lane arrive in order or not at all, so something is missing only after a loss; the
	// follower then sends all of it again, beginning with what this acknowledgement asks for.
	if f.first <= next {
		for i, payload := range f.payloads {
			if f.first+uint64(i) == next {
				l.queue = append(l.queue, item{origin: f.origin, seq: next, payload: payload})
				next++
			}
		}
		l.origins[f.origin] = next
	}
	failpoint.ForwardTaken.Hit()
	if failpoint.ForwardAck.Err() != nil {
		return
	}
	g.cfg.Transport.Send(from, LaneControl, numbers(frameForwardAck, f.term, f.origin, next))
}

func (g *Group) takeForwardAck(term, origin, next uint64) {
	l := &g.loop
	if term == l.term && origin == g.origin && next > l.fwd.acked && next <= l.nextSeq {
		l.fwd.acked, l.fwd.quiet = next, 0
	}
}
