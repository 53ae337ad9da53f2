// Package raftnode runs one raft group on one node: bytes are proposed on any node, and the same
// bytes are applied in the same order on all of them.
//
// A Group owns an etcd raft RawNode and three goroutines: the loop, which is the only one to touch
// the RawNode; the appender, which makes log entries durable; and the applier, which hands committed
// entries to the StateMachine. The appender and the applier are the two storage threads of raft's
// AsyncStorageWrites: messages to each are handled in order and never lost.
//
// # What becomes of a proposal
//
// A proposal is written into the log by the leader of one term T, together with the identity
// (origin, sequence) that the proposing node gave it. The origin applies the log as every node does,
// so it meets its own proposal there and answers from its own apply. Terms never decrease along the
// log; so once the origin has applied an entry of a term later than T without having met the
// proposal, the proposal is certainly not in the log and never will be, and can be proposed again.
// Until one of the two happens its outcome is unknown. A leader change with a working majority thus
// resolves every proposal, since a new leader's first act is an entry of its own term.
//
// # What a read sees
//
// See Group.ReadBarrier.
package raftnode
