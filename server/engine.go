package server

import (
	"context"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// Engine is the replicated store behind the server.
type Engine interface {
	// Do executes the calls in their order and fills the replies. With a write among them the whole
	// request takes one place in the log; without one it is a linearizable read, or a local one if the
	// request or the engine's configuration allows that. It blocks for a bounded time. After an error no
	// reply counts. The errors are command.ErrNoLeader, command.ErrStale, command.ErrClosed and
	// command.ErrCorrupt, after which nothing was executed, command.ErrUncertain, after which the engine
	// may still hold the request, and those of reading the store.
	Do(req *fsm.Request) error
	// Observe has the observer told what this node applies from now on.
	Observe(o fsm.Observer)
	// Broadcast sends a message to all other nodes, which get it at most once and in order. It must not wait.
	Broadcast(message []byte)
	// Listen has the audience told what other nodes broadcast from now on.
	Listen(a command.Audience)
	Status() command.Status
	// Memory says how large the data set is, and its limit. It must not wait.
	Memory() fsm.Memory
	// Settings returns those of the cluster. It must not wait.
	Settings() fsm.Settings
	// Version is that of the cluster: see command.Spec.
	Version() uint32
	// View says who leads. It is asked for each command, and must not wait.
	View() command.View
	// Members lists the members without what only the leader knows. It must not wait.
	Members() []command.Member
	// Progress asks the leader how far each member is.
	Progress(ctx context.Context) ([]command.Member, error)
	// Staleness is how old the state of this node may be: it has every write that was acknowledged longer ago. It is
	// negative while that is not known, and must not wait.
	Staleness() time.Duration
	// SetMaxStaleness bounds the age of what local reads return; 0 is no bound.
	SetMaxStaleness(limit time.Duration)
	// Raft executes a subcommand of RAFT.
	Raft(ctx context.Context, args [][]byte) resp.Reply
	// Snapshot returns when the state is in a new snapshot.
	Snapshot(ctx context.Context) error
	// WaitReplicas waits until n other nodes have everything on disk that was acknowledged so far. It
	// returns how many have it, also when the context has ended first.
	WaitReplicas(ctx context.Context, n int) (int, error)
}
