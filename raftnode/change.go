package raftnode

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// The members change one at a time. The leader checks a change against the members that it has applied,
// while no other change is under way, and logs it as an entry of raft's own kind for that, which carries
// what the group wants to remember as well. Every node applies it when it is committed: to the membership
// in the state, in the same batch as everything else, and to raft.

// Op is a kind of Change.
type Op string

// The kinds of Change.
const (
	// OpAdd adds a learner: with ID 0 under the next free id. One that has an incarnation takes the place
	// of a member that was added by hand and has none yet, if it comes from the address given then.
	OpAdd Op = "add"
	// OpRemove removes a member for good.
	OpRemove Op = "remove"
	// OpPromote makes a voter of a learner that has caught up.
	OpPromote Op = "promote"
	// OpDemote makes a learner of a voter, which then stays one.
	OpDemote Op = "demote"
	// OpReplace gives a member that lost its data directory its new incarnation. It comes back as a
	// learner, and votes again once it has caught up if it did before.
	OpReplace Op = "replace"
)

// Change is a change of the members. Of Member only what the Op needs counts.
type Change struct {
	Op     Op     `json:"op"`
	Member Member `json:"member"`
}

// idMax bounds ids, so that there are always others left to give. Raft keeps the largest for itself.
const idMax = 1 << 32

// change returns the membership after c, which is the same on every node. It returns false when c has
// no effect, as one has that would leave no voter: raft could not bear it.
func (ms membership) change(c Change) (membership, bool) {
	after, changes := ms.changed(c)
	if !changes || after.voters(everyMember) == 0 {
		return ms, false
	}
	return after, true
}

func (ms membership) changed(c Change) (membership, bool) {
	i := slices.IndexFunc(ms.Members, func(m Member) bool { return m.ID == c.Member.ID })
	if (c.Op == OpAdd) != (i < 0) || c.Op == OpAdd && c.Member.ID <= ms.LastID {
		return ms, false
	}
	ms.Members = slices.Clone(ms.Members)
	switch c.Op {
	case OpAdd: // with an id above all others
		ms.Members = append(ms.Members, c.Member)
		ms.LastID = c.Member.ID
		return ms, true
	case OpRemove:
		if gone := ms.Members[i].Incarnation; gone != 0 {
			ms.Gone = append(slices.Clone(ms.Gone), gone)
			ms.Gone = ms.Gone[max(0, len(ms.Gone)-goneMax):]
		}
		ms.Members = slices.Delete(ms.Members, i, i+1)
		return ms, true
	}
	m := &ms.Members[i]
	was := *m
	switch c.Op {
	case OpPromote:
		m.Learner, m.Promote = false, false
	case OpDemote:
		m.Learner, m.Promote = true, false
	case OpReplace:
		m.Learner, m.Promote = true, m.Promote || !m.Learner
		m.Incarnation, m.ClientAddr = c.Member.Incarnation, ""
	default:
		return ms, false
	}
	return ms, *m != was
}

// conf is what raft is told of a change.
func (c Change) conf() (*pb.ConfChange, error) {
	kinds := map[Op]pb.ConfChangeType{OpAdd: pb.ConfChangeAddLearnerNode, OpRemove: pb.ConfChangeRemoveNode,
		OpPromote: pb.ConfChangeAddNode, OpDemote: pb.ConfChangeAddLearnerNode, OpReplace: pb.ConfChangeAddLearnerNode}
	kind, ok := kinds[c.Op]
	if !ok {
		return nil, fmt.Errorf("%w: change %q: it was written by a newer version", errEntry, c.Op)
	}
	context, err := json.Marshal(c)
	return &pb.ConfChange{Type: kind.Enum(), NodeId: new(c.Member.ID), Context: context}, err
}

