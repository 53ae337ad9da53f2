package command

import (
	"bytes"

	"redoubt/fsm"
	"redoubt/resp"
)

const clusterAdmin = Admin | Stale | NoAsyncLoading

// notForClusters is why commands that change slots or nodes are refused.
const notForClusters = "Always an error: RAFT administers the cluster."

var clusterCommands = []Spec{
	{Name: "CLUSTER", Arity: -2, Group: GroupCluster, Since: "3.0.0", Complexity: "as the subcommand",
		Summary: "Shows the nodes as a Redis Cluster of one shard, on nodes with cluster-face.",
		Help: []string{
			"COUNT-FAILURE-REPORTS <node-id>", "    Returns 0: failures are found by raft.",
			"COUNTKEYSINSLOT <slot>", "    Returns the number of keys in a slot.",
			"FAILOVER [FORCE|TAKEOVER]", "    Makes this node the leader.",
			"GETKEYSINSLOT <slot> <count>", "    Returns some keys of a slot.",
			"INFO", "    Returns the state of the cluster.",
			"KEYSLOT <key>", "    Returns the slot of a key.",
			"LINKS", "    Returns the connections to the other nodes.",
			"MYID", "    Returns the id of this node.",
			"MYSHARDID", "    Returns the id of the shard that all nodes belong to.",
			"NODES", "    Returns a line for each node:",
			"    <id> <ip:port@peer port> <flags> <master> <ping> <pong> <epoch> <link> <slots>",
			"REPLICAS <node-id>", "    Returns the lines of the followers.",
			"SHARDS", "    Returns the nodes of the one shard, which has all slots.",
			"SLOTS", "    Returns the addresses of the leader and its followers.",
		},
		Sub: []Spec{
			clusterRefused("ADDSLOTS", -3), clusterRefused("ADDSLOTSRANGE", -4),
			clusterRefused("BUMPEPOCH", 2, tipsTime...),
			clusterSpec("COUNT-FAILURE-REPORTS", 3, Admin|Stale, "3.0.0", tipsTime,
				"Returns how many nodes report a failure of a node, which is 0."),
			clusterSpec("COUNTKEYSINSLOT", 3, Stale, "3.0.0", nil, "Counts the keys of a hash slot."),
			clusterRefused("DELSLOTS", -3), clusterRefused("DELSLOTSRANGE", -4),
			clusterSpec("FAILOVER", -2, clusterAdmin, "3.0.0", nil, "Makes this node the leader."),
			clusterRefused("FLUSHSLOTS", 2), clusterRefused("FORGET", 3),
			clusterSpec("GETKEYSINSLOT", 4, Stale, "3.0.0", tipsTime, "Returns keys of a hash slot."),
			clusterSpec("HELP", 2, Loading|Stale, "5.0.0", nil, "Lists the subcommands."),
			clusterSpec("INFO", 2, Stale, "3.0.0", tipsTime, "Returns the state of the cluster."),
			clusterSpec("KEYSLOT", 3, Stale, "3.0.0", nil, "Returns the hash slot of a key."),
			clusterSpec("LINKS", 2, Stale, "7.0.0", tipsTime, "Returns the connections to other nodes."),
			clusterRefused("MEET", -4),
			clusterSpec("MYID", 2, Stale, "3.0.0", nil, "Returns the id of the node."),
			clusterSpec("MYSHARDID", 2, Stale, "7.2.0", tipsTime, "Returns the id of the shard."),
			clusterSpec("NODES", 2, Stale, "3.0.0", tipsTime, "Returns the nodes, a line for each."),
			clusterSpec("REPLICAS", 3, Admin|Stale, "5.0.0", tipsTime, "Returns the followers of the leader."),
			clusterRefused("REPLICATE", 3),
			{Name: "CLUSTER RESET", Arity: -2, Flags: Admin | NoScript | Stale, Group: GroupCluster,
				Since: "3.0.0", Complexity: "O(1)", Summary: "Not supported.", Differs: notForClusters},
			clusterSpec("SAVECONFIG", 2, clusterAdmin, "3.0.0", nil,
				"Does nothing: what the cluster agreed on is always on disk."),
			clusterRefused("SET-CONFIG-EPOCH", 3), clusterRefused("SETSLOT", -4),
			clusterSpec("SHARDS", 2, Loading|Stale, "7.0.0", tipsTime, "Returns the nodes of the one shard."),
			deprecated(clusterSpec("SLAVES", 3, Admin|Stale, "3.0.0", tipsTime,
				"Returns the followers of the leader."), "5.0.0", "`CLUSTER REPLICAS`"),
			deprecated(clusterSpec("SLOTS", 2, Loading|Stale, "3.0.0", tipsTime,
				"Returns the addresses of the leader and its followers."), "7.0.0", "`CLUSTER SHARDS`"),
		}},
	{Name: "ASKING", Arity: 1, Flags: Fast, Group: GroupCluster, Categories: CatConnection,
		Since: "3.0.0", Complexity: "O(1)", Summary: "Does nothing: slots never move."},
	{Name: "READONLY", Arity: 1, Flags: Loading | Stale | Fast, Group: GroupCluster,
		Categories: CatConnection, Since: "3.0.0", Complexity: "O(1)",
		Summary: "Lets a follower answer reads of this connection from what it has, up to max-staleness old.",
		Differs: "Works without cluster-face, too."},
	{Name: "READWRITE", Arity: 1, Flags: Loading | Stale | Fast, Group: GroupCluster,
		Categories: CatConnection, Since: "3.0.0", Complexity: "O(1)", Summary: "Undoes READONLY.",
		Differs: "Works without cluster-face, too."},
	{Name: "SLOTCOUNT", Arity: 2, Flags: ReadOnly | Scan | Internal, Group: GroupCluster, Since: "0.2.0",
		Complexity: "O(N), N keys of the slot", Summary: "Counts the keys of a slot.", Run: cmdSlotCount},
	{Name: "SLOTKEYS", Arity: 3, Flags: ReadOnly | Scan | Internal, Group: GroupCluster, Since: "0.2.0",
		Complexity: "O(N), N keys", Summary: "Returns keys of a slot.", Run: cmdSlotKeys},
}

