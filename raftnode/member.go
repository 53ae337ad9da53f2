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
	// Promote says that the leader makes a voter of this learner as soon as it has caught up.
	Promote bool `json:"promote,omitempty"`
	// Version is the newest that its build knows: see version.go. 0 until it announced itself.
	Version uint32 `json:"version,omitempty"`
}

// membership is what the group itself keeps in the state machine, in the same batch as the effects
// of the entries up to the applied index.
type membership struct {
	ClusterID uint64   `json:"cluster_id"`
	Members   []Member `json:"members"` // ascending by ID
	// LastID is the highest id ever given. Those up to it that are no member's belong to nodes that were
	// removed, and are not given again; a higher one is of a member that this node has yet to hear of.
	LastID uint64 `json:"last_id,omitempty"`
	// Gone are the incarnations of the members that were removed last, the latest at the end.
	Gone []uint64 `json:"gone,omitempty"`
	// Version is that of the cluster; 0 is the first.
	Version uint32 `json:"version,omitempty"`
}

// goneMax is how many removed members are remembered: their requests to join are not under way for longer.
const goneMax = 64

// InitialMembership encodes the membership that a new cluster starts from. It is the state at
// InitialPosition, before any entry.
func InitialMembership(clusterID uint64, members []Member) ([]byte, error) {
	ms := membership{ClusterID: clusterID, Members: sorted(members)}
	ms.LastID = ms.Members[len(ms.Members)-1].ID
	return json.Marshal(ms)
}

// SucceedingMembership is InitialMembership for a new cluster that takes over the state of another one, whose
// membership was old. The version goes with the state, and must be one that this build knows.
func SucceedingMembership(old []byte, clusterID uint64, members []Member) ([]byte, error) {
	before, err := decodeMembership(old)
	if err != nil {
		return nil, err
	}
	ms := membership{ClusterID: clusterID, Members: sorted(members), Version: before.Version}
	ms.LastID = ms.Members[len(ms.Members)-1].ID
	return json.Marshal(ms)
}

func sorted(members []Member) []Member {
	return slices.SortedFunc(slices.Values(members), func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
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
	if err := known(ms.version()); err != nil {
		return ms, err
	}
	for _, m := range ms.Members { // states of the time before members could change do not have it
		ms.LastID = max(ms.LastID, m.ID)
	}
	return ms, nil
}

// Locate finds the member with this incarnation among what Group.Membership has returned.
func Locate(meta []byte, incarnation uint64) (clusterID, id uint64, err error) {
	ms, err := decodeMembership(meta)
	if err != nil {
		return 0, 0, err
	}
	for _, m := range ms.Members {
		if m.Incarnation == incarnation && incarnation != 0 {
			return ms.ClusterID, m.ID, nil
		}
	}
	return 0, 0, fmt.Errorf("no member has the incarnation %016x", incarnation)
}

// Others says whether there are members beside one, in what a StateMachine was given as the group's own.
func Others(meta []byte) (bool, error) {
	ms, err := decodeMembership(meta)
	return len(ms.Members) > 1, err
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
	m.Learner, m.Promote = old.Learner, old.Promote // an announcement says where a node is, not what it is
	if m == old {
		return ms, false
	}
	ms.Members = slices.Clone(ms.Members)
	ms.Members[i] = m
	return ms, true
}

// removed says whether id belonged to a member once, and does not any more.
func (ms membership) removed(id uint64) bool {
	_, is := ms.find(id)
	return !is && id <= ms.LastID
}

// voters counts the members that vote and that match.
func (ms membership) voters(match func(Member) bool) int {
	n := 0
	for _, m := range ms.Members {
		if !m.Learner && match(m) {
			n++
		}
	}
	return n
}

func everyMember(Member) bool { return true }

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