// decodeChange reads the data of an entry that changes the members. What raft is told must be what the
// group understands by it.
func decodeChange(data []byte) (Change, *pb.ConfChange, error) {
	var c Change
	cc := &pb.ConfChange{}
	if err := proto.Unmarshal(data, cc); err != nil {
		return c, nil, fmt.Errorf("%w: change of members: %w", errEntry, err)
	}
	if err := json.Unmarshal(cc.GetContext(), &c); err != nil {
		return c, nil, fmt.Errorf("%w: change of members: %w", errEntry, err)
	}
	want, err := c.conf()
	if err != nil {
		return c, nil, err
	}
	if id := c.Member.ID; want.GetType() != cc.GetType() || id != cc.GetNodeId() || id == 0 || id > idMax {
		return c, nil, fmt.Errorf("%w: change of members: raft is told something else", errEntry)
	}
	return c, want, nil
}

// changeState is the loop's part of changing the members.
type changeState struct {
	// As leader: the last change that was proposed in this term, unknownIndex while raft has not given it
	// its place in the log yet. Raft drops a change without a word while another one is not applied.
	index uint64
	by    [2]uint64 // the node that asked for it, and its request
	// When the members were last another set: a lease rests on those after it.
	at time.Duration
	// When each other node was last heard of.
	heard       map[uint64]time.Duration
	askedAround time.Duration // as a learner without a leader: when it last did
	// As leader: how far the learners are.
	rounds map[uint64]*catchUp
}

const unknownIndex = math.MaxUint64

// catchUp measures whether a learner keeps up: it has to reach the end that the log had a while ago, within an
// election timeout. Then to wait for it takes a majority no longer than an election would.
type catchUp struct {
	goal  uint64
	since time.Duration
	done  bool
}

func (g *Group) electionTimeout() time.Duration {
	return time.Duration(g.cfg.ElectionTicks) * g.cfg.TickInterval
}

// heardOf says whether a node has been heard of within an election timeout.
func (g *Group) heardOf(id uint64) bool {
	at, ever := g.loop.change.heard[id]
	return id == g.cfg.NodeID || ever && g.cfg.Clock()-at <= g.electionTimeout()
}

// changing says whether a change of the members is under way, as the leader.
func (g *Group) changing() bool {
	return g.loop.change.index > g.loop.rn.BasicStatus().Applied
}

// noteChange finds the place of a proposed change among new entries of the log.
func (l *loopState) noteChange(entries []*pb.Entry) {
	if l.change.index != unknownIndex || len(entries) == 0 {
		return
	}
	l.change.index = 0 // raft did not want it; who asked asks again
	for _, e := range entries {
		if e.GetType() == pb.EntryConfChange {
			l.change.index = e.GetIndex()
		}
	}
}

// serveChange begins a change, as the leader. Who asked sees its effect in the log; the answer says why
// there will be none.
func (g *Group) serveChange(by [2]uint64, c Change) answer {
	l := &g.loop
	ms := g.members.Load()
	m, _ := ms.find(c.Member.ID)
	switch {
	case !g.mayRead(): // the members of earlier terms may not be applied here
		return answer{Again: "the leader is new"}
	case g.changing() && l.change.index <= g.commit.Load(): // others may have seen it already
		return answer{Again: "the change before is being applied"}
	case c.Op == OpPromote && m.Learner && l.change.rounds[m.ID] == nil:
		return answer{Again: "it is not known yet how far the learner is"}
	case g.changing() && l.change.by == by:
		return answer{Wait: true}
	}
	c, done, err := g.resolveChange(*ms, c)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	after, changes := ms.changed(c)
	switch {
	case done || !changes:
		return answer{Wait: true} // as is to be seen wherever the log is applied
	case g.changing():
		return answer{Refused: "another change of the members is under way"}
	}
	if err := g.mayChange(*ms, after, c); err != nil {
		return g.refusal(err)
	}
	if m, _ := after.find(g.cfg.NodeID); m.ID == 0 || m.Learner {
		if err := g.transfer(0); err != nil {
			return answer{Refused: "this node leads, and can't hand over: " + err.Error()}
		}
		return answer{Again: "the leader hands over first"}
	}
	cc, err := c.conf()
	if err != nil {
		return answer{Refused: err.Error()}
	}
	if l.rn.ProposeConfChange(cc) != nil {
		return answer{Again: "leadership is being handed over"}
	}
	l.change.index, l.change.by = unknownIndex, by
	return answer{Wait: true}
}

