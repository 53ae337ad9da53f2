package raftnode

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Member is one node of the group, as the log knows it.
type Member struct {
	ID uint64 `json:"id"`
	// RaftAddr is where its peers reach it, ClientAddr where clients do (empty until it announced itself).
	RaftAddr   string `json:"raft_addr"`
	ClientAddr string `json:"client_addr,omitempty"`
	// Incarnation is random and made with the data directory: a node that lost its directory, and
	// with it its votes and acknowledged entries, has another one. 0 until it announced itself.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Learner marks a member that gets the log but does not vote.
	Learner bool `json:"learner,omitempty"`
}

// membership is what the group itself keeps in the state machine, in the same batch as the effects
// of the entries up to the applied index.
type membership struct {
	ClusterID uint64   `json:"cluster_id"`
	Members   []Member `json:"members"` // ascending by ID
}

// InitialMembership encodes the membership that a new cluster starts from. It is the state at
// InitialPosition, before any entry.
func InitialMembership(clusterID uint64, members []Member) ([]byte, error) {
	ms := membership{ClusterID: clusterID, Members: slices.Clone(members)}
	slices.SortFunc(ms.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return json.Marshal(ms)
}

// InitialPosition is the log position that every node of a new cluster starts from. It is not 0, so
// that a node with nothing can be told from one that has the initial state.
var InitialPosition = Position{Index: 1, Term: 1}

// Members returns the members that the group's own data in a state names.
func Members(meta []byte) ([]Member, error) {
	ms, err := decodeMembership(meta)
	return ms.Members, err
}

func decodeMembership(meta []byte) (membership, error) {
	var ms membership
	if err := json.Unmarshal(meta, &ms); err != nil {
		return ms, fmt.Errorf("malformed membership in the state: %w", err)
	}
	if ms.ClusterID == 0 || len(ms.Members) == 0 {
		return ms, fmt.Errorf("membership in the state is empty: %q", meta)
	}
	return ms, nil
}

func (ms membership) find(id uint64) (Member, bool) {
	for _, m := range ms.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// with returns a copy in which m takes the place of the member of the same id. An incarnation that
// is known is never replaced: a member that forgot what it promised has to come as a new one.
func (ms membership) with(m Member) (membership, bool) {
	i := slices.IndexFunc(ms.Members, func(o Member) bool { return o.ID == m.ID })
	if i < 0 {
		return ms, false
	}
	old := ms.Members[i]
	if old.Incarnation != 0 && old.Incarnation != m.Incarnation {
		return ms, false
	}
	m.Learner = old.Learner // an announcement says where a node is, not what it is
	if m == old {
		return ms, false
	}
	ms.Members = slices.Clone(ms.Members)
	ms.Members[i] = m
	return ms, true
}

// replaced returns a copy in which the member of m's id has m's incarnation, and is where it says
// once it comes.
//
// This is safe although the member forgot its votes and what it acknowledged: the entry that says so
// is committed by a majority without that member, since the others refuse to talk to it until they
// have applied the entry. So each node of that majority holds all that was committed before; every
// later majority shares with it a node that did not forget. And whoever asks the member for a vote
// has applied the entry, so that it does so in a later term than any in which the member voted.
func (ms membership) replaced(m Member) (membership, bool) {
	i := slices.IndexFunc(ms.Members, func(o Member) bool { return o.ID == m.ID })
	if i < 0 || m.Incarnation == 0 || ms.Members[i].Incarnation == m.Incarnation {
		return ms, false
	}
	ms.Members = slices.Clone(ms.Members)
	ms.Members[i].Incarnation, ms.Members[i].ClientAddr = m.Incarnation, ""
	return ms, true
}

func (ms membership) confState() *pb.ConfState {
	cs := &pb.ConfState{}
	for _, m := range ms.Members {
		if m.Learner {
			cs.Learners = append(cs.Learners, m.ID)
		} else {
			cs.Voters = append(cs.Voters, m.ID)
		}
	}
	return cs
}

func (ms membership) peers(self uint64) map[uint64]string {
	peers := make(map[uint64]string, len(ms.Members))
	for _, m := range ms.Members {
		if m.ID != self {
			peers[m.ID] = m.RaftAddr
		}
	}
	return peers
}
