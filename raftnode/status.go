package raftnode

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// Stats counts what the group did since the start.
type Stats struct {
	Elections              atomic.Uint64 // won
	LeaseReads, RoundReads atomic.Uint64
	SnapshotsReceived      atomic.Uint64
}

// View is the part of a node's state that changes only with its role.
type View struct {
	Role         string // leader, follower or candidate
	Term, Leader uint64 // Leader is 0 when none is known
}

// Progress is what the leader knows of one member.
type Progress struct {
	Match  uint64 `json:"match"` // highest log index known to be durable there
	Active bool   `json:"active"`
	State  string `json:"state"`
	// Corrupt: its state was found to be wrong.
	Corrupt bool `json:"corrupt,omitempty"`
	// Space is how much room the member has for data, by its own word; empty when it has not said.
	Space string `json:"space,omitempty"`
}

// Status describes a Group.
type Status struct {
	View
	Commit, Applied, FirstIndex, LastIndex uint64
	LogBytes                               int64
	Snapshot                               Position
	LastSnapshot                           *SnapshotResult // nil if none was made since the start
	MakingSnapshot                         bool
	// Checked is the last entry after which this node, as leader, and a majority had the same state.
	Checked uint64
	Corrupt string // why this node's state is not to be relied on, or ""
	Members []Member
	Stats   *Stats
}

// View returns who leads, as far as this node knows.
func (g *Group) View() View { return *g.view.Load() }

// Members returns the members, ordered by id. The caller must not change them.
func (g *Group) Members() []Member { return g.members.Load().Members }

// Status returns a description that may be slightly old, without waiting for anything.
func (g *Group) Status() Status {
	first, _ := g.cfg.Log.FirstIndex()
	last, _ := g.cfg.Log.LastIndex()
	id, _ := g.cfg.Snapshots.Latest()
	return Status{View: *g.view.Load(), Commit: g.commit.Load(), Applied: g.applied.Load(), FirstIndex: first,
		LastIndex: last, LogBytes: g.cfg.Log.Bytes(), Snapshot: Position(id), LastSnapshot: g.snapDone.Load(),
		MakingSnapshot: g.makingNow.Load(), Checked: g.checked.Load(), Corrupt: g.Corrupt(),
		Members: slices.Clone(g.members.Load().Members), Stats: &g.stats}
}

func (g *Group) publishView() {
	g.view.Store(&View{Role: roleName(g.loop.role), Term: g.loop.term, Leader: g.loop.lead})
}

// statusResponse is a leader's answer to a frameStatus.
type statusResponse struct {
	ID       uint64              `json:"id"`
	Commit   uint64              `json:"commit"`
	Progress map[uint64]Progress `json:"progress"`
}

// Progress asks the leader how far each member is. Errors: ErrNoLeader when there is none, or none
// that answers within timeout; ErrClosed.
func (g *Group) Progress(timeout time.Duration) (commit uint64, members map[uint64]Progress, err error) {
	answer := make(chan statusResponse, 1)
	id := g.statusIDs.Add(1)
	g.statusWaiters.Store(id, answer)
	defer g.statusWaiters.Delete(id)
	if !g.call(func() { g.askStatus(id) }) {
		return 0, nil, ErrClosed
	}
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case resp := <-answer:
		return resp.Commit, resp.Progress, nil
	case <-limit.C:
		return 0, nil, ErrNoLeader
	case <-g.stop:
		return 0, nil, ErrClosed
	}
}

func (g *Group) askStatus(id uint64) {
	switch l := &g.loop; {
	case l.role == raft.StateLeader:
		g.takeStatusResp(g.leaderStatus(id))
	case l.lead != raft.None:
		g.cfg.Transport.Send(l.lead, LaneControl, numbers(frameStatus, id))
	}
}

func (g *Group) leaderStatus(id uint64) statusResponse {
	st := g.loop.rn.Status()
	resp := statusResponse{ID: id, Commit: st.HardState.GetCommit(), Progress: make(map[uint64]Progress)}
	for node, pr := range st.Progress {
		resp.Progress[node] = Progress{Match: pr.Match, Active: pr.RecentActive || node == g.cfg.NodeID,
			State: pr.State.String(), Space: g.spaceOf(node),
			Corrupt: g.loop.check.bad[node] || node == g.cfg.NodeID && g.Corrupt() != ""}
	}
	return resp
}

func (g *Group) takeStatus(from, id uint64) {
	if g.loop.role == raft.StateLeader {
		g.cfg.Transport.Send(from, LaneControl, encodeJSON(frameStatusResp, g.leaderStatus(id)))
	}
}

func (g *Group) takeStatusResp(resp statusResponse) {
	if answer, ok := g.statusWaiters.LoadAndDelete(resp.ID); ok {
		answer.(chan statusResponse) <- resp
	}
}

