package command

import (
	"redoubt/fsm"
	"redoubt/resp"
)

const multiFlags = NoScript | Loading | Stale | Fast | AllowBusy

// transactionCommands are executed by the server, which hands a transaction to the engine as one request.
var transactionCommands = []Spec{
	{Name: "MULTI", Arity: 1, Flags: multiFlags, Group: GroupTransactions, Categories: CatTransaction, Since: "1.2.0",
		Complexity: "O(1)", Summary: "Begins a transaction: the calls after it are queued until EXEC."},
	{Name: "EXEC", Arity: 1, Flags: NoScript | Loading | Stale | SkipSlowlog, Group: GroupTransactions,
		Categories: CatTransaction, Since: "1.2.0", Complexity: "that of the queued calls",
		Summary: "Executes the queued calls, at one place of the log and with nothing in between.",
		Differs: "Calls that are not about keys (SUBSCRIBE, CONFIG and such) are executed after all that are. MIGRATE can't be queued. " +
			"A transaction may be as large as one request (proto-max-bulk-len and 1 MB)."},
	{Name: "DISCARD", Arity: 1, Flags: multiFlags, Group: GroupTransactions, Categories: CatTransaction, Since: "2.0.0",
		Complexity: "O(N), N queued calls", Summary: "Forgets the queued calls and the watched keys."},
	{Name: "WATCH", Arity: -2, Flags: multiFlags, Keys: Keys{{Flags: KeyRO, First: 1, Last: -1, Step: 1}},
		Group: GroupTransactions, Categories: CatTransaction, Since: "2.2.0", Complexity: "O(N), N keys",
		Summary: "Has the next EXEC do nothing if one of the keys has changed by then.",
		Differs: "A key that did not exist, and was made and deleted since without this node having applied that in two steps, counts as " +
			"unchanged, and so does one of a database that SWAPDB has brought back. What changes the groups of a stream changes its key."},
	{Name: "UNWATCH", Arity: 1, Flags: multiFlags, Group: GroupTransactions, Categories: CatTransaction, Since: "2.2.0",
		Complexity: "O(1)", Summary: "Forgets the watched keys."},
	{Name: "WATCHED", Arity: -2, Flags: ReadOnly | Internal, Group: GroupTransactions, Since: "0.4.0",
		Complexity: "O(N), N keys", Summary: "Returns space and version of each key, for WATCH.", Run: cmdWatched},
}

// WatchCall is the read that WATCH needs. It must be the only call of its request.
func WatchCall(db int, keys [][]byte) fsm.Call {
	return fsm.Call{DB: db, Read: true, Args: append([][]byte{[]byte("WATCHED")}, keys...)}
}

// WatchedKeys takes the reply to a WatchCall apart.
func WatchedKeys(call *fsm.Call, reply *resp.Reply) []fsm.Watched {
	watched := make([]fsm.Watched, 0, len(call.Args)-1)
	for i := 0; i+1 < len(reply.Elems); i += 2 {
		watched = append(watched, fsm.Watched{DB: call.DB, Key: call.Args[1+i/2], Space: uint32(reply.Elems[i].Int),
			Version: uint64(reply.Elems[i+1].Int)})
	}
	return watched
}

func cmdWatched(tx *fsm.Txn, args [][]byte) resp.Reply {
	elems := make([]resp.Reply, 0, 2*(len(args)-1))
	for _, key := range args[1:] {
		w := tx.Watch(key)
		elems = append(elems, resp.NewInt(int64(w.Space)), resp.NewInt(int64(w.Version)))
	}
	return resp.NewArray(elems)
}
