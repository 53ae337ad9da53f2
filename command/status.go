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
	Corrupt     bool   // its state was found to be wrong; only the leader and the member know
	Version     uint32 // the newest that its build knows; 0 until it said so
	Space       string // room for data: ok, low or none; empty when the leader does not know
}

// View says who leads, as far as a node knows. It takes no time to ask for.
type View struct {
	Role         string // as in Status
	Term, Leader uint64 // Leader is 0 while none is known
	LeaderAddr   string // for clients; empty while it is not known
	// Live says that a question to the leader was answered within the last few heartbeats. A leader
	// that is not live may have died, and the node has yet to notice.
	Live bool
}

// Status is what INFO, ROLE and RAFT STATUS report of a node.
type Status struct {
	ClusterID, NodeID, Incarnation uint64

	Version, VersionMax uint32 // of the cluster, and the newest that this build knows

	Role             string // leader, follower, candidate or learner
	Term, Leader     uint64
	LeaderClientAddr string

	Commit, Applied, AppliedTerm         uint64
	FirstIndex, LastIndex, SnapshotIndex uint64
	DurableIndex                         uint64

	CheckedIndex uint64 // the last at which this node, as leader, and a majority had the same state
	Corrupt      string // why this node's state is not to be relied on, or ""

	StalenessMS    int64 // how old what this node has may be at most; negative: not known
	MaxStalenessMS int64 // above this, local reads are refused; 0: never

	LogBytes           int64
	SnapshotInProgress bool
	LastSave           int64 // unix time in seconds
	LastSnapshotOK     bool

	Members []Member

	Elections  uint64 // that this node has won
	LeaseReads uint64 // reads answered under the leader's lease
	RoundReads uint64 // reads that needed a round of the quorum

	Space       string // what the cluster has room for: ok (everything), low (no growth) or none
	NodeSpace   string // room on this node: ok, low or none
	FreeDisk    uint64 // bytes
	MinFreeDisk uint64 // bytes that are kept free

	FSM fsm.Stats
}
