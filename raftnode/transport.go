package raftnode

import "fmt"

// Lane is one of the independent streams to a peer. Frames of a lane keep their order; what is small
// and urgent does not wait behind what is large.
type Lane uint8

const (
	// LaneControl carries heartbeats, votes, acknowledgements and read barriers.
	LaneControl Lane = iota
	// LaneBulk carries log entries and forwarded proposals.
	LaneBulk
	// LaneCast carries what is told beside the log: see Group.Broadcast.
	LaneCast
	// Lanes is the number of lanes.
	Lanes
)

// Transport carries frames between the nodes of a group.
type Transport interface {
	// Start begins to receive, and to call handler.
	Start(handler Handler) error
	// SetPeers tells where each other node is reached.
	SetPeers(addrs map[uint64]string)
	// Send queues a frame. It never blocks, and may drop the frame when the peer can't take it. Nobody
	// changes frame from then on; it may be sent to others as well.
	Send(to uint64, lane Lane, frame []byte)
	// SendSnapshot opens a stream of its own to a peer and calls write with a function that sends one
	// chunk, which it does not hold on to. It returns nil when the peer has received and verified all of it.
	SendSnapshot(to uint64, write func(emit func(chunk []byte) error) error) error
	// Close ends all streams.
	Close() error
}

// Handler takes what a Transport receives. All methods may be called from several goroutines.
type Handler interface {
	// Hello returns what this node says of itself when a stream opens.
	Hello(to uint64) Hello
	// Admit decides whether the node that says hello may be talked to. It is asked by the node that
	// accepts a stream and by the one that opened it, before any frame is sent.
	Admit(hello Hello) error
	// Receive takes a frame; the handler owns it from then on.
	Receive(from uint64, frame []byte)
	// ReceiveSnapshot takes a snapshot; next returns io.EOF after the last chunk.
	ReceiveSnapshot(from uint64, next func() ([]byte, error)) error
	// PeerUp and PeerDown tell of streams to a peer; err says why it went down.
	PeerUp(id uint64)
	PeerDown(id uint64, err error)
	// Refused tells that a peer will not talk to this node, and why; again at every attempt.
	Refused(id uint64, err *RefusedError)
}

// Hello opens every stream between peers.
type Hello struct {
	Version     uint32 // the newest that From knows
	VersionMin  uint32 // the oldest
	ClusterID   uint64
	From, To    uint64
	Incarnation uint64 // of From
	// Addr is where From is reached: it may have moved since the log was told, or be a member that this
	// node has yet to hear of.
	Addr string `json:",omitempty"`
}

// RefusedError says why a node does not talk to another. Its codes travel between nodes.
type RefusedError struct {
	Code   RefusedCode
	Node   uint64 // who is refused
	Detail string
}

// RefusedCode tells apart the reasons of a refusal.
type RefusedCode uint8

// The reasons of a refusal.
const (
	RefusedCluster     RefusedCode = 1 // another cluster
	RefusedNode        RefusedCode = 2 // the stream was meant for another node id, or comes from none
	RefusedIncarnation RefusedCode = 3 // the node lost its data directory, or its id is in use twice
	RefusedVersion     RefusedCode = 4 // no common protocol version
	RefusedRemoved     RefusedCode = 5 // the node was removed from the cluster
)

func (e *RefusedError) Error() string { return e.Detail }

func refuse(code RefusedCode, node uint64, format string, args ...any) error {
	return &RefusedError{code, node, fmt.Sprintf(format, args...)}
}
