package raftnode

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"redoubt/failpoint"
)

// applyTask is one thing for the applier to do: the entries of a message, or a function that must run
// between applies.
type applyTask struct {
	message *pb.Message
	run     func()
}

// runApplier applies committed entries in order.
func (g *Group) runApplier() {
	defer g.stopped.Done()
	var tasks []applyTask
	for ok := true; ok; {
		if tasks, ok = g.applies.take(tasks); ok {
			ok = g.applyAll(tasks)
		}
	}
}

// applyAll does the tasks. It returns false when the group has failed.
func (g *Group) applyAll(tasks []applyTask) bool {
	for _, t := range tasks {
		if t.run != nil {
			t.run()
			continue
		}
		if err := g.applier.apply(t.message); err != nil {
			g.applier.finish(ErrUncertain)
			g.fail(err)
			return false
		}
	}
	return true
}

// promptBytes is how much has to be applied at once for the loop to be told at once.
const promptBytes = 64 << 10

// applier holds the applier's buffers.
type applier struct {
	g       *Group
	entries []Entry
	props   []Committed
	local   []*Proposal
	term    uint64   // of the last entry
	changes []func() // of the members, among the entries being applied: tell raft
}

func (a *applier) apply(m *pb.Message) error {
	g := a.g
	a.entries, a.props, a.local = a.entries[:0], a.props[:0], a.local[:0]
	ms := *g.members.Load()
	changed, size := false, int64(0)
	a.changes = a.changes[:0]
	for _, e := range m.GetEntries() {
		size += entryBytes(e)
		next, is, err := a.add(e, ms)
		if err != nil {
			return fmt.Errorf("log entry %d: %w", e.GetIndex(), err)
		}
		ms, changed = next, changed || is
	}
	var meta []byte
	if changed {
		var err error
		if meta, err = json.Marshal(ms); err != nil {
			return err
		}
	}
	if err := failpoint.ApplyBefore.Err(); err != nil {
		return err
	}
	if err := failpoint.ApplyAfter.After(g.cfg.Machine.Apply(a.entries, meta)); err != nil {
		return fmt.Errorf("apply log entries up to %d: %w", a.entries[len(a.entries)-1].Index, err)
	}
	if ok, err := a.tellRaft(); err != nil || !ok {
		a.finish(nil)
		return err
	}
	if changed {
		g.setMembers(ms) // from here on a replaced member is let in
	}
	last := a.entries[len(a.entries)-1]
	g.advance(Position{last.Index, last.Term})
	a.finish(nil)
	tell := g.mail.leave
	if last.Term != a.term || size > promptBytes {
		tell = g.mail.put // proposals of earlier terms wait to be resolved; raft bounds what is being applied
	}
	a.term = last.Term
	tell(func(in *mail) {
		in.messages = append(in.messages, m.GetResponses()...)
		in.appliedTerm = last.Term
	})
	g.grown(size)
	clear(a.entries)
	clear(a.props)
	if ms.removed(g.cfg.NodeID) {
		return g.removed("the log says so")
	}
	return nil
}

// tellRaft tells raft of the changes of the members among the entries, and returns false when the group is
// closing. That they are committed is noted first: if this node forgot it in a crash, it would ask the members
// of before for their votes, and one that has lost its own would neither give it nor call an election.
func (a *applier) tellRaft() (ok bool, err error) {
	if len(a.changes) == 0 {
		return true, nil
	}
	if err := a.g.cfg.Log.NoteCommit(a.entries[len(a.entries)-1].Index); err != nil {
		return false, err
	}
	for _, tell := range a.changes {
		if !a.g.call(tell) {
			return false, nil
		}
	}
	return true, nil
}

// finish gives the proposals of this node among the entries their verdict.
func (a *applier) finish(err error) {
	for _, p := range a.local {
		p.finish(err)
	}
	clear(a.local)
	a.local = a.local[:0]
}