// resolveChange fills in what the leader decides, and refuses what makes no sense. done says that
// there is nothing to do.
func (g *Group) resolveChange(ms membership, c Change) (_ Change, done bool, err error) {
	if c.Op == OpAdd {
		return g.resolveAdd(ms, c)
	}
	m, ok := ms.find(c.Member.ID)
	switch {
	case !ok && ms.removed(c.Member.ID):
		return c, false, fmt.Errorf("node %d is not a member: ids up to %d were given", c.Member.ID, ms.LastID)
	case !ok:
		return c, false, fmt.Errorf("node %d is not a member", c.Member.ID)
	case c.Op == OpReplace && c.Member.Incarnation == 0:
		return c, false, fmt.Errorf("the new incarnation is missing")
	case c.Op == OpReplace && c.Member.Incarnation == m.Incarnation:
		return c, true, nil
	case c.Op == OpReplace && m.ID == g.cfg.NodeID:
		return c, false, fmt.Errorf("node %d leads: it did not lose its data", m.ID)
	case c.Op == OpPromote && m.Learner && g.loop.check.bad[m.ID]:
		return c, false, fmt.Errorf("node %d is corrupt", m.ID)
	case c.Op == OpPromote && m.Learner && !g.caughtUp(m.ID):
		return c, false, fmt.Errorf("node %d lags behind: promote it when it has caught up", m.ID)
	}
	c.Member = Member{ID: c.Member.ID, Incarnation: c.Member.Incarnation}
	return c, false, nil
}

// resolveAdd is resolveChange for a member that is to be added.
func (g *Group) resolveAdd(ms membership, c Change) (_ Change, done bool, err error) {
	m := &c.Member
	m.Learner = true
	if !dialable(m.RaftAddr) {
		return c, false, fmt.Errorf("%q is not an address", m.RaftAddr)
	}
	if m.Version != 0 && m.Version < ms.version() { // 0: added by hand
		return c, false, &VersionError{ms.version(), m.Version}
	}
	for _, o := range ms.Members {
		switch {
		case m.Incarnation != 0 && o.Incarnation == m.Incarnation:
			return c, true, nil // it has asked before
		case o.RaftAddr != m.RaftAddr:
		case o.Incarnation == 0 && m.Incarnation != 0 && m.ID == 0: // added by hand, and here it is
			m.ID = o.ID
			g.logMember(o.ID, *m)
			return c, true, nil
		case o.Incarnation == 0 && m.Incarnation == 0 && (m.ID == 0 || m.ID == o.ID):
			return c, true, nil
		default:
			return c, false, fmt.Errorf("node %d has the address %s: if it is gone for good, remove it first (RAFT REMOVE %d)",
				o.ID, m.RaftAddr, o.ID)
		}
	}
	if slices.Contains(ms.Gone, m.Incarnation) { // a request to join that comes late, or again: nobody is there any more
		return c, false, errors.New("this node was removed, and does not come back")
	}
	if m.ID == 0 {
		m.ID = ms.LastID + 1
	}
	if _, used := ms.find(m.ID); used {
		return c, false, fmt.Errorf("node id %d is in use", m.ID)
	}
	if m.ID <= ms.LastID {
		return c, false, fmt.Errorf("node id %d may have been in use before: ids up to %d are not given again", m.ID, ms.LastID)
	}
	if m.ID > idMax {
		return c, false, fmt.Errorf("node id %d is too large: the largest is %d", m.ID, uint64(idMax))
	}
	return c, false, nil
}

// mayChange refuses a change after which the group could not commit anything, as far as the leader knows.
func (g *Group) mayChange(before, after membership, c Change) error {
	if c.Op == OpAdd {
		return nil // learners do not count
	}
	voters := after.voters(everyMember)
	if voters == 0 {
		return fmt.Errorf("node %d is the last voter", c.Member.ID)
	}
	if voters == before.voters(everyMember) {
		return nil
	}
	if active := after.voters(func(m Member) bool { return g.heardOf(m.ID) }); active <= voters/2 {
		return fmt.Errorf("it would leave %d voters of which %d are active: no majority", voters, active)
	}
	return nil
}

