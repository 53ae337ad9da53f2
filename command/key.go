package command

import (
	"bytes"

	"redoubt/fsm"
	"redoubt/resp"
)

// Hints that many commands share.
var (
	tipsSum    = []string{"request_policy:multi_shard", "response_policy:agg_sum"}
	tipsAllSum = []string{"request_policy:all_shards", "response_policy:agg_sum"}
	tipsFlush  = []string{"request_policy:all_shards", "response_policy:all_succeeded"}
)

var keyCommands = []Spec{
	{Name: "DEL", Arity: -2, Flags: Write, Keys: allKeys(KeyRM|KeyDelete, 1),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(N), N keys",
		Tips: tipsSum, Summary: "Deletes keys and returns how many there were.", Run: cmdDel},
	{Name: "UNLINK", Arity: -2, Flags: Write | Fast, Keys: allKeys(KeyRM|KeyDelete, 1),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "4.0.0", Complexity: "O(N), N keys",
		Tips: tipsSum, Summary: "Deletes keys and returns how many there were, as DEL does.",
		Run: cmdDel},
	{Name: "EXISTS", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys(KeyRO, 1),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(N), N keys",
		Tips: tipsSum, Summary: "Counts those of the keys that exist.", Run: cmdExists},
	{Name: "TOUCH", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys(KeyRO, 1),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "3.2.1", Complexity: "O(N), N keys",
		Tips: tipsSum, Summary: "Counts those of the keys that exist, and counts as a use of them.",
		Run: cmdTouch},
	{Name: "TYPE", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Names the type of the value at a key.", Run: cmdType},
	{Name: "RENAME", Arity: 3, Flags: Write,
		Keys:  twoKeys(KeyRW|KeyAccess|KeyDelete, KeyOW|KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Gives a key another name, over what had that name before.", Run: cmdRename},
	{Name: "RENAMENX", Arity: 3, Flags: Write | Fast,
		Keys:  twoKeys(KeyRW|KeyAccess|KeyDelete, KeyOW|KeyInsert),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Gives a key another name, unless there is a key of that name.",
		Run:     cmdRenameNX},
	{Name: "COPY", Arity: -3, Flags: Write | DenyOOM,
		Keys:  twoKeys(KeyRO|KeyAccess, KeyOW|KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "6.2.0", Complexity: "O(N), N bytes",
		Summary: "Copies a key to another name or database.", Run: cmdCopy},
	{Name: "MOVE", Arity: 3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Moves a key to another database, unless it has such a key.", Run: cmdMove},
	{Name: "DBSIZE", Arity: 1, Flags: ReadOnly | Fast,
		Group: GroupServer, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Tips: tipsAllSum, Summary: "Counts the keys of the database.", Run: cmdDBSize,
		Differs: "Keys that have expired are never counted."},
	{Name: "FLUSHDB", Arity: -1, Flags: Write,
		Group: GroupServer, Categories: CatKeyspace | CatDangerous, Since: "1.0.0",
		Complexity: "O(1)", Tips: tipsFlush,
		Summary: "Deletes all the keys of the database.", Run: cmdFlushDB,
		Differs: "SYNC and ASYNC are the same: the space is given back in the background."},
	{Name: "FLUSHALL", Arity: -1, Flags: Write,
		Group: GroupServer, Categories: CatKeyspace | CatDangerous, Since: "1.0.0",
		Complexity: "O(1)", Tips: tipsFlush,
		Summary: "Deletes all the keys of all the databases.", Run: cmdFlushAll,
		Differs: "SYNC and ASYNC are the same: the space is given back in the background."},
	{Name: "SWAPDB", Arity: 3, Flags: Write | Fast,
		Group: GroupServer, Categories: CatKeyspace | CatDangerous, Since: "4.0.0",
		Complexity: "O(1)", Summary: "Exchanges the contents of two databases.", Run: cmdSwapDB},
}

func cmdDel(tx *fsm.Txn, args [][]byte) resp.Reply {
	var deleted int64
	for _, key := range args[1:] {
		if remove(tx, key) {
			deleted++
		}
	}
	return resp.NewInt(deleted)
}

func cmdExists(tx *fsm.Txn, args [][]byte) resp.Reply {
	var found int64
	for _, key := range args[1:] {
		if tx.Peek(key) != nil {
			found++
		}
	}
	return resp.NewInt(found)
}

func cmdTouch(tx *fsm.Txn, args [][]byte) resp.Reply {
	var found int64
	for _, key := range args[1:] {
		if tx.Touch(key) != nil {
			found++
		}
	}
	return resp.NewInt(found)
}

func cmdType(tx *fsm.Txn, args [][]byte) resp.Reply {
	row := tx.Peek(args[1])
	if row == nil {
		return resp.NewSimple("none")
	}
	return resp.NewSimple(typeName(row.Kind))
}

// typeName is Redis's name for the type of a value.
func typeName(kind fsm.Kind) string {
	switch kind {
	case fsm.String:
		return "string"
	case fsm.Hash:
		return "hash"
	case fsm.List:
		return "list"
	case fsm.Set:
		return "set"
	case fsm.ZSet:
		return "zset"
	case fsm.Stream:
		return "stream"
	}
	return "unknown"
}

func cmdRename(tx *fsm.Txn, args [][]byte) resp.Reply {
	if tx.Lookup(args[1]) == nil {
		return errNoSuchKey
	}
	if !bytes.Equal(args[1], args[2]) {
		rename(tx, args[1], args[2])
	}
	return resp.OK
}

func cmdRenameNX(tx *fsm.Txn, args [][]byte) resp.Reply {
	if tx.Lookup(args[1]) == nil {
		return errNoSuchKey
	}
	if tx.Lookup(args[2]) != nil { // which is so when the names are the same, too
		return resp.NewInt(0)
	}
	rename(tx, args[1], args[2])
	return resp.NewInt(1)
}

func rename(tx *fsm.Txn, from, to []byte) {
	tx.Rename(from, to)
	tx.Notify(fsm.EventGeneric, "rename_from", from)
	tx.Notify(fsm.EventGeneric, "rename_to", to)
}

func cmdCopy(tx *fsm.Txn, args [][]byte) resp.Reply {
	db, replace := tx.DB(), false
	for i := 3; i < len(args); i++ {
		switch {
		case isOption(args[i], "REPLACE"):
			replace = true
		case isOption(args[i], "DB") && i+1 < len(args):
			i++
			var bad resp.Reply
			if db, bad = ParseDB(args[i]); bad.IsError() {
				return bad
			}
		default:
			return errSyntax
		}
	}
	if db == tx.DB() && bytes.Equal(args[1], args[2]) {
		return errSameObject
	}
	row := tx.Lookup(args[1])
	if row == nil || !putInto(tx, db, args[2], row, replace) {
		return resp.NewInt(0)
	}
	defer tx.Use(tx.Use(db))
	tx.Notify(fsm.EventGeneric, "copy_to", args[2])
	return resp.NewInt(1)
}

func cmdMove(tx *fsm.Txn, args [][]byte) resp.Reply {
	db, bad := ParseDB(args[2])
	switch {
	case bad.IsError():
		return bad
	case db == tx.DB():
		return errSameObject
	}
	row := tx.Lookup(args[1])
	if row == nil || !putInto(tx, db, args[1], row, false) {
		return resp.NewInt(0)
	}
	tx.Delete(args[1])
	tx.Notify(fsm.EventGeneric, "move_from", args[1])
	defer tx.Use(tx.Use(db))
	tx.Notify(fsm.EventGeneric, "move_to", args[1])
	return resp.NewInt(1)
}

// putInto stores a row in another database, unless it has this key and must not lose it.
func putInto(tx *fsm.Txn, db int, key []byte, row *fsm.Row, replace bool) bool {
	from := tx.Use(db)
	taken := !replace && tx.Lookup(key) != nil
	tx.Use(from)
	if !taken {
		tx.CopyTo(db, key, *row)
	}
	return !taken
}

func cmdDBSize(tx *fsm.Txn, _ [][]byte) resp.Reply { return resp.NewInt(tx.Count(tx.DB())) }

func cmdFlushDB(tx *fsm.Txn, args [][]byte) resp.Reply {
	if !isFlush(args) {
		return errSyntax
	}
	tx.FlushDB(tx.DB())
	return resp.OK
}

func cmdFlushAll(tx *fsm.Txn, args [][]byte) resp.Reply {
	if !isFlush(args) {
		return errSyntax
	}
	for db := range fsm.Databases {
		tx.FlushDB(db)
	}
	return resp.OK
}

// isFlush checks the options of FLUSHDB and FLUSHALL.
func isFlush(args [][]byte) bool {
	return len(args) == 1 || len(args) == 2 &&
		(isOption(args[1], "SYNC") || isOption(args[1], "ASYNC"))
}

func cmdSwapDB(tx *fsm.Txn, args [][]byte) resp.Reply {
	first, bad := parseInt32(args[1])
	if bad.IsError() {
		return errFirstDB
	}
	second, bad := parseInt32(args[2])
	if bad.IsError() {
		return errSecondDB
	}
	if min(first, second) < 0 || max(first, second) >= fsm.Databases {
		return errDBRange
	}
	tx.SwapDB(first, second)
	return resp.OK
}
