package command

import (
	"redoubt/fsm"
	"redoubt/rdb"
	"redoubt/resp"
)

var migrateCommands = []Spec{
	{Name: "MIGRATE", Arity: -6, Flags: Write | AtNode,
		Keys: Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 3, Step: 1},
			{Flags: KeyRW | KeyAccess | KeyDelete | KeyIncomplete, Keyword: "KEYS", First: -2, Last: -1, Step: 1}},
		KeysOf: migrateKeys,
		Group:  GroupGeneric, Categories: CatKeyspace | CatDangerous, Since: "2.6.0",
		Complexity: "O(N), N bytes of the values", Tips: []string{"nondeterministic_output"},
		Summary: "Moves keys to another server, or copies them (COPY), over what is there (REPLACE).",
		Differs: "Other clients are served meanwhile. A key that they change is sent again, up to three times, and kept " +
			"here if it has changed even then, with the error TRYAGAIN."},
	{Name: "MIGRATEDUMP", Arity: -2, Flags: ReadOnly | Internal,
		Group: GroupGeneric, Since: "0.3.0", Complexity: "O(N), N bytes of the values",
		Summary: "Returns payload, time to live (0: none) and version of each key, or null; for MIGRATE.", Run: cmdMigrateDump},
	{Name: "MIGRATEDEL", Arity: -3, Flags: Write | Internal,
		Group: GroupGeneric, Since: "0.3.0", Complexity: "O(N), N keys",
		Summary: "Deletes keys that still have these versions, and says of each whether it had; for MIGRATE.",
		Run:     cmdMigrateDel},
}

// Migration is what a call of MIGRATE asks for.
type Migration struct {
	Host, Port    string
	DB            int64
	Timeout       int64 // milliseconds
	Copy, Replace bool
	Auth          [][]byte // the arguments of AUTH; none: nil
	Keys          [][]byte
}

var errMigrateKeys = resp.NewError("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string")

// ParseMigrate reads the arguments of MIGRATE.
func ParseMigrate(args [][]byte) (m Migration, bad resp.Reply) {
	const defaultTimeout = 1000
	m = Migration{Host: string(cString(args[1])), Port: string(cString(args[2])), Keys: args[3:4]}
	for i := 6; i < len(args); i++ {
		more := len(args) - 1 - i
		switch arg := args[i]; {
		case isOption(arg, "COPY"):
			m.Copy = true
		case isOption(arg, "REPLACE"):
			m.Replace = true
		case isOption(arg, "AUTH") && more >= 1:
			m.Auth = args[i+1 : i+2]
			i++
		case isOption(arg, "AUTH2") && more >= 2:
			m.Auth = args[i+1 : i+3]
			i += 2
		case isOption(arg, "KEYS") && len(args[3]) > 0:
			return m, errMigrateKeys
		case isOption(arg, "KEYS"):
			m.Keys = args[i+1:]
			i = len(args)
		default:
			return m, errSyntax
		}
	}
	var ok [2]bool
	m.Timeout, ok[0] = parseInt(args[5])
	m.DB, ok[1] = parseInt(args[4])
	if !ok[0] || !ok[1] {
		return m, errNotInteger
	}
	if m.Timeout <= 0 {
		m.Timeout = defaultTimeout
	}
	return m, resp.Reply{}
}

// migrateKeys finds the keys of MIGRATE: those after KEYS, or the one at its own place.
func migrateKeys(args [][]byte) (keys []Key) {
	first, end := 3, 4
	for i := 6; i < len(args) && end == 4; i++ {
		switch arg := args[i]; {
		case isOption(arg, "AUTH"):
			i++
		case isOption(arg, "AUTH2"):
			i += 2
		case isOption(arg, "KEYS") && len(args[3]) > 0:
			return nil
		case isOption(arg, "KEYS"):
			first, end = i+1, len(args)
		}
	}
	for i := first; i < end; i++ {
		keys = append(keys, Key{Index: i, Flags: KeyRW | KeyAccess | KeyDelete})
	}
	return keys
}

func cmdMigrateDump(tx *fsm.Txn, args [][]byte) resp.Reply {
	replies := make([]resp.Reply, len(args)-1)
	for i, key := range args[1:] {
		row := tx.Lookup(key)
		if row == nil {
			replies[i] = resp.Nil
			continue
		}
		var ttl int64
		if row.ExpireAt != 0 {
			ttl = max(row.ExpireAt-tx.Now(), 1)
		}
		replies[i] = resp.ArrayOf(resp.NewBulk(rdb.Seal(dump(tx, key, row))), resp.NewInt(ttl),
			resp.NewInt(int64(row.Version)))
	}
	return resp.NewArray(replies)
}

func cmdMigrateDel(tx *fsm.Txn, args [][]byte) resp.Reply {
	var replies []resp.Reply
	for i := 1; i+1 < len(args); i += 2 {
		row, reply := tx.Lookup(args[i]), resp.NewInt(0)
		if version, ok := parseInt(args[i+1]); ok && row != nil && row.Version == uint64(version) {
			remove(tx, args[i])
			reply = resp.NewInt(1)
		}
		replies = append(replies, reply)
	}
	return resp.NewArray(replies)
}
