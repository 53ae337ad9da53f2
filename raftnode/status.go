package raftnode

import (
	"encoding/json"
	"errors"
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

// leaderStatus is what only the leader knows.
type leaderStatus struct {
	Commit   uint64              `json:"commit"`
	Progress map[uint64]Progress `json:"progress"`
}

// Progress asks the leader how far each member is. Errors: ErrNoLeader when there is none, or none
// that answers within timeout; ErrClosed.
func (g *Group) Progress(timeout time.Duration) (commit uint64, members map[uint64]Progress, err error) {
	a, err := g.ask(request{Status: true}, timeout, nil)
	switch {
	case errors.Is(err, ErrTimeout), err == nil && a.Status == nil:
		return 0, nil, ErrNoLeader
	case err != nil:
		return 0, nil, err
	}
	return a.Status.Commit, a.Status.Progress, nil
}

func (g *Group) leaderStatus() *leaderStatus {
	st := g.loop.rn.Status()
	s := &leaderStatus{Commit: st.HardState.GetCommit(), Progress: make(map[uint64]Progress)}
	for node, pr := range st.Progress {
		s.Progress[node] = Progress{Match: pr.Match, Active: g.heardOf(node), State: pr.State.String(),
			Space: g.spaceOf(node), Corrupt: g.loop.check.bad[node] || node == g.cfg.NodeID && g.Corrupt() != ""}
	}
	return s
}

// Transfer has that member take over leadership (0: the follower that is furthest), and waits until
// another node leads than now. Errors: as of ask.
func (g *Group) Transfer(to uint64, timeout time.Duration) error {
	before := g.view.Load()
	done := func() bool {
		v := g.view.Load()
		return v.Leader != raft.None && (to == 0 && v.Term > before.Term && v.Leader != before.Leader || to != 0 && v.Leader == to)
	}
	_, err := g.ask(request{Transfer: &to}, timeout, done)
	return err
}

// transfer begins to hand over, as the leader, or says why not. The lease ends first, and for the whole
// term: the message that makes the other node call an election at once may be delivered late.
func (g *Group) transfer(to uint64) error {
	l := &g.loop
	if l.role != raft.StateLeader || to == g.cfg.NodeID || l.rn.BasicStatus().LeadTransferee != raft.None {
		return nil // it is as wanted, or under way
	}
	progress, best := l.rn.Status().Progress, uint64(0)
	for _, m := range g.members.Load().Members {
		why := ""
		switch {
		case m.ID == g.cfg.NodeID, to != 0 && m.ID != to:
			continue
		case m.Learner:
			why = "is a learner"
		case l.check.bad[m.ID]:
			why = "is corrupt"
		case !g.heardOf(m.ID):
			why = "is not active"
		}
		if match := progress[m.ID].Match; why == "" && (best == 0 || match > progress[best].Match) {
			best = m.ID
		} else if why != "" && to != 0 {
			return fmt.Errorf("node %d %s", to, why)
		}
	}
	switch {
	case best == 0 && to != 0:
		return fmt.Errorf("node %d is not a member", to)
	case best == 0:
		return errors.New("no other voter is there to lead")
	}
	l.leaseBarred = l.term
	g.leaseUntil.Store(0)
	l.rn.TransferLeader(best)
	return nil
}

// Change changes the members, and returns the member that it is about once this node has applied it.
// Errors: *RefusalError, ErrNoLeader and ErrClosed, with no effect; ErrUncertain.
func (g *Group) Change(c Change, timeout time.Duration) (Member, error) {
	var m Member
	_, err := g.ask(request{Change: &c}, timeout, func() (done bool) {
		m, done = g.members.Load().after(c)
		removed := (*RemovedError)(nil)
		return done || c.Op == OpRemove && c.Member.ID == g.cfg.NodeID && errors.As(g.Err(), &removed)
	})
	if errors.Is(err, ErrTimeout) {
		err = ErrUncertain
	}
	return m, err
}

// after says whether the members are as c would have them, and returns the member that it is about.
func (ms membership) after(c Change) (Member, bool) {
	if c.Op == OpAdd {
		for _, m := range ms.Members {
			if m.Incarnation == c.Member.Incarnation && (m.Incarnation != 0 || m.RaftAddr == c.Member.RaftAddr) &&
				(c.Member.ID == 0 || c.Member.ID == m.ID) {
				return m, true
			}
		}
		return Member{}, false
	}
	m, is := ms.find(c.Member.ID)
	switch c.Op {
	case OpRemove:
		return Member{}, ms.removed(c.Member.ID)
	case OpPromote:
		return m, is && !m.Learner
	case OpDemote:
		return m, is && m.Learner && !m.Promote
	}
	return m, is && m.Incarnation == c.Member.Incarnation
}

// Membership encodes the members, for a node that is to be one of them.
func (g *Group) Membership() ([]byte, error) { return json.Marshal(g.members.Load()) }

// LoggedEntry describes one entry of the log for people.
type LoggedEntry struct {
	Position
	Kind      string // proposals, member, election, or the Op of a change of the members
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
	if e.GetType() == pb.EntryConfChange {
		c, _, _ := decodeChange(e.GetData())
		d.Kind = string(c.Op)
		return d
	}
	switch e.GetData()[0] {
	case entryMember:
		d.Kind = "member"
	case entryVersion:
		d.Kind = "version"
	case entryBatch:
		d.Kind = "proposals"
		d.Time, _, _ = decodeBatch(e.GetData(), func(_, _ uint64, payload []byte) {
			d.Proposals = append(d.Proposals, payload)
		})
	}
	return d
}
