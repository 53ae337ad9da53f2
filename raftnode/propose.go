package raftnode

import (
	"slices"
	"sync"
	"time"
)

const (
	// entryMax bounds the proposals that are put into one entry, in bytes; a single larger proposal
	// makes an entry of its own.
	entryMax = 1 << 20
	// hardTimeoutFactor times the request timeout is the longest that a request waits for anything,
	// even while there is a leader.
	hardTimeoutFactor = 6
	// paceMax bounds what waits for the commit of the entry before it.
	paceMax = 2 * time.Millisecond
	// gatherMax bounds what waits for company after that; see also begin. gatherLeast is how many proposals
	// are worth it, gatherMost how many are an entry large enough, gatherTrial after how many entries it is
	// judged, and gatherRest how many entries do not wait after it was in vain again and again.
	gatherMax               = time.Millisecond
	gatherLeast, gatherMost = 24, 128
	gatherTrial             = 4
	gatherRest              = 256
	// resendTicks is how long forwarded proposals wait for the leader to say that it has them.
	resendTicks = 6
)

// Proposal is something to be logged. It may be used again after Propose has returned, unless that
// was with ErrUncertain.
type Proposal struct {
	// Payload is logged as it is.
	Payload []byte
	// Context is the proposer's own. The StateMachine of this node finds it in Committed.Local.
	Context any

	seq, term uint64        // its identity in the log, once it may be there
	since     time.Duration // when it was first queued
	err       error
	done      chan struct{}
}

// NewProposal returns an empty proposal.
func NewProposal() *Proposal {
	return &Proposal{done: make(chan struct{}, 1)}
}

func (p *Proposal) finish(err error) {
	p.err = err
	p.done <- struct{}{}
}

// item is a proposal in the queue: one of this node's, or one that another node forwarded.
type item struct {
	local       *Proposal
	origin, seq uint64 // of a forwarded one
	payload     []byte
}

// pendingSet holds this node's proposals that may be in the log, in the order of their sequence numbers.
// Whoever takes one out owns it.
type pendingSet struct {
	mu    sync.Mutex
	first uint64      // the sequence number of list[0]
	list  []*Proposal // nil: taken, or another node's
}

// add takes a proposal with a higher sequence number than all before.
func (s *pendingSet) add(p *Proposal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		s.first = p.seq
	}
	for s.first+uint64(len(s.list)) < p.seq {
		s.list = append(s.list, nil)
	}
	s.list = append(s.list, p)
}

func (s *pendingSet) take(seq uint64) *Proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := seq - s.first
	if i >= uint64(len(s.list)) {
		return nil
	}
	p := s.list[i]
	s.list[i] = nil
	s.trim()
	return p
}

// takeIf takes all that match, in the order of their sequence numbers.
func (s *pendingSet) takeIf(match func(*Proposal) bool) []*Proposal {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Proposal
	for i, p := range s.list {
		if p != nil && match(p) {
			out = append(out, p)
			s.list[i] = nil
		}
	}
	s.trim()
	return out
}

func (s *pendingSet) trim() {
	for len(s.list) > 0 && s.list[0] == nil {
		s.list = s.list[1:]
		s.first++
	}
}

// Propose logs the proposal through whichever node leads, and returns when the StateMachine of this
// node has applied it. It waits for a leader if there is none. Errors: ErrNoLeader and ErrClosed,
// with no effect ever; ErrUncertain.
func (g *Group) Propose(p *Proposal) error {
	g.submit(p)
	<-p.done
	return p.err
}

// submit hands a proposal to the loop, which finishes it in the end: see abandon.
func (g *Group) submit(p *Proposal) {
	if !g.mail.put(func(in *mail) { in.proposals = append(in.proposals, p) }) {
		p.finish(ErrClosed)
	}
}

// proposeQueued makes entries of the queue, as the leader. What arrives while an entry is on its way
// becomes the next one, so that one sync and one round of messages carry many proposals. It says
// whether it proposed anything or is about to.
func (g *Group) proposeQueued() bool {
	l := &g.loop
	if len(l.queue) > 0 && g.paced() {
		return true
	}
	proposed := false
	for len(l.queue) > 0 && l.appending == 0 && g.proposeEntry() {
		proposed = true
	}
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return proposed
}

// paced says whether the next entry should wait for the commit of the last one, and then for company. That
// makes entries larger where it takes little time; where it takes long, because the nodes are far from each
// other, the next entry follows as soon as this node has written the one before.
func (g *Group) paced() bool {
	l := &g.loop
	switch {
	case l.commitTook >= paceMax:
		return false
	case l.lastIndex > g.commit.Load():
		return g.cfg.Clock()-l.proposedAt < paceMax
	}
	return l.gather.waits(len(l.queue), g.cfg.Clock())
}

// gather has an entry wait for those whom the last one answered. Clients that wait for their replies ask
// again at once: without it, half of them are always on their way while the entry of the other half is
// written, and there are twice as many entries, each with its syncs and messages on every node.
//
// Of clients who ask whether they were answered or not, just as many come in a longer wait: to wait for them
// would only make all replies late. They are told from the others by who comes while an entry is written,
// when those who wait for their replies can't.
type gather struct {
	awaited int // proposals to wait for; 0: do not wait
	until   time.Duration
	timer   *time.Timer // wakes the loop at until; nil: entries never wait
	row     int         // entries in a row that have waited
	inVain  int         // entries that do not wait after it was in vain
	rest    int         // how many are left of these
}