// Transfer asks that member to take over leadership (0: the follower that is furthest), and waits
// until another node leads than now. Errors say why not.
func (g *Group) Transfer(to uint64, timeout time.Duration) error {
	before := g.view.Load()
	if before.Leader == raft.None {
		return ErrNoLeader
	}
	if to != 0 {
		if m, ok := g.members.Load().find(to); !ok || m.Learner {
			return fmt.Errorf("node %d is not a voting member", to)
		}
		if to == before.Leader {
			return nil
		}
	}
	g.call(func() {
		if l := &g.loop; l.lead == g.cfg.NodeID {
			g.transfer(to)
		} else if l.lead != raft.None {
			g.cfg.Transport.Send(l.lead, LaneControl, numbers(frameTransfer, to))
		}
	})
	return g.poll(timeout, func() bool {
		v := g.view.Load()
		return v.Leader != raft.None && v.Term > before.Term && (to == 0 || v.Leader == to)
	})
}

// transfer begins to hand over, as the leader. The lease ends first, and for the whole term: the
// message that makes the other node call an election at once may be delivered late.
func (g *Group) transfer(to uint64) {
	l := &g.loop
	if l.role != raft.StateLeader || to == g.cfg.NodeID || l.check.bad[to] {
		return
	}
	if to == 0 {
		best := uint64(0)
		for id, pr := range l.rn.Status().Progress {
			if id != g.cfg.NodeID && !pr.IsLearner && pr.RecentActive && pr.Match >= best && !l.check.bad[id] {
				to, best = id, pr.Match
			}
		}
	}
	if to == 0 {
		return
	}
	l.leaseBarred = l.term
	g.leaseUntil.Store(0)
	l.rn.TransferLeader(to)
}

// Replace has the log say that the member id lost its data directory and that the node with this
// incarnation takes its place, and waits until this node has applied that.
func (g *Group) Replace(id, incarnation uint64, timeout time.Duration) error {
	m, ok := g.members.Load().find(id)
	if !ok || incarnation == 0 {
		return fmt.Errorf("node %d is not a member", id)
	}
	if m.Incarnation == incarnation {
		return nil
	}
	if v := g.View(); v.Leader == id {
		return fmt.Errorf("node %d leads: it did not lose its data", id)
	}
	g.call(func() {
		if l := &g.loop; l.lead == g.cfg.NodeID {
			g.replace(id, incarnation)
		} else if l.lead != raft.None {
			g.cfg.Transport.Send(l.lead, LaneControl, numbers(frameReplace, id, incarnation))
		}
	})
	return g.poll(timeout, func() bool {
		m, _ := g.members.Load().find(id)
		return m.Incarnation == incarnation
	})
}

// replace logs a replacement, as the leader.
func (g *Group) replace(id, incarnation uint64) {
	m := Member{ID: id, Incarnation: incarnation}
	if _, changes := g.members.Load().replaced(m); !changes || id == g.cfg.NodeID {
		return
	}
	_ = g.loop.rn.Propose(encodeJSON(entryReplace, m)) // who asked sees that nothing happens, and asks again
}

// poll waits until ok says so.
func (g *Group) poll(timeout time.Duration, ok func() bool) error {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	again := time.NewTicker(g.cfg.TickInterval / 4)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-limit.C:
			return ErrTimeout
		case <-g.stop:
			return ErrClosed
		}
	}
	return nil
}

// LoggedEntry describes one entry of the log for people.
type LoggedEntry struct {
	Position
	Kind      string // proposals, member, replace or election
	Time      int64  // leader's clock, ms; 0 when the entry has none
	Proposals [][]byte
	Bytes     int
}

// LogEntries returns the entries from index lo to hi, both included, as far as they are kept.
func (g *Group) LogEntries(lo, hi uint64, maxBytes uint64) ([]LoggedEntry, error) {
	first, _ := g.cfg.Log.FirstIndex()
	last, _ := g.cfg.Log.LastIndex()
	lo, hi = max(lo, first), min(hi, last)
	if lo > hi {
		return nil, nil
	}
	entries, err := g.cfg.Log.Entries(lo, hi+1, maxBytes)
	if err != nil {
		return nil, err
	}
	out := make([]LoggedEntry, 0, len(entries))
	for _, e := range entries {
		out = append(out, describe(e))
	}
	return out, nil
}

func describe(e *pb.Entry) LoggedEntry {
	d := LoggedEntry{Position: Position{e.GetIndex(), e.GetTerm()}, Kind: "election", Bytes: len(e.GetData())}
	if len(e.GetData()) == 0 {
		return d
	}
	switch e.GetData()[0] {
	case entryMember:
		d.Kind = "member"
	case entryReplace:
		d.Kind = "replace"
	case entryBatch:
		d.Kind = "proposals"
		d.Time, _, _ = decodeBatch(e.GetData(), func(_, _ uint64, payload []byte) {
			d.Proposals = append(d.Proposals, payload)
		})
	}
	return d
}
