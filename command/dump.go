package command

import (
	"errors"

	"redoubt/fsm"
	"redoubt/rdb"
	"redoubt/resp"
)

var dumpCommands = []Spec{
	{Name: "DUMP", Arity: 2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.6.0", Complexity: "O(N), N bytes of the value",
		Tips:    []string{"nondeterministic_output"},
		Summary: "Returns the value of a key in Redis's serialised form.", Run: cmdDump},
	{Name: "RESTORE", Arity: -4, Flags: Write | DenyOOM, Keys: oneKey(KeyOW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace | CatDangerous, Since: "2.6.0",
		Complexity: "O(N*log(N)), N elements of the value",
		Summary: "Makes a key of a serialised value, with a time to live (0: none, ABSTTL: a point in time) and " +
			"over what is there (REPLACE).",
		Run: cmdRestore,
		Differs: "IDLETIME and FREQ are checked and not kept. Every value is checked as with sanitize-dump-payload; " +
			"one that is larger than 512 MB when decompressed is refused."},
}

var (
	errBusyKey      = resp.NewError("BUSYKEY Target key name already exists.")
	errDumpFooter   = resp.NewError("ERR DUMP payload version or checksum are wrong")
	errDumpFormat   = resp.NewError("ERR Bad data format")
	errDumpTTL      = resp.NewError("ERR Invalid TTL value, must be >= 0")
	errDumpIdleTime = resp.NewError("ERR Invalid IDLETIME value, must be >= 0")
	errDumpFreq     = resp.NewError("ERR Invalid FREQ value, must be >= 0 and <= 255")
)

// serialised has, for each type, how its values become payloads and how they are made of them.
var serialised = map[rdb.Kind]struct {
	kind fsm.Kind
	dump func(tx *fsm.Txn, key []byte, row *fsm.Row) []byte
	// restore stores a value at a key that has none.
	restore func(tx *fsm.Txn, key []byte, v *rdb.Value)
}{
	rdb.String: {fsm.String, dumpString, restoreString},
	rdb.Hash:   {fsm.Hash, dumpHash, restoreHash},
	rdb.List:   {fsm.List, dumpList, restoreList},
	rdb.Set:    {fsm.Set, dumpSet, restoreSet},
	rdb.ZSet:   {fsm.ZSet, dumpZSet, restoreZSet},
	rdb.Stream: {fsm.Stream, dumpStream, restoreStream},
}

func dumpString(_ *fsm.Txn, _ []byte, row *fsm.Row) []byte { return rdb.AppendString(nil, row.Value) }

func restoreString(tx *fsm.Txn, key []byte, v *rdb.Value) { putString(tx, key, v.String(), 0) }

func dumpHash(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	h := tx.Hash(key, row)
	return rdb.AppendHash(nil, !h.Large(), int(h.Len()), func(yield func(field, value []byte) bool) { h.All(yield) })
}

func restoreHash(tx *fsm.Txn, key []byte, v *rdb.Value) {
	h := tx.Hash(key, nil)
	if h.Expect(v.Len); v.Packed {
		h.AnyLength()
	}
	h.Fill(v.Fields())
	h.Save()
}

func cmdDump(tx *fsm.Txn, args [][]byte) resp.Reply {
	row := tx.Lookup(args[1])
	if row == nil {
		return resp.Nil
	}
	return resp.NewBulk(rdb.Seal(dump(tx, args[1], row)))
}

// dump is the value of a row in its serialised form.
func dump(tx *fsm.Txn, key []byte, row *fsm.Row) []byte {
	for _, s := range serialised {
		if s.kind == row.Kind {
			return s.dump(tx, key, row)
		}
	}
	tx.Fail(errors.New("a type that has no serialised form"))
	return nil
}

// restoreOptions are those of RESTORE.
type restoreOptions struct{ replace, absolute bool }

func parseRestoreOptions(args [][]byte) (o restoreOptions, bad resp.Reply) {
	idle, freq := false, false
	for ; len(args) > 0; args = args[1:] {
		switch more := len(args) > 1; {
		case isOption(args[0], "REPLACE"):
			o.replace = true
			continue
		case isOption(args[0], "ABSTTL"):
			o.absolute = true
			continue
		case isOption(args[0], "IDLETIME") && more && !freq:
			idle = true
		case isOption(args[0], "FREQ") && more && !idle:
			freq = true
		default:
			return o, errSyntax
		}
		args = args[1:]
		n, ok := parseInt(args[0])
		switch {
		case !ok:
			return o, errNotInteger
		case idle && n < 0:
			return o, errDumpIdleTime
		case freq && (n < 0 || n > 255):
			return o, errDumpFreq
		}
	}
	return o, resp.Reply{}
}

func cmdRestore(tx *fsm.Txn, args [][]byte) resp.Reply {
	key := args[1]
	o, bad := parseRestoreOptions(args[4:])
	if bad.IsError() {
		return bad
	}
	if !o.replace && tx.Lookup(key) != nil {
		return errBusyKey
	}
	at, ok := parseInt(args[2])
	switch {
	case !ok:
		return errNotInteger
	case at < 0:
		return errDumpTTL
	}
	v, err := rdb.Open(args[3])
	switch {
	case errors.Is(err, rdb.ErrFooter):
		return errDumpFooter
	case err != nil:
		return errDumpFormat
	}
	if at != 0 && !o.absolute {
		if at, ok = addInts(at, tx.Now()); !ok { // Redis's sum wraps around, too
			at = 1
		}
	}
	kind, known := serialised[v.Kind]
	if !known {
		return errDumpFormat
	}
	deleted := tx.Delete(key)
	if at != 0 && at <= tx.Now() {
		if deleted {
			tx.Notify(fsm.EventGeneric, "del", key)
		}
		return resp.OK
	}
	kind.restore(tx, key, v)
	if at != 0 {
		tx.SetExpire(key, at)
	}
	tx.Notify(fsm.EventGeneric, "restore", key)
	return resp.OK
}