// begin is called when an entry of so many proposals has been committed, which took so long, and others wait
// already.
func (w *gather) begin(answered, waiting int, took, now time.Duration) {
	switch n := answered + waiting; {
	case w.timer == nil || n < gatherLeast || n > gatherMost:
		w.row = 0
	case w.rest > 0:
		w.rest--
	case w.row >= gatherTrial && 3*waiting > answered:
		w.giveUp()
	default:
		if w.row >= gatherTrial {
			w.inVain = 0
		}
		limit := min(took*3/2, gatherMax)
		w.awaited, w.until = n*7/8, now+limit
		w.timer.Reset(limit)
	}
}

// waits says whether to go on waiting, with so many proposals in the queue.
func (w *gather) waits(waiting int, now time.Duration) bool {
	switch {
	case w.awaited == 0:
		return false
	case waiting < w.awaited && now < w.until:
		return true
	case 2*waiting >= w.awaited:
		w.row++
	default:
		w.giveUp()
	}
	w.awaited = 0
	return false
}

func (w *gather) giveUp() {
	w.inVain = min(2*w.inVain+1, gatherRest)
	w.rest, w.row = w.inVain, 0
}

// proposeEntry proposes one entry from the front of the queue and says whether raft took it.
func (g *Group) proposeEntry() bool {
	l := &g.loop
	size, n := 32, 0
	for n < len(l.queue) && (n == 0 || size+len(l.queue[n].payload)+28 <= entryMax) {
		size += len(l.queue[n].payload) + 28
		n++
	}
	data := entryHead(make([]byte, 0, size), g.cfg.Wall(), g.cfg.Rand())
	first := l.nextSeq
	for i, it := range l.queue[:n] {
		origin, seq := it.origin, it.seq
		if it.local != nil {
			origin, seq = g.origin, first+uint64(i)
		}
		data = appendProposal(data, origin, seq, it.payload)
	}
	if l.rn.Propose(data) != nil {
		return false // a transfer is under way: the queue waits for its end
	}
	// Nothing of the entry can be applied before this loop has handled the next Ready.
	for i, it := range l.queue[:n] {
		if it.local != nil {
			it.local.seq, it.local.term = first+uint64(i), l.term
			g.pending.add(it.local)
		}
	}
	l.nextSeq += uint64(n)
	l.proposedAt, l.lastCount = g.cfg.Clock(), n
	l.queue = l.queue[n:]
	return true
}

// dropRemote forgets forwarded proposals that were not proposed: their origins find out by
// themselves, once they apply an entry of a later term.
func (g *Group) dropRemote() {
	g.loop.queue = slices.DeleteFunc(g.loop.queue, func(it item) bool { return it.local == nil })
}

// resolve settles the proposals of terms before term, an entry of which has been applied here: those
// that were in the log have been met, the others are certainly not in it and are proposed again.
func (g *Group) resolve(term uint64) {
	g.loop.resolved = term
	dead := g.pending.takeIf(func(p *Proposal) bool { return p.term < term })
	if len(dead) == 0 {
		return
	}
	queue := make([]item, 0, len(dead)+len(g.loop.queue))
	for _, p := range dead {
		queue = append(queue, item{local: p, payload: p.Payload})
	}
	g.loop.queue = append(queue, g.loop.queue...)
}

// expire ends what has waited too long.
func (g *Group) expire() {
	l := &g.loop
	l.queue = slices.DeleteFunc(l.queue, func(it item) bool {
		if it.local == nil || !g.tooLong(it.local.since) {
			return false
		}
		it.local.finish(ErrNoLeader)
		return true
	})
	for _, p := range g.pending.takeIf(func(p *Proposal) bool { return g.tooLong(p.since) }) {
		p.finish(ErrUncertain)
	}
}

// tooLong says whether a request that waits since then has to be ended.
func (g *Group) tooLong(since time.Duration) bool {
	waited := g.cfg.Clock() - since
	return waited > g.cfg.RequestTimeout && !g.led() ||
		waited > hardTimeoutFactor*g.cfg.RequestTimeout
}

// abandon ends everything that waits, when the group closes or has failed. The loop has ended; what has not
// are those who write to the disk, if it hangs.
func (g *Group) abandon() {
	for _, it := range g.loop.queue {
		if it.local != nil {
			it.local.finish(ErrClosed)
		}
	}
	g.loop.queue = nil
	rest := g.mail.close()
	for _, p := range rest.proposals {
		p.finish(ErrClosed)
	}
	g.loop.reads.queue = append(g.loop.reads.queue, rest.reads...)
	g.abandonReads()
	g.awaitStop(g.cfg.RequestTimeout)
	for _, p := range g.pending.takeIf(func(*Proposal) bool { return true }) {
		p.finish(ErrUncertain)
	}
}
