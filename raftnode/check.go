package raftnode

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// Replicas check each other. About every two election timeouts the leader takes the last entry that it
// has applied and asks all members for the hash of their state right after it, which must be the
// same everywhere. A node whose hash differs from that of a majority is corrupt, the leader itself
// included. Where states differ and no majority shows which is right, not even after some more
// rounds, every node that has answered is taken to be corrupt.
//
// A corrupt node says so durably. Its user stops serving its state. Its log is as good as any, so that
// it still stores entries, acknowledges them and votes; but it does not campaign, gives leadership away
// when it has it, and sends no snapshots.

const (
	// checkElections is the time between two rounds, in election timeouts.
	checkElections = 2
	// undecidedMax is how many rounds in a row may end without a majority for one state, when states
	// differ: a member that could decide may just be starting again.
	undecidedMax = 3
)

// What a member answers in a frameCheckResp.
const (
	checkAnswer  = 0 // its hash
	checkCorrupt = 1 // that it is known to be corrupt
)

// What a frameVerdict says of its receiver.
const (
	verdictProven = 0 // a majority has another hash
	verdictDoubt  = 1 // states differ, and nobody knows which is right
)

// checkState is the loop's part of checking.
type checkState struct {
	// As leader: the round under way.
	index     uint64 // the entry after which states are compared, 0: none
	since     time.Duration
	answers   map[uint64]uint64 // member -> its hash
	undecided int               // rounds in a row that did not show which state is right
	bad       map[uint64]bool   // members that are corrupt

	// As follower: what the leader asked and this node could not answer yet, 0: nothing.
	askedBy, asked uint64

	// The members that this node takes to be as doubtful as itself, with the entry that showed it,
	// until they say that they know. Nobody else would find out: this node does not judge any more.
	doubtful map[uint64]uint64
	repeated time.Duration
}

// Corrupt returns why this node's state is not to be relied on, or "".
func (g *Group) Corrupt() string {
	if why := g.corrupt.Load(); why != nil {
		return *why
	}
	return ""
}

// Condemn says that this node's state was found not to be what the log has made of it. It is never
// taken back: the node's directory has to be replaced.
func (g *Group) Condemn(why string) {
	g.call(func() { g.condemn(why) })
}

func (g *Group) condemn(why string) {
	if !g.corrupt.CompareAndSwap(nil, &why) {
		return
	}
	g.logCorrupt(why)
	if err := g.cfg.Log.MarkCorrupt(why); err != nil {
		g.fail(err)
		return
	}
	_ = g.transfer(0) // where there is nobody to take over it leads on, and tries again
}

func (g *Group) logCorrupt(why string) {
	g.logger.Error("CORRUPT: this node does not serve its state any more; replace its data directory",
		zap.Uint64("node", g.cfg.NodeID), zap.String("why", why))
}

// muted says that a message of raft is not sent: a corrupt node does not ask for votes.
func (g *Group) muted(m *pb.Message) bool {
	t := m.GetType()
	return (t == pb.MsgVote || t == pb.MsgPreVote) && g.Corrupt() != ""
}

// tickChecks begins and ends rounds, as the leader, and answers questions that had to wait.
func (g *Group) tickChecks() {
	l := &g.loop
	c := &l.check
	g.answerCheck()
	g.repeatDoubts()
	if l.role != raft.StateLeader {
		c.index, c.answers, c.undecided, c.bad = 0, nil, 0, nil
		return
	}
	if g.cfg.Clock()-c.since < g.checkEvery() {
		return
	}
	c.since = g.cfg.Clock()
	if g.Corrupt() != "" { // it leads because nobody else could; perhaps now
		_ = g.transfer(0)
		return
	}
	g.endRound()
	g.beginCheck()
}

func (g *Group) checkEvery() time.Duration {
	return time.Duration(checkElections*g.cfg.ElectionTicks) * g.cfg.TickInterval
}

func (g *Group) beginCheck() {
	c := &g.loop.check
	ms := g.members.Load()
	index := g.applied.Load()
	hash, ok := g.cfg.Machine.Hash(index)
	if !ok || len(ms.Members) == 1 {
		return
	}
	c.index, c.answers = index, map[uint64]uint64{g.cfg.NodeID: hash}
	for _, m := range ms.Members {
		if m.ID != g.cfg.NodeID {
			g.cfg.Transport.Send(m.ID, LaneControl, numbers(frameCheck, index))
		}
	}
}

// decodeCheck turns a frame of a round into what the loop is to do about it, or nil.
func (g *Group) decodeCheck(from uint64, kind byte, body []byte) func() {
	var index, hash, third uint64
	switch {
	case kind == frameCheck && decodeNumbers(body, &index):
		return func() { g.takeCheck(from, index) }
	case kind == frameCheckResp && decodeNumbers(body, &index, &hash, &third):
		return func() { g.takeCheckResp(from, index, hash, third) }
	case kind == frameVerdict && decodeNumbers(body, &index, &hash, &third):
		return func() { g.takeVerdict(from, index, hash, third) }
	}
	return nil
}

// takeCheck is the leader's question.
func (g *Group) takeCheck(from, index uint64) {
	c := &g.loop.check
	c.askedBy, c.asked = from, index
	g.answerCheck()
}