// add decodes one entry. It returns the membership after it and whether that is another one.
func (a *applier) add(e *pb.Entry, ms membership) (membership, bool, error) {
	out := Entry{Index: e.GetIndex(), Term: e.GetTerm()}
	data := e.GetData()
	changed := false
	switch {
	case e.GetType() == pb.EntryConfChange:
		c, cc, err := decodeChange(data)
		if err = failpoint.MemberApply.After(err); err != nil {
			return ms, false, err
		}
		if ms, changed = ms.change(c); changed {
			a.changes = append(a.changes, func() { a.g.applyChange(c, cc) })
		}
	case e.GetType() != pb.EntryNormal:
		return ms, false, fmt.Errorf("%w: type %v", errEntry, e.GetType())
	case len(data) == 0: // a new leader's first entry
	case data[0] == entryBatch:
		first := len(a.props)
		var err error
		out.Time, out.Seed, err = decodeBatch(data, func(origin, seq uint64, payload []byte) {
			c := Committed{Payload: payload}
			if origin == a.g.origin {
				if c.Local = a.g.pending.take(seq); c.Local != nil {
					a.local = append(a.local, c.Local)
				}
			}
			a.props = append(a.props, c)
		})
		if err != nil {
			return ms, false, err
		}
		out.Proposals = a.props[first:len(a.props):len(a.props)]
	case data[0] == entryMember:
		m, err := decodeMember(data)
		if err = failpoint.MemberApply.After(err); err != nil {
			return ms, false, err
		}
		ms, changed = ms.with(m)
	case data[0] == entryVersion:
		var err error
		if ms, changed, err = ms.raised(data); err != nil {
			return ms, false, err
		}
	default:
		return ms, false, fmt.Errorf("%w: kind %d: it was written by a newer version", errEntry, data[0])
	}
	a.entries = append(a.entries, out)
	return ms, changed, nil
}

// advance publishes the applied index to those who wait for it.
func (g *Group) advance(pos Position) {
	g.applied.Store(pos.Index)
	g.waiting.reached(pos.Index)
}

func (g *Group) setMembers(ms membership) {
	before := g.members.Swap(&ms)
	g.updatePeers(before)
	for _, m := range before.Members {
		if ms.removed(m.ID) && m.ID != g.cfg.NodeID {
			g.cfg.Transport.Send(m.ID, LaneControl, []byte{frameRemoved})
		}
	}
}

// grown counts log bytes towards the next snapshot.
func (g *Group) grown(bytes int64) {
	if g.sinceSnap.Add(bytes) >= g.cfg.SnapshotLogBytes {
		select {
		case g.makeNow <- struct{}{}:
		default:
		}
	}
}

// appliedWaiters are readers that wait for an index to be applied here.
type appliedWaiters struct {
	mu   sync.Mutex
	list []appliedWaiter
}

type appliedWaiter struct {
	index uint64
	ready chan struct{}
}

func (w *appliedWaiters) reached(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keep := w.list[:0]
	for _, one := range w.list {
		if one.index <= index {
			close(one.ready)
		} else {
			keep = append(keep, one)
		}
	}
	clear(w.list[len(keep):])
	w.list = keep
}

// waitApplied waits until index is applied on this node.
func (g *Group) waitApplied(index uint64) error {
	if g.applied.Load() >= index {
		return nil
	}
	ready := make(chan struct{})
	w := &g.waiting
	w.mu.Lock()
	if g.applied.Load() >= index { // applied is stored before the list is walked
		w.mu.Unlock()
		return nil
	}
	w.list = append(w.list, appliedWaiter{index, ready})
	w.mu.Unlock()
	limit := time.NewTimer(hardTimeoutFactor * g.cfg.RequestTimeout)
	defer limit.Stop()
	select {
	case <-ready:
		return nil
	case <-limit.C:
		return ErrNoLeader // the waiter is dropped when its index is reached
	case <-g.stop:
		return ErrClosed
	}
}

// announce tells the leader where this node is reached and which incarnation it is, until the log
// says so.
func (g *Group) announce() {
	ms := g.members.Load()
	m, ok := ms.find(g.cfg.NodeID)
	if !ok {
		return
	}
	want := m
	want.RaftAddr, want.ClientAddr, want.Incarnation = g.cfg.RaftAddr, g.cfg.ClientAddr, g.cfg.Incarnation
	want.Version = VersionMax
	if m == want || g.loop.lead == 0 || g.cfg.Clock() < g.announceAt {
		return
	}
	g.announceAt = g.cfg.Clock() + g.cfg.RequestTimeout/4
	if g.loop.lead == g.cfg.NodeID {
		g.logMember(g.cfg.NodeID, want)
		return
	}
	g.cfg.Transport.Send(g.loop.lead, LaneControl, encodeJSON(frameAnnounce, want))
}

// logMember proposes the announcement of a member, as the leader.
func (g *Group) logMember(from uint64, m Member) {
	if _, changes := g.members.Load().with(m); !changes || m.ID != from || !dialable(m.RaftAddr) {
		return
	}
	if err := g.loop.rn.Propose(encodeJSON(entryMember, m)); err != nil { // it announces itself again
		g.logger.Debug("announcement not logged", zap.Uint64("node", from), zap.Error(err))
	}
}
