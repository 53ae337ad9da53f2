// Package fsm is the replicated state machine: the keyspace of one raft group on Pebble.
//
// # The contract of determinism
//
// The state after entry i is a function of the entries 1..i and of nothing else. All nodes that
// applied the same entries hold the same rows, however the entries were cut into batches, whatever
// was cached, restarted or read in between, and whatever their clocks say. So inside Apply
//
//   - time is the entry's time, and never runs backwards;
//   - random numbers come from the entry's seed, its index and the number of the call;
//   - no map is walked to decide anything, and keys are walked in storage order;
//   - reads that a node runs for its own clients between writes leave nothing behind;
//   - numbers of keyspaces come from a counter in the state.
//
// For the same reason this package and the commands it runs use no clock, no math/rand, no network
// and no operating system beyond Pebble's file system.
//
// # How it is kept
//
// The engine runs without a log of its own: the raft log is its log. What an entry changes and the
// position of that entry go into one Pebble batch, so that after a crash the engine holds exactly
// the state of some earlier position (Applied says which) and the entries after it are applied
// again. Flush makes the present state durable, Durable says what is.
//
// One goroutine applies. Any number may read meanwhile: a Request is answered from one state, the
// one that a whole number of entries led to. The lock is held exclusively only while a finished
// batch is published.
//
// Each database keeps a sum over its rows, from which Hash is derived: replicas compare it. Check and
// Verify read all rows and add them up again.
//
// # Errors
//
// An error of Apply means that this replica's state is not to be relied on any more: the replica
// stops. A command function cannot turn an I/O error into a reply: the Txn remembers the first one
// and the machine throws the replies away. Damage that Pebble finds in the background comes back
// from the next Apply, Flush or Checkpoint.
package fsm
