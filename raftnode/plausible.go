package raftnode

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// termMax is more elections than there will ever be. Raft adds to terms, and panics when one
// overflows.
const termMax = 1 << 56

// wellFormed says whether a raft message of a peer can be true at all, whatever this node knows.
func wellFormed(m *pb.Message) bool {
	if m.GetTerm() == 0 || m.GetTerm() > termMax {
		return false
	}
	last := m.GetLogTerm()
	for i, e := range m.GetEntries() {
		if e.GetIndex() != m.GetIndex()+1+uint64(i) || e.GetIndex() == 0 || !knownType(e) ||
			e.GetTerm() == 0 || e.GetTerm() < last || e.GetTerm() > m.GetTerm() {
			return false
		}
		last = e.GetTerm()
	}
	if n := len(m.GetContext()); m.GetType() == pb.MsgHeartbeatResp && n != 0 && n != 8 {
		return false // raft reads 8 bytes if there are any
	}
	return true
}

// knownType says whether an entry is of a type that this node logs itself, and whether raft can apply
// it if it is a change of the members.
func knownType(e *pb.Entry) bool {
	if e.GetType() == pb.EntryConfChange {
		_, _, err := decodeChange(e.GetData())
		return err == nil
	}
	return e.GetType() == pb.EntryNormal
}

// soundConf says whether raft can take over the members that come with a snapshot; it panics on
// others.
func soundConf(cs *pb.ConfState, self uint64) bool {
	if len(cs.GetVotersOutgoing()) > 0 || len(cs.GetLearnersNext()) > 0 || cs.GetAutoLeave() || len(cs.GetVoters()) == 0 {
		return false // members never change jointly here
	}
	all := slices.Concat(cs.GetVoters(), cs.GetLearners())
	slices.Sort(all)
	return len(slices.Compact(slices.Clone(all))) == len(all) && all[0] != 0 && slices.Contains(all, self)
}

// acceptable says whether m can be the header of a snapshot from a peer. It leaves of the members in it
// what raft knows: raft panics when it meets fields of another version there.
func (g *Group) acceptable(m *pb.Message, from uint64) bool {
	meta := m.GetSnapshot().GetMetadata()
	if cs := meta.GetConfState(); len(cs.GetVotersOutgoing())+len(cs.GetLearnersNext()) == 0 && cs != nil {
		meta.ConfState = &pb.ConfState{Voters: cs.GetVoters(), Learners: cs.GetLearners()}
	}
	return m.GetType() == pb.MsgSnap && m.GetFrom() == from && m.GetTo() == g.cfg.NodeID && wellFormed(m) &&
		meta.GetIndex() != 0 && meta.GetTerm() != 0 && meta.GetTerm() <= m.GetTerm() && len(m.GetEntries()) == 0 &&
		soundConf(meta.GetConfState(), g.cfg.NodeID)
}

// contradiction notes since when a leader has been telling of commits that this node does not have.
type contradiction struct {
	since time.Duration
	on    bool
}

// plausible says whether a message of a peer agrees with what this node knows. Raft takes peers at
// their word and panics, or waits for ever, when it can't be true.
func (g *Group) plausible(m *pb.Message) bool {
	l := &g.loop
	switch m.GetType() {
	case pb.MsgHeartbeat:
		return g.plausibleHeartbeat(m)
	case pb.MsgAppResp: // of entries that were sent, so that the log has them
		return l.role != raft.StateLeader || m.GetTerm() != l.term || m.GetReject() ||
			m.GetIndex() <= max(l.lastIndex, g.cfg.Log.lastIndex())
	case pb.MsgHeartbeatResp: // its context is the number of a round of reads
		return len(m.GetContext()) == 0 || m.GetTerm() != l.term ||
			binary.LittleEndian.Uint64(m.GetContext()) <= l.rounds
	}
	return true
}

// plausibleHeartbeat refuses a commit index beyond this node's log. A leader sends only what this
// node acknowledged in its term, and so has on disk; a leader that keeps to it shows that this node
// lost what it had acknowledged, which stops it.
func (g *Group) plausibleHeartbeat(m *pb.Message) bool {
	last := g.cfg.Log.lastIndex()
	if m.GetCommit() <= last || m.GetTerm() < g.loop.rn.BasicStatus().HardState.GetTerm() {
		g.loop.contradicted.on = false
		return true
	}
	c, now := &g.loop.contradicted, g.cfg.Clock()
	if !c.on {
		*c = contradiction{since: now, on: true}
		g.logger.Error("heartbeat refused: its commit index is beyond this node's log", zap.Uint64("from", m.GetFrom()),
			zap.Uint64("commit", m.GetCommit()), zap.Uint64("last", last))
	}
	if now-c.since > g.cfg.RequestTimeout {
		g.fail(fmt.Errorf("leader %d holds that this node has acknowledged log index %d, but its log ends at %d: "+
			"the log was damaged, truncated or lost", m.GetFrom(), m.GetCommit(), last))
	}
	return false
}

// dialable says whether an address that a member announced can be connected to in principle: one that
// can't would be in the log of every node for good.
func dialable(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port != ""
}

// applicable says whether all that a node forwards can be applied.
func (g *Group) applicable(from uint64, f forward) bool {
	for _, payload := range f.payloads {
		if g.cfg.Check == nil {
			break
		}
		if err := g.cfg.Check(payload); err != nil {
			g.logger.Error("forwarded proposals refused", zap.Uint64("from", from), zap.Error(err))
			return false
		}
	}
	return true
}
