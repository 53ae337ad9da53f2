package command

import (
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var objectCommands = []Spec{
	{Name: "OBJECT", Arity: -2, Group: GroupGeneric, Since: "2.2.3",
		Complexity: "as the subcommand", Summary: "Looks at how a value is stored.",
		Help: []string{
			"ENCODING <key>", "    Names the representation that Redis gives to such a value.",
			"FREQ <key>", "    Returns how often the key is used; needs an LFU maxmemory policy.",
			"IDLETIME <key>", "    Returns the seconds since the key was last used.",
			"REFCOUNT <key>", "    Returns the number of references to the value.",
		},
		Sub: []Spec{
			{Name: "OBJECT ENCODING", Arity: 3, Flags: ReadOnly, Keys: objectKey,
				Group: GroupGeneric, Categories: CatKeyspace, Since: "2.2.3", Complexity: "O(1)",
				Tips:    tipsTime,
				Summary: "Names the representation that Redis gives to such a value.",
				Run:     cmdObjectEncoding,
				Differs: "That of a string depends on the value only, as after SET, and a list is a listpack again as soon as " +
					"what is left of it is small, not on the commands that made them."},
			{Name: "OBJECT FREQ", Arity: 3, Flags: ReadOnly, Keys: objectKey,
				Group: GroupGeneric, Categories: CatKeyspace, Since: "4.0.0", Complexity: "O(1)",
				Tips:    tipsTime,
				Summary: "Returns how often a key is used.", Run: cmdObjectFreq,
				Differs: "What this node knows: reads count on the node that answers them, writes on all. 0 for a key that is " +
					"not in its cache."},
			{Name: "OBJECT IDLETIME", Arity: 3, Flags: ReadOnly, Keys: objectKey,
				Group: GroupGeneric, Categories: CatKeyspace, Since: "2.2.3", Complexity: "O(1)",
				Tips:    tipsTime,
				Summary: "Returns the seconds since a key was last used.",
				Run:     cmdObjectIdleTime,
				Differs: "What this node knows: reads count on the node that answers them, writes on all. For a key that is " +
					"not in its cache, the seconds since the node was started."},
			{Name: "OBJECT REFCOUNT", Arity: 3, Flags: ReadOnly, Keys: objectKey,
				Group: GroupGeneric, Categories: CatKeyspace, Since: "2.2.3", Complexity: "O(1)",
				Tips:    tipsTime,
				Summary: "Returns the number of references to a value.",
				Run:     cmdObjectRefCount,
				Differs: "What Redis answers for such a value after SET."},
			{Name: "OBJECT HELP", Arity: 2, Flags: Loading | Stale,
				Group: GroupGeneric, Categories: CatKeyspace, Since: "6.2.0", Complexity: "O(1)",
				Summary: "Lists the subcommands."},
		}},
}

// objectKey is the place of the key after a subcommand.
var objectKey = Keys{{Flags: KeyRO, First: 2, Step: 1}}

const (
	encodingInt    = "int"    // an integer that prints as the very same string
	encodingEmbStr = "embstr" // a string in one allocation with its header
	encodingRaw    = "raw"

	embStrBytesMax  = 44
	sharedInts      = 10000 // Redis has one object for each integer below this
	sharedRefCount  = math.MaxInt32
	privateRefCount = 1
	idlePerSecond   = 10 // of fsm.Usage
)

// encoding is Redis's choice for a string that it is given in one piece.
func encoding(value []byte) string {
	if _, ok := parseInt(value); ok {
		return encodingInt
	}
	if len(value) <= embStrBytesMax {
		return encodingEmbStr
	}
	return encodingRaw
}

// inspect answers with f of the row, or null without one.
func inspect(tx *fsm.Txn, key []byte, f func(row *fsm.Row) resp.Reply) resp.Reply {
	row := tx.Peek(key)
	if row == nil {
		return resp.Nil
	}
	return f(row)
}

func cmdObjectEncoding(tx *fsm.Txn, args [][]byte) resp.Reply {
	return inspect(tx, args[2], func(row *fsm.Row) resp.Reply {
		switch row.Kind {
		case fsm.Hash:
			return resp.NewBulkString(hashEncoding(tx.Hash(args[2], row)))
		case fsm.List:
			return resp.NewBulkString(listEncoding(tx.List(args[2], row)))
		case fsm.Set:
			return resp.NewBulkString(setEncoding(tx.Set(args[2], row)))
		case fsm.ZSet:
			return resp.NewBulkString(zsetEncoding(tx.ZSet(args[2], row)))
		case fsm.Stream:
			return resp.NewBulkString("stream")
		}
		return resp.NewBulkString(encoding(row.Value))
	})
}

func cmdObjectFreq(tx *fsm.Txn, args [][]byte) resp.Reply {
	return inspect(tx, args[2], func(*fsm.Row) resp.Reply {
		if limit := tx.Settings().Limit; !limit.Policy.LFU() {
			return errNotLFU
		}
		return resp.NewInt(int64(tx.Usage(args[2]).Frequency))
	})
}

func cmdObjectIdleTime(tx *fsm.Txn, args [][]byte) resp.Reply {
	return inspect(tx, args[2], func(*fsm.Row) resp.Reply {
		if limit := tx.Settings().Limit; limit.Policy.LFU() {
			return errLFU
		}
		return resp.NewInt(tx.Usage(args[2]).Idle / idlePerSecond)
	})
}

func cmdObjectRefCount(tx *fsm.Txn, args [][]byte) resp.Reply {
	return inspect(tx, args[2], func(row *fsm.Row) resp.Reply {
		if n, ok := parseInt(row.Value); row.Kind == fsm.String && ok && n >= 0 && n < sharedInts {
			return resp.NewInt(sharedRefCount)
		}
		return resp.NewInt(privateRefCount)
	})
}
