package command

const pubSubFlags = PubSub | NoScript | Loading | Stale

var pubSubCommands = []Spec{
	pubSubSpec("PSUBSCRIBE", -2, "Subscribes the connection to the channels that match patterns."),
	pubSubSpec("PUNSUBSCRIBE", -1, "Ends subscriptions to patterns, or all of them."),
	pubSubSpec("SUBSCRIBE", -2, "Subscribes the connection to channels."),
	pubSubSpec("UNSUBSCRIBE", -1, "Ends subscriptions to channels, or all of them."),
}

func pubSubSpec(name string, arity int, summary string) Spec {
	return Spec{Name: name, Arity: arity, Flags: pubSubFlags, Group: GroupPubSub, Since: "2.0.0",
		Complexity: "O(N), N channels", Summary: summary,
		Differs: "The only messages so far are those of the Sentinel face, `+switch-master` and the like."}
}
