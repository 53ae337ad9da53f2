package raftnode

import (
	"errors"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Space says how much room for data there is, on one node or for the group as a whole.
type Space uint8

// The levels of Space.
const (
	SpaceOK   Space = iota
	SpaceLow        // nothing should be proposed that makes the data grow
	SpaceNone       // nothing should be proposed at all; a node takes no more entries but small ones
)

func (s Space) String() string {
	switch s {
	case SpaceOK:
		return "ok"
	case SpaceLow:
		return "low"
	}
	return "none"
}

const (
	// smallAppend is what a node without space still takes at once, in bytes of entries: elections
	// need an entry each.
	smallAppend = 64 << 10
	// lowSnapshotEvery is how often a node that is short of space makes a snapshot: it lets the log be
	// truncated, and is what keeps deleted data on the disk until the next one.
	lowSnapshotEvery = 5 * time.Second
)

// spaceReport is what a node has last said of itself.
type spaceReport struct {
	level Space
	at    time.Duration
}

// spaceState is the loop's knowledge of room for data.
type spaceState struct {
	ticks    int
	reports  map[uint64]spaceReport // as leader: of the followers, in this term
	verdict  spaceReport            // as follower: the leader's
	handOver time.Duration          // as leader: when to try again to hand over
	snapshot time.Duration          // when to make the next snapshot for want of space
}

// Space returns what the group can take now, by the word of the leader. It does not wait.
func (g *Group) Space() Space { return Space(g.space.Load()) }

func (g *Group) ownSpace() Space {
	if g.cfg.Space == nil {
		return SpaceOK
	}
	return g.cfg.Space()
}

// tickSpace has every node tell the leader how much room it has, and the leader tell the others
// what all of them together can take. Both are repeated, and what is not is forgotten: a
// message lost does no harm.
func (g *Group) tickSpace() {
	l := &g.loop
	s := &l.space
	own := g.ownSpace()
	verdict := SpaceOK
	switch {
	case l.role == raft.StateLeader:
		verdict = g.judgeSpace(own)
	case l.lead != raft.None && g.freshSpace(s.verdict):
		verdict = s.verdict.level
	}
	if was := Space(g.space.Swap(uint32(verdict))); was != verdict {
		g.logger.Warn("room for data in the cluster", zap.Stringer("was", was), zap.Stringer("is", verdict))
		s.ticks = g.cfg.HeartbeatTicks // the others should know
	}
	if s.ticks++; s.ticks >= g.cfg.HeartbeatTicks {
		s.ticks = 0
		g.sendSpace(own, verdict)
	}
	if now := g.cfg.Clock(); own != SpaceOK && now >= s.snapshot {
		s.snapshot = now + lowSnapshotEvery
		g.snapshotForSpace()
	}
}

func (g *Group) sendSpace(own, verdict Space) {
	l := &g.loop
	if l.role != raft.StateLeader {
		if l.lead != raft.None {
			g.cfg.Transport.Send(l.lead, LaneControl, numbers(frameSpace, l.term, uint64(own)))
		}
		return
	}
	for _, m := range g.members.Load().Members {
		if m.ID != g.cfg.NodeID {
			g.cfg.Transport.Send(m.ID, LaneControl, numbers(frameSpace, l.term, uint64(verdict)))
		}
	}
}

// takeSpace notes the word of a follower, or of the leader.
func (g *Group) takeSpace(from, term, level uint64) {
	l := &g.loop
	if term != l.term || level > uint64(SpaceNone) {
		return
	}
	report := spaceReport{Space(level), g.cfg.Clock()}
	if l.role != raft.StateLeader {
		if from == l.lead {
			l.space.verdict = report
		}
		return
	}
	if l.space.reports == nil {
		l.space.reports = make(map[uint64]spaceReport)
	}
	l.space.reports[from] = report
}

// freshSpace says whether a report still counts.
func (g *Group) freshSpace(r spaceReport) bool {
	return g.cfg.Clock()-r.at <= 2*time.Duration(g.cfg.ElectionTicks)*g.cfg.TickInterval
}

// judgeSpace returns what the group can take, as its leader. One node without room does not stop the
// others: the entries of a majority count. But when the leader itself is short it gives up
// the lead to one who is not, and when too few are left who can store an entry, nothing is
// proposed rather than have clients wait for what does not come.
func (g *Group) judgeSpace(own Space) Space {
	l := &g.loop
	voters, able := 0, [SpaceNone + 1]int{} // by level: how many have at least so much
	best := uint64(0)
	lowest := own
	for _, m := range g.members.Load().Members {
		if m.Learner {
			continue
		}
		voters++
		level, heard := own, true
		if r, known := l.space.reports[m.ID]; m.ID != g.cfg.NodeID {
			level, heard = r.level, !known || g.freshSpace(r)
			if known && heard && level == SpaceOK {
				best = m.ID
			}
		}
		lowest = max(lowest, level)
		for at := level; heard && at <= SpaceNone; at++ {
			able[at]++
		}
	}
	if lowest == SpaceOK {
		return SpaceOK // and whether enough of them are there at all is for raft to find out
	}
	verdict := own
	for verdict < SpaceNone && able[verdict] <= voters/2 {
		verdict++
	}
	if now := g.cfg.Clock(); own != SpaceOK && best != 0 && able[SpaceOK] > voters/2 && now >= l.space.handOver {
		l.space.handOver = now + g.cfg.RequestTimeout
		g.logger.Warn("short of disk space: the lead goes to another node", zap.Uint64("to", best))
		if err := g.transfer(best); err != nil {
			g.logger.Warn("the lead stays", zap.Error(err))
		}
	}
	return verdict
}

// hasRoomFor says whether a message of a peer may go on to raft. Entries that a node can't store are
// dropped as if the network had lost them: the leader sends them again until there is room.
func (g *Group) hasRoomFor(m *pb.Message) bool {
	if m.GetType() != pb.MsgApp || len(m.GetEntries()) == 0 || g.ownSpace() != SpaceNone {
		return true
	}
	size := int64(0)
	for _, e := range m.GetEntries() {
		size += entryBytes(e)
	}
	return size <= smallAppend
}

// snapshotForSpace asks for a snapshot if anything was applied since the last one.
func (g *Group) snapshotForSpace() {
	if id, _ := g.cfg.Snapshots.Latest(); g.applied.Load() > id.Index {
		g.sinceSnap.Add(g.cfg.SnapshotLogBytes)
		g.grown(0)
	}
}

// spaceOf is what the leader knows of a member, for people.
func (g *Group) spaceOf(id uint64) string {
	if id == g.cfg.NodeID {
		return g.ownSpace().String()
	}
	if r, known := g.loop.space.reports[id]; known && g.freshSpace(r) {
		return r.level.String()
	}
	return ""
}

// whileSpace ends the reception of a snapshot when this node has no room for it.
func (g *Group) whileSpace(next func() ([]byte, error)) func() ([]byte, error) {
	return func() ([]byte, error) {
		if g.ownSpace() != SpaceOK {
			return nil, errors.New("this node is short of disk space")
		}
		return next()
	}
}
