package command

import (
	"fmt"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

// MaxStringBytes is the longest string that a command may build, and what proto-max-bulk-len is
// by default. It is a constant, not an option: all nodes must agree on which calls fail.
const MaxStringBytes = 64 << 20

var stringCommands = []Spec{
	{Name: "GET", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Returns the string at a key.", Run: cmdGet},
	{Name: "SET", Arity: -3, Flags: Write | DenyOOM,
		Keys: Keys{{Flags: KeyRW | KeyAccess | KeyUpdate | KeyVariable, First: 1, Step: 1,
			Notes: "RW and ACCESS due to the optional `GET` argument"}},
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Sets a key to a string, whatever it was before, with options for its expiry " +
			"(EX, PX, EXAT, PXAT, KEEPTTL), conditions (NX, XX; IFEQ, IFNE, IFDEQ and IFDNE since 8.4.0) and the old " +
			"value (GET).",
		Run: cmdSet, KeysOf: setKeys},
	{Name: "SETNX", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyOW | KeyInsert),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Sets a key to a string only when the key does not exist.", Run: cmdSetNX,
		DeprecatedSince: "2.6.12", ReplacedBy: "`SET` with the `NX` argument"},
	{Name: "SETEX", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey(KeyOW | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "2.0.0", Complexity: "O(1)",
		Summary: "Sets a key to a string that expires in so many seconds.", Run: cmdSetEX,
		DeprecatedSince: "2.6.12", ReplacedBy: "`SET` with the `EX` argument"},
	{Name: "PSETEX", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey(KeyOW | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "2.6.0", Complexity: "O(1)",
		Summary: "Sets a key to a string that expires in so many milliseconds.", Run: cmdPSetEX,
		DeprecatedSince: "2.6.12", ReplacedBy: "`SET` with the `PX` argument"},
	{Name: "GETSET", Arity: 3, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Sets a key to a string and returns the old one.", Run: cmdGetSet,
		DeprecatedSince: "6.2.0", ReplacedBy: "`SET` with the `!GET` argument"},
	{Name: "GETDEL", Arity: 2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupString, Categories: CatString, Since: "6.2.0", Complexity: "O(1)",
		Summary: "Returns the string at a key and deletes the key.", Run: cmdGetDel},
	{Name: "GETEX", Arity: -2, Flags: Write | Fast,
		Keys: Keys{{Flags: KeyRW | KeyAccess | KeyUpdate, First: 1, Step: 1,
			Notes: "RW and UPDATE because it changes the TTL"}},
		Group: GroupString, Categories: CatString, Since: "6.2.0", Complexity: "O(1)",
		Summary: "Returns the string at a key and sets or removes its expiry.", Run: cmdGetEX},
	{Name: "MGET", Arity: -2, Flags: ReadOnly | Fast, Keys: allKeys(KeyRO|KeyAccess, 1),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(N), N keys",
		Tips:    []string{"request_policy:multi_shard"},
		Summary: "Returns the strings at several keys.", Run: cmdMGet},
	{Name: "MSET", Arity: -3, Flags: Write | DenyOOM, Keys: allKeys(KeyOW|KeyUpdate, 2),
		Group: GroupString, Categories: CatString, Since: "1.0.1", Complexity: "O(N), N keys",
		Tips:    []string{"request_policy:multi_shard", "response_policy:all_succeeded"},
		Summary: "Sets several keys to strings, all at once.", Run: cmdMSet},
	{Name: "MSETNX", Arity: -3, Flags: Write | DenyOOM, Keys: allKeys(KeyOW|KeyInsert, 2),
		Group: GroupString, Categories: CatString, Since: "1.0.1", Complexity: "O(N), N keys",
		Summary: "Sets several keys to strings only when none of them exists.", Run: cmdMSetNX},
	{Name: "APPEND", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupString, Categories: CatString, Since: "2.0.0",
		Complexity: "O(N), N bytes of the resulting string",
		Summary:    "Adds bytes to the end of the string at a key and returns its length.",
		Run:        cmdAppend},
	{Name: "STRLEN", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupString, Categories: CatString, Since: "2.2.0", Complexity: "O(1)",
		Summary: "Returns the length of the string at a key, in bytes.", Run: cmdStrLen},
	{Name: "SETRANGE", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "2.2.0",
		Complexity: "O(N), N bytes of the resulting string",
		Summary:    "Overwrites a part of the string at a key, which grows with zero bytes if need be.",
		Run:        cmdSetRange},
	{Name: "GETRANGE", Arity: 4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupString, Categories: CatString, Since: "2.4.0",
		Complexity: "O(N), N bytes of the reply",
		Summary:    "Returns a part of the string at a key.", Run: cmdGetRange},
	{Name: "SUBSTR", Arity: 4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupString, Categories: CatString, Since: "1.0.0",
		Complexity: "O(N), N bytes of the reply",
		Summary:    "Returns a part of the string at a key.", Run: cmdGetRange,
		DeprecatedSince: "2.0.0", ReplacedBy: "`GETRANGE`"},
	{Name: "INCR", Arity: 2, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Adds one to the integer at a key, which is 0 when the key does not exist.",
		Run:     cmdIncr},
	{Name: "DECR", Arity: 2, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Takes one from the integer at a key, which is 0 when the key does not exist.",
		Run:     cmdDecr},
	{Name: "INCRBY", Arity: 3, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Adds an integer to the one at a key, which is 0 when the key does not exist.",
		Run:     cmdIncrBy},
	{Name: "DECRBY", Arity: 3, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Takes an integer from the one at a key, which is 0 when the key does not exist.",
		Run:     cmdDecrBy},
	{Name: "INCRBYFLOAT", Arity: 3, Flags: Write | DenyOOM | Fast,
		Keys:  oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupString, Categories: CatString, Since: "2.6.0", Complexity: "O(1)",
		Summary: "Adds a number to the one at a key, which is 0 when the key does not exist.",
		Run:     cmdIncrByFloat},
	{Name: "LCS", Arity: -3, Flags: ReadOnly,
		Keys:  Keys{{Flags: KeyRO | KeyAccess, First: 1, Last: 1, Step: 1}},
		Group: GroupString, Categories: CatString, Since: "7.0.0",
		Complexity: "O(N*M), N and M bytes of the two strings",
		Summary:    "Finds the longest common subsequence of the strings at two keys.",
		Run:        cmdLCS,
		Differs: fmt.Sprintf("The memory it may use is bounded to %d MB, since that is our "+
			"proto-max-bulk-len.", MaxStringBytes>>20)},
}

// lookupString finds the string at a key. Without a key the row is nil; the reply is the error
// for a key of another type, and of kind None otherwise.
func lookupString(tx *fsm.Txn, key []byte) (*fsm.Row, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind != fsm.String {
		return nil, errWrongType
	}
	return row, resp.Reply{}
}

// get is the reply of GET.
func get(tx *fsm.Txn, key []byte) resp.Reply {
	row, bad := lookupString(tx, key)
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.Nil
	}
	return resp.NewBulk(row.Value)
}

func putString(tx *fsm.Txn, key, value []byte, expireAt int64) {
	tx.Put(key, fsm.Row{Kind: fsm.String, Value: value, ExpireAt: expireAt})
}

// keepString is putString of a value that was made for it, and need not be copied.
func keepString(tx *fsm.Txn, key, value []byte, expireAt int64) {
	tx.Keep(key, fsm.Row{Kind: fsm.String, Value: value, ExpireAt: expireAt})
}

// keepExpiry is the expiry that a changed value takes over from the old row.
func keepExpiry(old *fsm.Row) int64 {
	if old == nil {
		return 0
	}
	return old.ExpireAt
}

func cmdGet(tx *fsm.Txn, args [][]byte) resp.Reply { return get(tx, args[1]) }

// setKeys says what a call of SET does with its key: only with GET or a condition on the value it reads it.
func setKeys(args [][]byte) []Key {
	for i, arg := range args[3:] {
		if _, ok := takeCondition(args[3+i:]); ok || isOption(arg, "GET") {
			return []Key{{Index: 1, Flags: KeyRW | KeyAccess | KeyUpdate}}
		}
	}
	return []Key{{Index: 1, Flags: KeyOW | KeyUpdate}}
}

func cmdSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseSetOptions(args, 3, setOptions)
	if bad.IsError() {
		return bad
	}
	expireAt, bad := o.expireAt(tx, "set")
	if bad.IsError() {
		return bad
	}
	key, reply := args[1], resp.OK
	if o.get {
		if reply = get(tx, key); reply.IsError() {
			return reply
		}
	}
	var old *fsm.Row
	if o.nx || o.xx || o.keepTTL || o.match.given { // otherwise the old value needs not be read from the disk
		old = tx.Lookup(key)
	}
	holds, bad := o.match.holds(old)
	if bad.IsError() {
		return bad
	}
	if o.nx && old != nil || o.xx && old == nil || !holds {
		if o.get {
			return reply
		}
		return resp.Nil
	}
	if o.keepTTL {
		expireAt = keepExpiry(old)
	}
	setUntil(tx, key, args[2], expireAt, expireAt != 0 && !o.keepTTL)
	return reply
}

// setUntil stores a string that expires at a time, 0 meaning never. A time that has passed
// deletes the key: nobody could see the new value anyway. expires says that the time is new, and told of.
func setUntil(tx *fsm.Txn, key, value []byte, expireAt int64, expires bool) {
	past := expireAt != 0 && expireAt <= tx.Now()
	if !past {
		setString(tx, key, value, expireAt)
	} else {
		if !tx.Delete(key) {
			tx.Notify(fsm.EventNew, "new", key)
		}
		tx.Notify(fsm.EventString, "set", key)
	}
	if expires {
		tx.Notify(fsm.EventGeneric, "expire", key)
	}
	if past {
		tx.Notify(fsm.EventExpired, "expired", key)
	}
}

func cmdSetNX(tx *fsm.Txn, args [][]byte) resp.Reply {
	if tx.Lookup(args[1]) != nil {
		return resp.NewInt(0)
	}
	setString(tx, args[1], args[2], 0)
	return resp.NewInt(1)
}

func cmdSetEX(tx *fsm.Txn, args [][]byte) resp.Reply {
	return setExpiring(tx, args, expiry{mode: expireIn, unit: 1000}, "setex")
}

func cmdPSetEX(tx *fsm.Txn, args [][]byte) resp.Reply {
	return setExpiring(tx, args, expiry{mode: expireIn, unit: 1}, "psetex")
}

func setExpiring(tx *fsm.Txn, args [][]byte, e expiry, name string) resp.Reply {
	e.amount = args[2]
	expireAt, bad := e.expireAt(tx, name)
	if bad.IsError() {
		return bad
	}
	setUntil(tx, args[1], args[3], expireAt, true)
	return resp.OK
}

func cmdGetSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	reply := get(tx, args[1])
	if !reply.IsError() {
		setString(tx, args[1], args[2], 0)
	}
	return reply
}