// caughtUp says whether a learner keeps up with the log, as the leader.
func (g *Group) caughtUp(id uint64) bool {
	r := g.loop.change.rounds[id]
	return r != nil && r.done && g.heardOf(id)
}

// tickLearners looks how far the learners are, as the leader, and promotes those who are to be voters.
func (g *Group) tickLearners() {
	l := &g.loop
	ms := g.members.Load()
	if l.role != raft.StateLeader {
		l.change.rounds = nil
		if self, _ := ms.find(g.cfg.NodeID); self.Learner {
			g.askAround(ms)
		}
		return
	}
	if ms.voters(everyMember) == len(ms.Members) {
		return
	}
	if l.change.rounds == nil {
		l.change.rounds = make(map[uint64]*catchUp)
	}
	progress := l.rn.Status().Progress
	for _, m := range ms.Members {
		if !m.Learner {
			continue
		}
		g.measure(m.ID, progress[m.ID].Match)
		if m.Promote && m.Incarnation != 0 && g.caughtUp(m.ID) && !g.changing() {
			a := g.serveChange([2]uint64{}, Change{Op: OpPromote, Member: m})
			g.logger.Debug("learner has caught up", zap.Uint64("node", m.ID), zap.String("refused", a.Refused))
		}
	}
}

// askAround has a learner that hears nothing of a leader ask all members. It does not call elections, so that
// nobody would notice that it is still there and tell it that it was removed.
func (g *Group) askAround(ms *membership) {
	c := &g.loop.change
	if now := g.cfg.Clock(); !g.led() && now-c.askedAround > g.electionTimeout() {
		c.askedAround = now
		for _, m := range ms.Members {
			if m.ID != g.cfg.NodeID {
				g.cfg.Transport.Send(m.ID, LaneControl, encodeJSON(frameAsk, request{Status: true}))
			}
		}
	}
}

// led says whether there is a leader, as far as this node knows. Raft itself takes a learner to have the
// last one for ever.
func (g *Group) led() bool {
	return g.loop.lead != raft.None && (g.loop.role != raft.StateFollower || g.heardOf(g.loop.lead))
}

// measure goes on with the round of a learner, whose log is known to reach match.
func (g *Group) measure(id, match uint64) {
	now, last := g.cfg.Clock(), g.cfg.Log.lastIndex()
	r := g.loop.change.rounds[id]
	if r == nil {
		r = &catchUp{goal: last, since: now}
		g.loop.change.rounds[id] = r
	}
	inTime := now-r.since <= g.electionTimeout()
	switch {
	case match >= r.goal:
		*r = catchUp{goal: last, since: now, done: inTime}
	case !inTime:
		r.done = false
	}
}

// applyChange tells raft of a change that has been applied.
func (g *Group) applyChange(c Change, cc *pb.ConfChange) {
	l := &g.loop
	id := c.Member.ID
	l.rn.ApplyConfChange(cc)
	if c.Op == OpReplace {
		// A leader takes the progress of a member to be only ever growing, and would neither send it old
		// entries nor refrain from telling it of commits that it does not have: out with it and in again.
		// It is a learner by now, so that no majority is another one in between.
		l.rn.ApplyConfChange(&pb.ConfChange{Type: pb.ConfChangeRemoveNode.Enum(), NodeId: new(id)})
		l.rn.ApplyConfChange(cc)
	}
	// A lease was granted by a majority of the members of its time. Each one shares a node with every
	// majority of the members after one change, but not after two.
	g.leaseUntil.Store(0)
	l.change.at = g.cfg.Clock()
	if c.Op == OpRemove || c.Op == OpReplace {
		delete(l.change.heard, id)
		delete(l.change.rounds, id)
		delete(l.notices, id)
		delete(l.check.bad, id)
		delete(l.check.answers, id)
		delete(l.check.doubtful, id)
		delete(l.space.reports, id)
		g.refusals.forget(id)
	}
	g.logger.Info("members changed", zap.String("change", string(c.Op)), zap.Uint64("node", id))
}
