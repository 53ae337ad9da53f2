package raftnode

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

var _ Handler = (*Group)(nil)

// Hello is part of Handler.
func (g *Group) Hello(to uint64) Hello {
	return Hello{Version: VersionMax, VersionMin: VersionMin, ClusterID: g.cfg.ClusterID, From: g.cfg.NodeID, To: to,
		Incarnation: g.cfg.Incarnation, Addr: g.cfg.RaftAddr}
}

// Admit is part of Handler. A node is known by its incarnation from the first contact on: by the
// log, and until the log has it by this node's own durable note. One that comes with another
// incarnation has forgotten its votes and the entries it acknowledged, so that talking to it could
// lose what a majority had stored.
func (g *Group) Admit(h Hello) error {
	if err := g.admitVersion(h); err != nil {
		return err
	}
	if h.ClusterID != g.cfg.ClusterID {
		return refuse(RefusedCluster, h.From, "node %d is of cluster %016x, this node of cluster %016x",
			h.From, h.ClusterID, g.cfg.ClusterID)
	}
	if h.To != g.cfg.NodeID {
		return refuse(RefusedNode, h.From, "node %d looks for node %d, this is node %d", h.From, h.To, g.cfg.NodeID)
	}
	if h.From == g.cfg.NodeID || h.From == 0 || h.From > idMax {
		return refuse(RefusedNode, h.From, "node %d is not another member of the cluster", h.From)
	}
	ms := g.members.Load()
	if ms.removed(h.From) {
		return refuse(RefusedRemoved, h.From, "node %d is not a member any more: ids up to %d were given", h.From, ms.LastID)
	}
	m, _ := ms.find(h.From) // if it is none, the part of the log that made it one has yet to come here
	known := m.Incarnation
	if known == 0 {
		var err error
		if known, err = g.cfg.Log.AdmitPeer(h.From, h.Incarnation); err != nil {
			return err
		}
	}
	if known != h.Incarnation {
		return refuse(RefusedIncarnation, h.From, "node %d was known as incarnation %016x and comes as %016x",
			h.From, known, h.Incarnation)
	}
	g.noteAddress(h)
	return nil
}

// Receive is part of Handler. A frame that makes no sense is dropped, as if the network had lost it,
// and so is one from a node that was removed after it had said hello.
func (g *Group) Receive(from uint64, frame []byte) {
	if len(frame) == 0 {
		return
	}
	if g.members.Load().removed(from) {
		g.cfg.Transport.Send(from, LaneControl, []byte{frameRemoved})
		return
	}
	body := frame[1:]
	if frame[0] == frameRaft {
		if m, ok := decodeRaft(body, from, g.cfg.NodeID); ok {
			g.mail.put(func(in *mail) { in.messages = append(in.messages, m) })
		}
		return
	}
	if frame[0] == frameCast {
		g.hear(from, body)
		return
	}
	if f := g.decodeCall(from, frame[0], body); f != nil {
		g.mail.put(func(in *mail) { in.calls = append(in.calls, f) })
	}
}

// decodeCall turns a frame into what the loop is to do about it, or nil.
func (g *Group) decodeCall(from uint64, kind byte, body []byte) func() {
	var a, b, c uint64
	switch kind {
	case frameForward:
		if f, ok := decodeForward(body); ok && g.applicable(from, f) {
			return func() { g.takeForward(from, f) }
		}
	case frameForwardAck:
		if decodeNumbers(body, &a, &b, &c) {
			return func() { g.takeForwardAck(a, b, c) }
		}
	case frameRead:
		if decodeNumbers(body, &a) {
			return func() { g.takeRead(from, a) }
		}
	case frameReadResp:
		if decodeNumbers(body, &a, &b) {
			return func() { g.takeReadResp(a, b) }
		}
	case frameAnnounce:
		var m Member
		if json.Unmarshal(body, &m) == nil {
			return func() { g.logMember(from, m) }
		}
	case frameAsk:
		var r request
		if json.Unmarshal(body, &r) == nil {
			return func() { g.takeAsk(from, r) }
		}
	case frameRemoved:
		return func() { g.fail(g.removed(fmt.Sprintf("node %d says so", from))) }
	case frameAnswer:
		var answered answer
		if json.Unmarshal(body, &answered) == nil {
			return func() { g.takeAnswer(answered) }
		}
	case frameSpace:
		if decodeNumbers(body, &a, &b) {
			return func() { g.takeSpace(from, a, b) }
		}
	case frameCheck, frameCheckResp, frameVerdict:
		return g.decodeCheck(from, kind, body)
	}
	return nil
}