func clusterSpec(name string, arity int, flags Flags, since string, tips []string, summary string) Spec {
	return Spec{Name: "CLUSTER " + name, Arity: arity, Flags: flags, Group: GroupCluster, Since: since,
		Complexity: "O(N), N nodes or keys", Tips: tips, Summary: summary}
}

// clusterRefused is a subcommand that would change what raft alone may change.
func clusterRefused(name string, arity int, tips ...string) Spec {
	s := clusterSpec(name, arity, clusterAdmin, "3.0.0", tips, "Not supported.")
	s.Differs = notForClusters
	return s
}

func deprecated(s Spec, since, replacedBy string) Spec {
	s.DeprecatedSince, s.ReplacedBy = since, replacedBy
	return s
}

// parseSlot reads a slot that the server has checked.
func parseSlot(arg []byte) (uint16, resp.Reply) {
	n, ok := parseInt(arg)
	if !ok || n < 0 || n >= fsm.Slots {
		return 0, errNotInteger
	}
	return uint16(n), resp.Reply{}
}

func cmdSlotCount(tx *fsm.Txn, args [][]byte) resp.Reply {
	slot, bad := parseSlot(args[1])
	if bad.IsError() {
		return bad
	}
	count := int64(0)
	tx.ScanSlot(slot, func([]byte) bool {
		count++
		return true
	})
	return resp.NewInt(count)
}

func cmdSlotKeys(tx *fsm.Txn, args [][]byte) resp.Reply {
	slot, bad := parseSlot(args[1])
	if bad.IsError() {
		return bad
	}
	left, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	keys := []resp.Reply{}
	if left > 0 {
		tx.ScanSlot(slot, func(key []byte) bool {
			keys = append(keys, resp.NewBulk(bytes.Clone(key)))
			left--
			return left > 0
		})
	}
	return resp.NewArray(keys)
}
