package command

import (
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

var (
	tipsMemory = []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"}
	// OutOfMemory answers a write that was refused, before anything was done about it, because the data set is above its
	// limit and no key can be evicted.
	OutOfMemory = resp.NewError("OOM command not allowed when used memory > 'maxmemory'.")
)

var memoryCommands = []Spec{
	{Name: "MEMORY", Arity: -2, Group: GroupServer, Since: "4.0.0",
		Complexity: "as the subcommand", Summary: "Looks at the use of memory.",
		Help: []string{
			"DOCTOR", "    Returns advice about memory.",
			"MALLOC-STATS", "    Returns the figures of the allocator.",
			"PURGE", "    Gives memory that is not used back to the system.",
			"STATS", "    Returns the use of memory of this node.",
			"USAGE <key> [SAMPLES <count>]", "    Returns how many bytes of the data set are those of a key.",
		},
		Sub: []Spec{
			{Name: "MEMORY DOCTOR", Arity: 2, Group: GroupServer, Since: "4.0.0", Complexity: "O(1)", Tips: tipsMemory,
				Summary: "Returns advice about memory.", Differs: "Says only whether the data set is above its limit."},
			{Name: "MEMORY HELP", Arity: 2, Flags: Loading | Stale, Group: GroupServer, Since: "4.0.0", Complexity: "O(1)",
				Summary: "Lists the subcommands."},
			{Name: "MEMORY MALLOC-STATS", Arity: 2, Group: GroupServer, Since: "4.0.0", Complexity: "O(1)", Tips: tipsMemory,
				Summary: "Returns the figures of the allocator.", Differs: "Those of Go."},
			{Name: "MEMORY PURGE", Arity: 2, Group: GroupServer, Since: "4.0.0", Complexity: "O(N), N bytes",
				Tips:    []string{"request_policy:all_shards", "response_policy:all_succeeded"},
				Summary: "Gives memory that is not used back to the system."},
			{Name: "MEMORY STATS", Arity: 2, Group: GroupServer, Since: "4.0.0", Complexity: "O(1)", Tips: tipsMemory,
				Summary: "Returns the use of memory of this node.", Differs: "Has the figures that exist here."},
			{Name: "MEMORY USAGE", Arity: -3, Flags: ReadOnly, Group: GroupServer, Since: "4.0.0", Complexity: "O(1)",
				Keys:    objectKey,
				Summary: "Returns how many bytes of the data set are those of a key.",
				Run:     cmdMemoryUsage,
				Differs: "Exact, in the bytes that maxmemory bounds: those of the stored rows. SAMPLES changes nothing."},
		}},
	{Name: "SETCONFIG", Arity: -2, Flags: Write | Internal, Group: GroupServer, Since: "0.1.0", Complexity: "O(1)",
		Summary: "Sets parameters of the whole cluster, ALWAYS, or ONCE if the limit of the data set never was.", Run: cmdSetConfig},
	{Name: "EVICT", Arity: -1, Flags: Write | Internal, Group: GroupServer, Since: "0.1.0", Complexity: "O(N), N keys",
		Summary: "Deletes keys, each followed by its version, while the data set is above its limit; the leader proposes it.",
		Run:     cmdEvict},
}

func cmdMemoryUsage(tx *fsm.Txn, args [][]byte) resp.Reply {
	for i := 3; i < len(args); i += 2 {
		if !isOption(args[i], "SAMPLES") || i+1 == len(args) {
			return errSyntax
		}
		n, ok := parseInt(args[i+1])
		if !ok {
			return errNotInteger
		}
		if n < 0 {
			return errSyntax
		}
	}
	row := tx.Peek(args[2])
	if row == nil {
		return resp.Nil
	}
	return resp.NewInt(tx.Size(args[2], row))
}

// EvictCalls are the calls that evict keys, one for each database.
func EvictCalls(victims []fsm.Victim) (calls []fsm.Call) {
	byDB := [fsm.Databases]int{} // the call of each, counted from 1
	for i := range victims {
		v := &victims[i]
		if byDB[v.DB] == 0 {
			calls = append(calls, fsm.Call{DB: v.DB, Args: [][]byte{[]byte("EVICT")}})
			byDB[v.DB] = len(calls)
		}
		c := &calls[byDB[v.DB]-1]
		c.Args = append(c.Args, v.Key, strconv.AppendUint(nil, v.Version, 10))
	}
	return calls
}

func cmdEvict(tx *fsm.Txn, args [][]byte) resp.Reply {
	for i := 1; i+1 < len(args); i += 2 {
		version, ok := parseInt(args[i+1])
		if !ok {
			return errNotInteger
		}
		if !tx.Evict(args[i], uint64(version)) {
			break
		}
	}
	return resp.OK
}
