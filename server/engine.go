package server

import (
	"context"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// Engine is the replicated store behind the server.
type Engine interface {
	// Do executes the calls in their order and fills the replies. With a write among them the whole
	// request takes one place in the log; without one it is a linearizable read. It blocks for a
	// bounded time. After an error no reply counts. The errors are command.ErrNoLeader,
	// command.ErrClosed and command.ErrCorrupt, after which nothing was executed, command.ErrUncertain, after which the
	// engine may still hold the request, and those of reading the store.
	Do(req *fsm.Request) error
	Status() command.Status
	// Version is that of the cluster: see command.Spec.
	Version() uint32
	// Raft executes a subcommand of RAFT.
	Raft(ctx context.Context, args [][]byte) resp.Reply
	// Snapshot returns when the state is in a new snapshot.
	Snapshot(ctx context.Context) error
	// WaitReplicas waits until n other nodes have everything that was acknowledged so far. It
	// returns how many have it, also when the context has ended first.
	WaitReplicas(ctx context.Context, n int) (int, error)
}
