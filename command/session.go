package command

// The commands that the server executes: their state is the connection's or the node's, so that
// none of them has a Run and none is ever logged.

var tipsNodes = []string{"request_policy:all_nodes", "response_policy:all_succeeded"}

var connectionCommands = []Spec{
	{Name: "PING", Arity: -1, Flags: Fast, Group: GroupConnection, Categories: CatConnection,
		Since: "1.0.0", Complexity: "O(1)", Tips: tipsFlush,
		Summary: "Answers PONG, or with its argument."},
	{Name: "ECHO", Arity: 2, Flags: Loading | Stale | Fast, Group: GroupConnection,
		Categories: CatConnection, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Answers with its argument."},
	{Name: "SELECT", Arity: 2, Flags: Loading | Stale | Fast, Group: GroupConnection,
		Categories: CatConnection, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Changes the database of the connection."},
	{Name: "HELLO", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy,
		Group: GroupConnection, Categories: CatConnection, Since: "6.0.0", Complexity: "O(1)",
		Summary: "Greets the server and chooses the protocol, RESP2 or RESP3."},
	{Name: "AUTH", Arity: -2, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy,
		Group: GroupConnection, Categories: CatConnection, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Tells who the client is.",
		Differs: "There is one user, default, who needs no password."},
	{Name: "QUIT", Arity: -1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy,
		Group: GroupConnection, Categories: CatConnection, Since: "1.0.0", Complexity: "O(1)",
		Summary:         "Closes the connection.",
		DeprecatedSince: "7.2.0", ReplacedBy: "just closing the connection"},
	{Name: "RESET", Arity: 1, Flags: NoScript | Loading | Stale | Fast | NoAuth | AllowBusy,
		Group: GroupConnection, Categories: CatConnection, Since: "6.2.0", Complexity: "O(1)",
		Summary: "Sets the connection back to its first state."},
}

const (
	clientFlags      = NoScript | Loading | Stale
	clientAdminFlags = Admin | clientFlags
)

var clientCommands = []Spec{
	{Name: "CLIENT", Arity: -2, Group: GroupConnection, Since: "2.4.0",
		Complexity: "as the subcommand", Summary: "Looks at connections and changes them.",
		Help: []string{
			"CACHING (YES|NO)", "    In the modes OPTIN and OPTOUT, says whether what the next call reads is cached.",
			"GETREDIR", "    Returns the client that gets the invalidations of this connection.",
			"GETNAME", "    Returns the name of this connection.",
			"ID", "    Returns the number of this connection.",
			"INFO", "    Returns the line of CLIENT LIST of this connection.",
			"KILL <ip:port>", "    Closes the connection with this address.",
			"KILL <filter> <value> [<filter> <value> ...]",
			"    Closes the connections that match all of ID, ADDR, LADDR, TYPE, USER, MAXAGE;",
			"    SKIPME NO does not spare this one.",
			"LIST [TYPE <type>] [ID <id> ...]", "    Returns a line for each connection.",
			"NO-EVICT (ON|OFF)", "    Protects this connection from eviction.",
			"NO-TOUCH (ON|OFF)", "    Uses of keys by this connection don't count.",
			"PAUSE <milliseconds> [WRITE|ALL]", "    Stops calls, or just writes, for a time.",
			"REPLY (ON|OFF|SKIP)", "    Turns the replies to this connection on or off.",
			"SETINFO (LIB-NAME|LIB-VER) <value>", "    Sets what CLIENT LIST says of the library.",
			"SETNAME <name>", "    Names this connection.",
			"TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]",
			"    Has this connection told which keys it must drop from its cache.",
			"TRACKINGINFO", "    Describes what TRACKING has set.",
			"UNBLOCK <id> [TIMEOUT|ERROR]", "    Ends the waiting of a blocked client.",
			"UNPAUSE", "    Ends a pause.",
		},
		Sub: []Spec{
			clientSpec("CACHING", 3, clientFlags, "6.0.0", nil,
				"Says whether what the next call reads is going to be cached."),
			clientSpec("GETNAME", 2, clientFlags, "2.6.9", nil,
				"Returns the name of the connection."),
			clientSpec("GETREDIR", 2, clientFlags, "6.0.0", nil,
				"Returns the client that gets the invalidations of the connection."),
			clientSpec("HELP", 2, Loading|Stale, "5.0.0", nil, "Lists the subcommands."),
			clientSpec("ID", 2, clientFlags, "5.0.0", nil, "Returns the number of the connection."),
			clientSpec("INFO", 2, clientFlags, "6.2.0", tipsTime, "Describes the connection."),
			clientSpec("KILL", -3, clientAdminFlags, "2.4.0", nil, "Closes connections."),
			clientSpec("LIST", -2, clientAdminFlags, "2.4.0", tipsTime, "Lists the connections."),
			clientSpec("NO-EVICT", 3, clientAdminFlags, "7.0.0", nil,
				"Protects the connection from eviction."),
			clientSpec("NO-TOUCH", 3, clientFlags, "7.2.0", nil,
				"Does not count what the connection does as use of the keys."),
			clientSpec("PAUSE", -3, clientAdminFlags, "3.0.0", nil,
				"Stops the calls of all clients for a time."),
			clientSpec("REPLY", 3, clientFlags, "3.2.0", nil,
				"Turns the replies to the connection on or off."),
			clientSpec("SETINFO", 4, clientFlags, "7.2.0", tipsNodes,
				"Tells the server about the client library."),
			clientSpec("SETNAME", 3, clientFlags, "2.6.9", tipsNodes, "Names the connection."),
			trackingSpec,
			clientSpec("TRACKINGINFO", 2, clientFlags, "6.2.0", nil, "Describes how the connection tracks keys."),
			clientSpec("UNBLOCK", -3, clientAdminFlags, "5.0.0", nil,
				"Ends the waiting of a blocked client."),
			clientSpec("UNPAUSE", 2, clientAdminFlags, "6.2.0", nil, "Ends a pause."),
		}},
}

var trackingSpec = Spec{Name: "CLIENT TRACKING", Arity: -3, Flags: clientFlags, Group: GroupConnection,
	Categories: CatConnection, Since: "6.0.0", Complexity: "O(1), and O(N) for N prefixes",
	Summary: "Has the connection told which of the keys that it has read must be dropped from its cache.",
	Differs: "Caches are emptied when this node is cut off (tracking-max-lag), and after SWAPDB. NOLOOP does not forget a key that " +
		"the client itself writes.",
}

func clientSpec(name string, arity int, flags Flags, since string, tips []string,
	summary string) Spec {
	return Spec{Name: "CLIENT " + name, Arity: arity, Flags: flags, Group: GroupConnection,
		Categories: CatConnection, Since: since, Complexity: "O(1)", Tips: tips, Summary: summary}
}

var commandCommands = []Spec{
	{Name: "COMMAND", Arity: -1, Flags: Loading | Stale, Group: GroupServer,
		Categories: CatConnection, Since: "2.8.13", Complexity: "O(N), N commands",
		Tips: tipsUnordered, Summary: "Describes the commands.",
		Help: []string{
			"(no subcommand)", "    Describes all commands.",
			"COUNT", "    Returns the number of commands.",
			"DOCS [<command> ...]", "    Returns the documentation of these commands, or of all.",
			"GETKEYS <command> [<arg> ...]", "    Returns the keys of a call.",
			"GETKEYSANDFLAGS <command> [<arg> ...]", "    The same, with what is done to them.",
			"INFO [<command> ...]", "    Describes these commands, or all.",
			"LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <glob>)]",
			"    Lists the names of the commands.",
		},
		Sub: []Spec{
			commandSpec("COUNT", 2, "2.8.13", nil, "Returns the number of commands."),
			commandSpec("DOCS", -2, "7.0.0", tipsUnordered, "Returns documentation of commands."),
			commandSpec("GETKEYS", -3, "2.8.13", nil, "Returns the keys of a call."),
			commandSpec("GETKEYSANDFLAGS", -3, "7.0.0", nil,
				"Returns the keys of a call, and what is done to them."),
			commandSpec("HELP", 2, "5.0.0", nil, "Lists the subcommands."),
			commandSpec("INFO", -2, "2.8.13", tipsUnordered, "Describes commands."),
			commandSpec("LIST", -2, "7.0.0", tipsUnordered, "Lists the names of commands."),
		}},
}

var tipsUnordered = []string{"nondeterministic_output_order"}

func commandSpec(name string, arity int, since string, tips []string, summary string) Spec {
	s := Spec{Name: "COMMAND " + name, Arity: arity, Flags: Loading | Stale, Group: GroupServer,
		Categories: CatConnection, Since: since, Complexity: "O(N), N commands", Tips: tips,
		Summary: summary}
	if name == "DOCS" {
		s.Differs = "Summaries are our own, and arguments are not described."
	}
	return s
}