func cmdGetDel(tx *fsm.Txn, args [][]byte) resp.Reply {
	reply := get(tx, args[1])
	if !reply.IsError() {
		remove(tx, args[1])
	}
	return reply
}

func cmdGetEX(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseSetOptions(args, 2, getEXOptions)
	if bad.IsError() {
		return bad
	}
	reply := get(tx, args[1])
	if reply.IsError() || reply.Kind == resp.Null {
		return reply
	}
	expireAt, bad := o.expireAt(tx, "getex")
	switch {
	case bad.IsError():
		return bad
	case o.persist:
		persist(tx, args[1])
	case expireAt != 0:
		expireKey(tx, args[1], expireAt)
	}
	return reply
}

func cmdMGet(tx *fsm.Txn, args [][]byte) resp.Reply {
	values := make([]resp.Reply, len(args)-1)
	for i, key := range args[1:] {
		if values[i] = get(tx, key); values[i].IsError() {
			values[i] = resp.Nil
		}
	}
	return resp.NewArray(values)
}

func cmdMSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args)%2 == 0 {
		return wrongArity("mset")
	}
	for i := 1; i < len(args); i += 2 {
		setString(tx, args[i], args[i+1], 0)
	}
	return resp.OK
}

func cmdMSetNX(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args)%2 == 0 {
		return wrongArity("msetnx")
	}
	for i := 1; i < len(args); i += 2 {
		if tx.Lookup(args[i]) != nil {
			return resp.NewInt(0)
		}
	}
	for i := 1; i < len(args); i += 2 {
		setString(tx, args[i], args[i+1], 0)
	}
	return resp.NewInt(1)
}

