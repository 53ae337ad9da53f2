package command

import (
	"bytes"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var hashCommands = []Spec{
	{Name: "HSET", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N log M), N fields, M of the hash",
		Summary: "Sets fields of a hash and returns how many of them are new.", Run: cmdHSet},
	{Name: "HMSET", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N log M), N fields, M of the hash",
		Summary: "Sets fields of a hash.", Run: cmdHSet,
		DeprecatedSince: "4.0.0", ReplacedBy: "`HSET` with multiple field-value pairs"},
	{Name: "HSETNX", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(log N), N fields",
		Summary: "Sets a field of a hash only when it does not exist.", Run: cmdHSetNX},
	{Name: "HGET", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(log N), N fields",
		Summary: "Returns the value of a field of a hash.", Run: cmdHGet},
	{Name: "HMGET", Arity: -3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N log M), N fields, M of the hash",
		Summary: "Returns the values of several fields of a hash.", Run: cmdHMGet},
	{Name: "HDEL", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N log M), N fields, M of the hash",
		Summary: "Deletes fields of a hash, and the hash with the last one, and returns how many there were.", Run: cmdHDel},
	{Name: "HLEN", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(1)",
		Summary: "Counts the fields of a hash.", Run: cmdHLen},
	{Name: "HSTRLEN", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupHash, Categories: CatHash, Since: "3.2.0", Complexity: "O(log N), N fields",
		Summary: "Returns the length of the value of a field of a hash, in bytes.", Run: cmdHStrLen},
	{Name: "HEXISTS", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(log N), N fields",
		Summary: "Tells whether a hash has a field.", Run: cmdHExists},
	{Name: "HKEYS", Arity: 2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N), N fields",
		Tips: []string{"nondeterministic_output_order"}, Summary: "Returns all fields of a hash.", Run: cmdHKeys},
	{Name: "HVALS", Arity: 2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N), N fields",
		Tips: []string{"nondeterministic_output_order"}, Summary: "Returns all values of a hash.", Run: cmdHVals},
	{Name: "HGETALL", Arity: 2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(N), N fields",
		Tips: []string{"nondeterministic_output_order"}, Summary: "Returns all fields and values of a hash.", Run: cmdHGetAll},
	{Name: "HINCRBY", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupHash, Categories: CatHash, Since: "2.0.0", Complexity: "O(log N), N fields",
		Summary: "Adds an integer to that of a field of a hash, which is 0 when the field does not exist.", Run: cmdHIncrBy},
	{Name: "HINCRBYFLOAT", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupHash, Categories: CatHash, Since: "2.6.0", Complexity: "O(log N), N fields",
		Summary: "Adds a number to that of a field of a hash, which is 0 when the field does not exist.",
		Run:     cmdHIncrByFloat},
	{Name: "HRANDFIELD", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "6.2.0", Complexity: "O(N log M), N fields, M of the hash",
		Tips: []string{"nondeterministic_output"}, Summary: "Returns random fields of a hash.", Run: cmdHRandField,
		Differs: "At most a million fields with repetitions at a time."},
	{Name: "HSCAN", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupHash, Categories: CatHash, Since: "2.8.0", Complexity: "O(1) a call, O(N) for all, N fields",
		Tips:    []string{"nondeterministic_output"},
		Summary: "Returns some fields and values of a hash, and the cursor to get the next ones with.", Run: cmdHScan,
		Differs: "A cursor is good for ever and on every node, and no field is returned twice."},
}

// lookupHash finds the hash at a key, which is empty without one. The reply is the error for a key of another type, and
// of kind None otherwise.
func lookupHash(tx *fsm.Txn, key []byte) (*fsm.HashValue, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind != fsm.Hash {
		return nil, errWrongType
	}
	return tx.Hash(key, row), resp.Reply{}
}

func cmdHSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	multiple := isOption(args[0], "HMSET")
	if len(args)%2 != 0 {
		if multiple {
			return wrongArity("hmset")
		}
		return wrongArity("hset")
	}
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	h.Expect(len(args)/2 - 1)
	created := int64(0)
	for i := 2; i < len(args); i += 2 {
		if h.Set(args[i], args[i+1]) {
			created++
		}
	}
	h.Save()
	tx.Notify(fsm.EventHash, "hset", args[1])
	if multiple {
		return resp.OK
	}
	return resp.NewInt(created)
}

func cmdHSetNX(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if _, found := h.Get(args[2]); found {
		return resp.NewInt(0)
	}
	h.Set(args[2], args[3])
	h.Save()
	tx.Notify(fsm.EventHash, "hset", args[1])
	return resp.NewInt(1)
}

// bulkOr is a value that was found, or null.
func bulkOr(value []byte, found bool) resp.Reply {
	if !found {
		return resp.Nil
	}
	return resp.NewBulk(value)
}

func cmdHGet(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return bulkOr(h.Get(args[2]))
}

func cmdHMGet(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	values := make([]resp.Reply, 0, len(args)-2)
	for _, field := range args[2:] {
		values = append(values, bulkOr(h.Get(field)))
	}
	return resp.NewArray(values)
}

func cmdHDel(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return deleteElements(tx, fsm.EventHash, "hdel", args[1], h, args[2:])
}

func cmdHLen(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(h.Len())
}

func cmdHStrLen(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	value, _ := h.Get(args[2])
	return resp.NewInt(int64(len(value)))
}

func cmdHExists(tx *fsm.Txn, args [][]byte) resp.Reply {
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if _, found := h.Get(args[2]); !found {
		return resp.NewInt(0)
	}
	return resp.NewInt(1)
}

