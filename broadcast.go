package redoubt

import (
	"redoubt/command"
	"redoubt/raftnode"
)

// Broadcast sends a message to all other nodes, beside the log: each gets it at most once, and in the order of this node.
// It waits for nothing.
func (n *Node) Broadcast(message []byte) { n.group.Broadcast(message) }

// Listen has an audience told what other nodes broadcast from now on, in place of the one before.
func (n *Node) Listen(a command.Audience) { n.audience.Store(&a) }

// listener hands on what the group hears.
type listener struct{ node *Node }

var _ raftnode.Audience = listener{}

// Heard is part of raftnode.Audience.
func (l listener) Heard(from uint64, messages [][]byte) {
	if a := l.node.audience.Load(); a != nil {
		(*a).Heard(from, messages)
	}
}

// Lost is part of raftnode.Audience.
func (l listener) Lost(from uint64) {
	if a := l.node.audience.Load(); a != nil {
		(*a).Lost(from)
	}
}