// answerCheck answers the leader's last question, unless this node has yet to apply the entry. What
// is too long ago stays without an answer.
func (g *Group) answerCheck() {
	c := &g.loop.check
	if c.askedBy == 0 {
		return
	}
	applied := g.applied.Load() // before the hash is looked for
	if g.Corrupt() != "" {
		g.cfg.Transport.Send(c.askedBy, LaneControl, numbers(frameCheckResp, c.asked, 0, checkCorrupt))
	} else if hash, ok := g.cfg.Machine.Hash(c.asked); ok {
		g.cfg.Transport.Send(c.askedBy, LaneControl, numbers(frameCheckResp, c.asked, hash, checkAnswer))
	} else if applied < c.asked {
		return
	}
	c.askedBy, c.asked = 0, 0
}

// takeCheckResp is a member's answer.
func (g *Group) takeCheckResp(from, index, hash, kind uint64) {
	c := &g.loop.check
	if kind == checkCorrupt {
		delete(c.doubtful, from)
	}
	if g.loop.role != raft.StateLeader {
		return
	}
	if kind == checkCorrupt {
		g.noteCorrupt(from)
		return
	}
	if index != c.index || c.answers == nil {
		return
	}
	delete(c.bad, from) // it was replaced
	c.answers[from] = hash
	g.judge()
}

func (g *Group) noteCorrupt(id uint64) {
	c := &g.loop.check
	if c.bad == nil {
		c.bad = make(map[uint64]bool)
	}
	if !c.bad[id] {
		c.bad[id] = true
		g.logger.Error("a member is corrupt: replace its data directory", zap.Uint64("node", id))
	}
}

// judge looks for a majority, and for those that differ from it.
func (g *Group) judge() {
	c := &g.loop.check
	right, ok := majority(g.members.Load().Members, c.answers)
	if !ok {
		return
	}
	c.undecided = 0
	if c.answers[g.cfg.NodeID] == right {
		g.checked.Store(c.index)
	}
	for id, hash := range c.answers {
		if hash != right {
			g.accuse(id, right)
		}
	}
}

// endRound ends a round that may have shown that states differ, but not which is right.
func (g *Group) endRound() {
	c := &g.loop.check
	if _, ok := majority(g.members.Load().Members, c.answers); !ok && differ(c.answers) {
		if c.undecided++; c.undecided >= undecidedMax {
			g.doubt()
		}
	} else {
		c.undecided = 0
	}
	c.index, c.answers = 0, nil
}

// accuse tells a member, or this node itself, that it is corrupt, and the hash of a majority. If that
// gets lost, the next round comes to the same.
func (g *Group) accuse(id, right uint64) {
	c := &g.loop.check
	if id == g.cfg.NodeID {
		g.takeVerdict(id, c.index, right, verdictProven)
		return
	}
	g.noteCorrupt(id)
	g.cfg.Transport.Send(id, LaneControl, numbers(frameVerdict, c.index, right, verdictProven))
}

// doubt takes all that have answered to be corrupt, this node last.
func (g *Group) doubt() {
	c := &g.loop.check
	c.doubtful = make(map[uint64]uint64)
	for id := range c.answers {
		if id != g.cfg.NodeID {
			g.noteCorrupt(id)
			c.doubtful[id] = c.index
		}
	}
	c.repeated = g.cfg.Clock() - g.checkEvery()
	g.repeatDoubts()
	g.takeVerdict(g.cfg.NodeID, c.index, 0, verdictDoubt)
}

func (g *Group) repeatDoubts() {
	c := &g.loop.check
	if len(c.doubtful) == 0 || g.cfg.Clock()-c.repeated < g.checkEvery() {
		return
	}
	c.repeated = g.cfg.Clock()
	for id, index := range c.doubtful {
		g.cfg.Transport.Send(id, LaneControl, numbers(frameVerdict, index, 0, verdictDoubt))
	}
}

// takeVerdict is another node's word, or this node's own, that this node is corrupt.
func (g *Group) takeVerdict(from, index, right, kind uint64) {
	hash, ok := g.cfg.Machine.Hash(index)
	if kind == verdictDoubt {
		g.condemn(fmt.Sprintf("the states of the nodes differ after log entry %d, and no majority shows which "+
			"is right", index))
		if from != g.cfg.NodeID {
			g.cfg.Transport.Send(from, LaneControl, numbers(frameCheckResp, index, 0, checkCorrupt))
		}
	} else if ok && hash != right {
		g.condemn(fmt.Sprintf("after log entry %d the state has hash %016x, and %016x on a majority of the nodes",
			index, hash, right))
	}
}

// majority returns the hash that more than half of all voters have, if there is one.
func majority(members []Member, answers map[uint64]uint64) (uint64, bool) {
	votes, voters := make(map[uint64]int), 0
	for _, m := range members {
		if m.Learner {
			continue
		}
		voters++
		if hash, ok := answers[m.ID]; ok {
			votes[hash]++
		}
	}
	for hash, n := range votes {
		if n > voters/2 {
			return hash, true
		}
	}
	return 0, false
}

// differ says whether the answers are not all the same.
func differ(answers map[uint64]uint64) bool {
	distinct := make(map[uint64]bool)
	for _, hash := range answers {
		distinct[hash] = true
	}
	return len(distinct) > 1
}
