package command

const pubSubFlags = PubSub | NoScript | Loading | Stale

// Audience takes what other nodes publish. Its methods are called by one goroutine at a time, and must not wait.
type Audience interface {
	// Heard takes messages of another node in their order.
	Heard(from uint64, messages [][]byte)
	// Lost says that messages of that node may have been missed here; 0: of any.
	Lost(from uint64)
}

const (
	localCount = "Counts the subscribers of this node, as a node of Redis Cluster does; those of all nodes get the message."
	cutOff     = "Waits for a leader, as other commands do; after CLUSTERDOWN the connection is closed. When messages may have " +
		"been missed, the connection is closed: never are some left out in silence."
	ownClients = "Of this node, as in Redis Cluster."
)

var pubSubCommands = []Spec{
	pubSubSpec("PSUBSCRIBE", -2, "2.0.0", "Subscribes the connection to the channels that match patterns.", cutOff),
	pubSubSpec("PUNSUBSCRIBE", -1, "2.0.0", "Ends subscriptions to patterns, or all of them.", ""),
	pubSubSpec("SUBSCRIBE", -2, "2.0.0", "Subscribes the connection to channels.", cutOff),
	pubSubSpec("UNSUBSCRIBE", -1, "2.0.0", "Ends subscriptions to channels, or all of them.", ""),
	shardSpec(pubSubSpec("SSUBSCRIBE", -2, "7.0.0", "Subscribes the connection to shard channels.", cutOff)),
	shardSpec(pubSubSpec("SUNSUBSCRIBE", -1, "7.0.0", "Ends subscriptions to shard channels, or all of them.", "")),

	{Name: "PUBLISH", Arity: 3, Flags: PubSub | Loading | Stale | Fast, Group: GroupPubSub, Since: "2.0.0",
		Complexity: "O(N+M), N subscribers of the channel, M patterns", Summary: "Sends a message to the subscribers of a channel.",
		Differs: localCount},
	{Name: "SPUBLISH", Arity: 3, Flags: PubSub | Loading | Stale | Fast, Group: GroupPubSub, Since: "7.0.0",
		Keys:       oneKey(NotKey),
		Complexity: "O(N), N subscribers of the channel", Summary: "Sends a message to the subscribers of a shard channel.",
		Differs: localCount},
	{Name: "PUBSUB", Arity: -2, Group: GroupPubSub, Since: "2.8.0", Complexity: "as the subcommand",
		Summary: "Looks at subscriptions.",
		Help: []string{
			"CHANNELS [<pattern>]",
			"    Return the currently active channels matching a <pattern> (default: '*').",
			"NUMPAT",
			"    Return number of subscriptions to patterns.",
			"NUMSUB [<channel> ...]",
			"    Return the number of subscribers for the specified channels, excluding",
			"    pattern subscriptions(default: no channels).",
			"SHARDCHANNELS [<pattern>]",
			"    Return the currently active shard level channels matching a <pattern> (default: '*').",
			"SHARDNUMSUB [<shardchannel> ...]",
			"    Return the number of subscribers for the specified shard level channel(s)",
		},
		Sub: []Spec{
			pubSubLook("CHANNELS", -2, "2.8.0", "Lists the channels that have subscribers."),
			{Name: "PUBSUB HELP", Arity: 2, Flags: Loading | Stale, Group: GroupPubSub, Since: "6.2.0", Complexity: "O(1)",
				Summary: "Lists the subcommands."},
			pubSubLook("NUMPAT", 2, "2.8.0", "Counts the patterns that have subscribers."),
			pubSubLook("NUMSUB", -2, "2.8.0", "Counts the subscribers of channels."),
			pubSubLook("SHARDCHANNELS", -2, "7.0.0", "Lists the shard channels that have subscribers."),
			pubSubLook("SHARDNUMSUB", -2, "7.0.0", "Counts the subscribers of shard channels."),
		}},
}

func pubSubSpec(name string, arity int, since, summary, differs string) Spec {
	return Spec{Name: name, Arity: arity, Flags: pubSubFlags, Group: GroupPubSub, Since: since,
		Complexity: "O(N), N channels", Summary: summary, Differs: differs}
}

func shardSpec(s Spec) Spec {
	s.Keys = allKeys(NotKey, 1)
	return s
}

func pubSubLook(name string, arity int, since, summary string) Spec {
	return Spec{Name: "PUBSUB " + name, Arity: arity, Flags: PubSub | Loading | Stale, Group: GroupPubSub, Since: since,
		Complexity: "O(N), N channels", Summary: summary, Differs: ownClients}
}