func cmdAppend(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupString(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if row == nil {
		putString(tx, args[1], args[2], 0)
		tx.Notify(fsm.EventString, "append", args[1])
		return resp.NewInt(int64(len(args[2])))
	}
	if len(row.Value)+len(args[2]) > MaxStringBytes {
		return errTooLong
	}
	value := make([]byte, 0, len(row.Value)+len(args[2]))
	value = append(append(value, row.Value...), args[2]...)
	keepString(tx, args[1], value, row.ExpireAt)
	tx.Notify(fsm.EventString, "append", args[1])
	return resp.NewInt(int64(len(value)))
}

func cmdStrLen(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.NewInt(0)
	}
	return resp.NewInt(int64(len(row.Value)))
}

func cmdSetRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	offset, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if offset < 0 {
		return errOffset
	}
	row, bad := lookupString(tx, args[1])
	if bad.IsError() {
		return bad
	}
	var old []byte
	if row != nil {
		old = row.Value
	}
	patch := args[3]
	if len(patch) == 0 {
		return resp.NewInt(int64(len(old)))
	}
	if offset > int64(MaxStringBytes-len(patch)) {
		return errTooLong
	}
	value := make([]byte, max(len(old), int(offset)+len(patch)))
	copy(value, old)
	copy(value[offset:], patch)
	keepString(tx, args[1], value, keepExpiry(row))
	tx.Notify(fsm.EventString, "setrange", args[1])
	return resp.NewInt(int64(len(value)))
}

func cmdGetRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	start, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	end, ok := parseInt(args[3])
	if !ok {
		return errNotInteger
	}
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil || start < 0 && end < 0 && start > end:
		return resp.NewBulk(nil)
	}
	size := int64(len(row.Value))
	start, end = fromEnd(start, size), min(fromEnd(end, size), size-1)
	if start > end {
		return resp.NewBulk(nil)
	}
	return resp.NewBulk(row.Value[start : end+1])
}

// fromEnd turns an index that counts back from the end when it is negative into one from the
// start, at least 0.
func fromEnd(index, size int64) int64 {
	if index < 0 {
		return max(size+index, 0)
	}
	return index
}

func cmdIncr(tx *fsm.Txn, args [][]byte) resp.Reply { return increment(tx, args[1], 1) }
func cmdDecr(tx *fsm.Txn, args [][]byte) resp.Reply { return increment(tx, args[1], -1) }

func cmdIncrBy(tx *fsm.Txn, args [][]byte) resp.Reply {
	by, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	return increment(tx, args[1], by)
}

func cmdDecrBy(tx *fsm.Txn, args [][]byte) resp.Reply {
	by, ok := parseInt(args[2])
	switch {
	case !ok:
		return errNotInteger
	case by == math.MinInt64:
		return errDecrOverflow
	}
	return increment(tx, args[1], -by)
}

func increment(tx *fsm.Txn, key []byte, by int64) resp.Reply {
	row, bad := lookupString(tx, key)
	if bad.IsError() {
		return bad
	}
	var n int64
	if row != nil {
		var ok bool
		if n, ok = parseInt(row.Value); !ok {
			return errNotInteger
		}
	}
	sum, ok := addInts(n, by)
	if !ok {
		return errOverflow
	}
	keepString(tx, key, formatInt(sum), keepExpiry(row))
	tx.Notify(fsm.EventString, "incrby", key)
	return resp.NewInt(sum)
}

func cmdIncrByFloat(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupString(tx, args[1])
	if bad.IsError() {
		return bad
	}
	old := []byte("0")
	if row != nil {
		old = row.Value
	}
	value, ok := parseFloat(old)
	if !ok {
		return errNotFloat
	}
	by, ok := parseFloat(args[2])
	if !ok {
		return errNotFloat
	}
	sum, ok := addFloats(value, by)
	if !ok {
		return errNaN
	}
	text := formatFloat(sum)
	putString(tx, args[1], text, keepExpiry(row))
	tx.Notify(fsm.EventString, "incrbyfloat", args[1])
	return resp.NewBulk(text)
}
