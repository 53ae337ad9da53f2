package command

import "redoubt/fsm"

// Member is one member of the cluster as a node knows it.
type Member struct {
	ID          uint64
	RaftAddr    string
	ClientAddr  string
	Voter       bool // learners have no vote
	Leader      bool
	Self        bool
	Match       uint64 // last log index known to be on it; only the leader knows
	Lag         uint64 // log entries that it has yet to receive; only the leader knows
	Active      bool   // heard from lately
	Incarnation uint64 // of its data directory
}

// Status is what INFO, ROLE and RAFT STATUS report of a node.
type Status struct {
	ClusterID, NodeID, Incarnation uint64

	Role             string // leader, follower, candidate or learner
	Term, Leader     uint64
	LeaderClientAddr string

	Commit, Applied, AppliedTerm         uint64
	FirstIndex, LastIndex, SnapshotIndex uint64
	DurableIndex                         uint64

	LogBytes           int64
	SnapshotInProgress bool
	LastSave           int64 // unix time in seconds
	LastSnapshotOK     bool

	Members []Member

	Elections  uint64 // that this node has won
	LeaseReads uint64 // reads answered under the leader's lease
	RoundReads uint64 // reads that needed a round of the quorum

	FSM fsm.Stats
}