// PeerUp is part of Handler.
func (g *Group) PeerUp(id uint64) {
	g.refusals.forget(id)
	g.logger.Info("peer connected", zap.Uint64("peer", id))
}

// PeerDown is part of Handler.
func (g *Group) PeerDown(id uint64, err error) {
	g.logger.Warn("peer lost", zap.Uint64("peer", id), zap.Error(err))
	g.mail.put(func(in *mail) {
		in.calls = append(in.calls, func() { g.loop.rn.ReportUnreachable(id) })
	})
}

// Refused is part of Handler. A node that was removed stops, and so does one whose incarnation is refused:
// it has lost its directory. But a peer that lags behind the log may not have heard yet that the node was
// replaced: what counts is that all peers refuse, or that one keeps to it.
func (g *Group) Refused(id uint64, err *RefusedError) {
	first, peers, kept := g.refusals.add(id, g.cfg.Clock())
	if err.Node != g.cfg.NodeID { // it is the peer that this node refuses
		if first {
			g.logger.Warn("peer refused", zap.Uint64("peer", id), zap.Error(err))
		}
		return
	}
	if first {
		g.logger.Error("peer refuses this node", zap.Uint64("peer", id), zap.Error(err))
	}
	all := peers >= len(g.members.Load().Members)-1
	switch {
	case err.Code == RefusedRemoved:
		g.fail(g.removed(fmt.Sprintf("node %d says so", id)))
	case err.Code == RefusedIncarnation && (all || kept > g.cfg.RequestTimeout):
		g.fail(&WipedError{NodeID: g.cfg.NodeID, Incarnation: g.cfg.Incarnation, Peer: id, Detail: err.Detail})
	}
}

// removed notes for good that this node is not a member any more, and returns what to stop with.
func (g *Group) removed(how string) error {
	if err := g.cfg.Log.MarkRemoved(); err != nil {
		return err
	}
	return &RemovedError{NodeID: g.cfg.NodeID, Detail: how}
}

// refusals remembers which peers refuse this node or are refused by it, and since when.
type refusals struct {
	mu    sync.Mutex
	since map[uint64]time.Duration
}

// add says whether the refusal is news, how many peers there are like this one, and for how long it has
// been one.
func (r *refusals) add(id uint64, now time.Duration) (first bool, peers int, kept time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since == nil {
		r.since = make(map[uint64]time.Duration)
	}
	since, known := r.since[id]
	if !known {
		since, r.since[id] = now, now
	}
	return !known, len(r.since), now - since
}

func (r *refusals) forget(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.since, id)
}

// WipedError says that this node came back under its id without its data.
type WipedError struct {
	NodeID, Incarnation uint64
	Peer                uint64 // the node that refused it
	Detail              string
}

func (e *WipedError) Error() string {
	return fmt.Sprintf("node %d is refused by node %d: %s. Its data directory was lost or replaced, so that "+
		"it may have forgotten votes and acknowledged writes, and must not return under its old id by itself. "+
		"Put the old directory back; or, if it is gone for good, send RAFT REPLACE %d %016x to another node and "+
		"start this one again", e.NodeID, e.Peer, e.Detail, e.NodeID, e.Incarnation)
}

// RemovedError says that this node was removed from its cluster.
type RemovedError struct {
	NodeID uint64
	Detail string
}

func (e *RemovedError) Error() string {
	return fmt.Sprintf("node %d was removed from the cluster (%s). It can't come back under its old id: to let this "+
		"machine join again, start it with --join on an empty data directory", e.NodeID, e.Detail)
}