func cmdHKeys(tx *fsm.Txn, args [][]byte) resp.Reply {
	return hashReply(tx, args[1], resp.Array, true, false)
}

func cmdHVals(tx *fsm.Txn, args [][]byte) resp.Reply {
	return hashReply(tx, args[1], resp.Array, false, true)
}

func cmdHGetAll(tx *fsm.Txn, args [][]byte) resp.Reply {
	return hashReply(tx, args[1], resp.Map, true, true)
}

// hashReply makes a reply of all fields of a hash, or of their values, or of both.
func hashReply(tx *fsm.Txn, key []byte, kind resp.Kind, fields, values bool) resp.Reply {
	h, bad := lookupHash(tx, key)
	if bad.IsError() {
		return bad
	}
	key = bytes.Clone(key)
	return tx.Long(kind, h.Len(), func(tx *fsm.Txn, from int64, yield func(resp.Reply) bool) {
		h, _ := lookupHash(tx, key)
		h.From(from, func(field, value []byte) bool {
			more := true
			if fields {
				more = yield(resp.NewBulk(field))
			}
			if values {
				more = yield(resp.NewBulk(value))
			}
			return more
		})
	})
}

func cmdHIncrBy(tx *fsm.Txn, args [][]byte) resp.Reply {
	by, ok := parseInt(args[3])
	if !ok {
		return errNotInteger
	}
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	var n int64
	if value, found := h.Get(args[2]); found {
		if n, ok = parseInt(value); !ok {
			return errHashNotInteger
		}
	}
	sum, ok := addInts(n, by)
	if !ok {
		return errOverflow
	}
	h.Set(args[2], formatInt(sum))
	h.Save()
	tx.Notify(fsm.EventHash, "hincrby", args[1])
	return resp.NewInt(sum)
}

func cmdHIncrByFloat(tx *fsm.Txn, args [][]byte) resp.Reply {
	by, ok := parseFloat(args[3])
	if !ok {
		return errNotFloat
	}
	if by.IsInf() {
		return errNaNOrInf
	}
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	old := []byte("0")
	if value, found := h.Get(args[2]); found {
		old = value
	}
	value, ok := parseFloat(old)
	if !ok {
		return errHashNotFloat
	}
	sum, ok := addFloats(value, by)
	if !ok {
		return errNaN
	}
	text := formatFloat(sum)
	h.Set(args[2], text)
	h.Save()
	tx.Notify(fsm.EventHash, "hincrbyfloat", args[1])
	return resp.NewBulk(text)
}

// randomRepeatsMax bounds the random elements that are drawn with repetitions: Redis sends them as they are drawn, and
// here a reply is made as a whole.
const randomRepeatsMax = 1 << 20

func cmdHRandField(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) == 2 {
		h, bad := lookupHash(tx, args[1])
		switch {
		case bad.IsError():
			return bad
		case h.Len() == 0:
			return resp.Nil
		}
		field, _ := h.At(int64(tx.Rand() % uint64(h.Len())))
		return resp.NewBulk(field)
	}
	count, ok := parseInt(args[2])
	switch {
	case !ok:
		return errNotInteger
	case count == math.MinInt64:
		return errCountRange
	case len(args) > 4 || len(args) == 4 && !isOption(args[3], "WITHVALUES"):
		return errSyntax
	case len(args) == 4 && (count < -math.MaxInt64/2 || count > math.MaxInt64/2):
		return errRange
	}
	h, bad := lookupHash(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return randomFields(tx, h, count, len(args) == 4)
}

// randomFields draws fields: count different ones, or -count with repetitions.
func randomFields(tx *fsm.Txn, h *fsm.HashValue, count int64, values bool) resp.Reply {
	elems := []resp.Reply{}
	show := func(field, value []byte) bool {
		elems = append(elems, resp.NewBulk(field))
		if values {
			elems = append(elems, resp.NewBulk(value))
		}
		return true
	}
	switch n := h.Len(); {
	case n == 0 || count == 0:
	case count < -randomRepeatsMax:
		return errRange
	case count < 0:
		for range -count {
			show(h.At(int64(tx.Rand() % uint64(n))))
		}
	case count >= n:
		h.All(show)
	default:
		for _, rank := range sample(tx, n, count) {
			show(h.At(rank))
		}
	}
	if values {
		return resp.NewPairs(elems)
	}
	return resp.NewArray(elems)
}

// sample draws k different numbers below n, in random order (Fisher-Yates, of which only what was moved is kept).
func sample(tx *fsm.Txn, n, k int64) []int64 {
	moved := make(map[int64]int64)
	at := func(i int64) int64 {
		if v, ok := moved[i]; ok {
			return v
		}
		return i
	}
	out := make([]int64, 0, k)
	for i := range k {
		j := i + int64(tx.Rand()%uint64(n-i))
		out = append(out, at(j))
		moved[j] = at(i)
	}
	return out
}

func cmdHScan(tx *fsm.Txn, args [][]byte) resp.Reply {
	return elementScan(tx, args, lookupHash, func(h *fsm.HashValue, from uint64, show showElement) uint64 {
		return h.Scan(from, func(field, value []byte) bool { return show(field, resp.NewBulk(value)) })
	})
}

// hashEncoding is Redis's name for how it would keep a hash.
func hashEncoding(h *fsm.HashValue) string {
	if h.Large() {
		return "hashtable"
	}
	return "listpack"
}
