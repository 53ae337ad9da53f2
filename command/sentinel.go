package command

const notInRedisServer = "Not in Redis."

var sentinelCommands = []Spec{
	{Name: "SENTINEL", Arity: -2, Flags: Admin, Group: GroupSentinel, Since: "2.8.4",
		Complexity: "as the subcommand", Differs: notInRedisServer,
		Summary: "Shows the nodes to clients of Redis Sentinel: the leader as the master, every node as a Sentinel.",
		Help: []string{
			"CKQUORUM <master-name>", "    Says whether enough nodes are there to elect a leader.",
			"FAILOVER <master-name>", "    Hands leadership to another node.",
			"FLUSHCONFIG", "    Does nothing.",
			"GET-MASTER-ADDR-BY-NAME <master-name>", "    Returns host and port of the leader.",
			"IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
			"    Says whether the node with this address is down.",
			"MASTER <master-name>", "    Describes the leader.",
			"MASTERS", "    Describes the leader, as the only element of a list.",
			"MYID", "    Returns the id of this node.",
			"PENDING-SCRIPTS", "    Returns an empty list.",
			"REPLICAS <master-name>", "    Describes the followers.",
			"RESET <pattern>", "    Returns whether the name matches, and does nothing.",
			"SENTINELS <master-name>", "    Describes the other nodes.",
		},
		Sub: []Spec{
			sentinelSpec("CKQUORUM", 3, "Says whether enough nodes are there to elect a leader."),
			sentinelSpec("FAILOVER", 3, "Hands leadership to another node."),
			sentinelSpec("FLUSHCONFIG", 2, "Does nothing: what the cluster agreed on is always on disk."),
			sentinelSpec("GET-MASTER-ADDR-BY-NAME", 3, "Returns host and port of the leader."),
			sentinelSpec("HELP", 2, "Lists the subcommands."),
			sentinelSpec("IS-MASTER-DOWN-BY-ADDR", 6, "Says whether a node is down."),
			sentinelSpec("MASTER", 3, "Describes the leader."),
			sentinelSpec("MASTERS", 2, "Describes the leader, as the only element of a list."),
			sentinelSpec("MONITOR", 6, "Refused: a cluster is one master."),
			sentinelSpec("MYID", 2, "Returns the id of the node."),
			sentinelSpec("PENDING-SCRIPTS", 2, "Returns an empty list."),
			sentinelSpec("REMOVE", 3, "Refused: a cluster is one master."),
			sentinelSpec("REPLICAS", 3, "Describes the followers."),
			sentinelSpec("RESET", 3, "Does nothing, and returns whether the name matches."),
			sentinelSpec("SENTINELS", 3, "Describes the other nodes."),
			sentinelSpec("SET", -5, "Refused: flags and CONFIG SET configure the nodes."),
			sentinelSpec("SLAVES", 3, "Describes the followers."),
		}},
}

func sentinelSpec(name string, arity int, summary string) Spec {
	return Spec{Name: "SENTINEL " + name, Arity: arity, Flags: Admin, Group: GroupSentinel, Since: "2.8.4",
		Complexity: "O(N), N nodes", Summary: summary, Differs: notInRedisServer}
}
