package command

import (
	"bytes"
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var listCommands = []Spec{
	{Name: "LPUSH", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Adds elements before the first one of a list, one after the other, and returns the length.", Run: cmdLPush},
	{Name: "RPUSH", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Adds elements after the last one of a list and returns the length.", Run: cmdRPush},
	{Name: "LPUSHX", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupList, Categories: CatList, Since: "2.2.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Adds elements before the first one of a list only when the list exists.", Run: cmdLPushX},
	{Name: "RPUSHX", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupList, Categories: CatList, Since: "2.2.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Adds elements after the last one of a list only when the list exists.", Run: cmdRPushX},
	{Name: "LPOP", Arity: -2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Takes the first elements out of a list and returns them.", Run: cmdLPop},
	{Name: "RPOP", Arity: -2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyAccess | KeyDelete),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Takes the last elements out of a list and returns them.", Run: cmdRPop},
	{Name: "LMPOP", Arity: -4, Flags: Write,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 2, Step: 1, KeyNum: 1}},
		Group: GroupList, Categories: CatList, Since: "7.0.0",
		Complexity: "O(N + M + log L), N keys, M elements, L of the list",
		Summary:    "Takes elements out of the first list of several that has some and returns them.", Run: cmdLMPop},
	{Name: "LMOVE", Arity: 5, Flags: Write | DenyOOM, Keys: twoKeys(KeyRW|KeyAccess|KeyDelete, KeyRW|KeyInsert),
		Group: GroupList, Categories: CatList, Since: "6.2.0", Complexity: "O(log N), N elements",
		Summary: "Takes an element out at an end of a list, adds it at an end of another one, and returns it.",
		Run:     cmdLMove},
	{Name: "RPOPLPUSH", Arity: 3, Flags: Write | DenyOOM, Keys: twoKeys(KeyRW|KeyAccess|KeyDelete, KeyRW|KeyInsert),
		Group: GroupList, Categories: CatList, Since: "1.2.0", Complexity: "O(log N), N elements",
		Summary:         "Takes the last element out of a list, adds it before the first one of another list, and returns it.",
		DeprecatedSince: "6.2.0", ReplacedBy: "`LMOVE` with the `RIGHT` and `LEFT` arguments", Run: cmdRPopLPush},
	{Name: "LLEN", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Counts the elements of a list.", Run: cmdLLen},
	{Name: "LRANGE", Arity: 4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N + log M), N elements, M of the list",
		Summary: "Returns the elements from one index of a list to another.", Run: cmdLRange},
	{Name: "LINDEX", Arity: 3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(log N), N elements",
		Summary: "Returns the element at an index of a list.", Run: cmdLIndex},
	{Name: "LPOS", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupList, Categories: CatList, Since: "6.0.6", Complexity: "O(N), N elements that are looked at",
		Summary: "Returns the indexes at which a list has an element.", Run: cmdLPos},
	{Name: "LSET", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(log N), N elements",
		Summary: "Replaces the element at an index of a list.", Run: cmdLSet,
		Differs: "An index that 32 bits can't hold is out of range, and not what its lower bits say."},
	{Name: "LINSERT", Arity: 5, Flags: Write | DenyOOM, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupList, Categories: CatList, Since: "2.2.0", Complexity: "O(N), N elements before the other one",
		Summary: "Adds an element before or after another one of a list.", Run: cmdLInsert},
	{Name: "LREM", Arity: 4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupList, Categories: CatList, Since: "1.0.0", Complexity: "O(N), N elements",
		Summary: "Takes the elements that are equal to one out of a list and returns how many there were.", Run: cmdLRem},
	{Name: "LTRIM", Arity: 4, Flags: Write, Keys: oneKey(KeyRW | KeyDelete),
		Group: GroupList, Categories: CatList, Since: "1.0.0",
		Complexity: "O(N log M), N elements that go or that stay, M of the list",
		Summary:    "Leaves only the elements from one index of a list to another.", Run: cmdLTrim},
}

var (
	errRankZero = resp.NewError("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... " +
		"or use negative to start from the end of the list")
	errCountNegative  = resp.NewError("ERR COUNT can't be negative")
	errMaxLenNegative = resp.NewError("ERR MAXLEN can't be negative")
)

// lookupList finds the list at a key, which is empty without one. The reply is the error for a key of another type, and
// of kind None otherwise.
func lookupList(tx *fsm.Txn, key []byte) (*fsm.ListValue, resp.Reply) {
	row := tx.Lookup(key)
	if row != nil && row.Kind != fsm.List {
		return nil, errWrongType
	}
	return tx.List(key, row), resp.Reply{}
}

func cmdLPush(tx *fsm.Txn, args [][]byte) resp.Reply  { return push(tx, args, true, false) }
func cmdRPush(tx *fsm.Txn, args [][]byte) resp.Reply  { return push(tx, args, false, false) }
func cmdLPushX(tx *fsm.Txn, args [][]byte) resp.Reply { return push(tx, args, true, true) }
func cmdRPushX(tx *fsm.Txn, args [][]byte) resp.Reply { return push(tx, args, false, true) }

func push(tx *fsm.Txn, args [][]byte, head, onlyExisting bool) resp.Reply {
	l, bad := lookupList(tx, args[1])
	if bad.IsError() {
		return bad
	}
	if onlyExisting && l.Len() == 0 {
		return resp.NewInt(0)
	}
	l.Push(head, args[2:]...)
	l.Save()
	tx.Notify(fsm.EventList, pushEvent(head), args[1])
	return resp.NewInt(l.Len())
}

func pushEvent(head bool) string {
	if head {
		return "lpush"
	}
	return "rpush"
}

func popEvent(head bool) string {
	if head {
		return "lpop"
	}
	return "rpop"
}

func cmdLPop(tx *fsm.Txn, args [][]byte) resp.Reply { return pop(tx, args, true) }
func cmdRPop(tx *fsm.Txn, args [][]byte) resp.Reply { return pop(tx, args, false) }

func pop(tx *fsm.Txn, args [][]byte, head bool) resp.Reply {
	if len(args) > 3 {
		return wrongArity(popEvent(head))
	}
	count, none := int64(1), resp.Nil
	if len(args) == 3 {
		var ok bool
		if count, ok = parseInt(args[2]); !ok || count < 0 {
			return errNotPositive
		}
		none = resp.NilArray
	}
	l, bad := lookupList(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case l.Len() == 0:
		return none
	case len(args) == 3:
		return popSome(tx, args[1], l, head, count)
	}
	return popOne(tx, args[1], l, head)
}

// popOne takes the element at an end out of a list that is not empty.
func popOne(tx *fsm.Txn, key []byte, l *fsm.ListValue, head bool) resp.Reply {
	value := l.Pop(head)
	l.Save()
	shrunk(tx, fsm.EventList, popEvent(head), key, l.Len())
	return resp.NewBulk(value)
}

// popSome takes up to count elements at an end out of a list, from the end on.
func popSome(tx *fsm.Txn, key []byte, l *fsm.ListValue, head bool, count int64) resp.Reply {
	count = min(count, l.Len())
	first := int64(0)
	if !head {
		first = l.Len() - 1
	}
	values := elementsOf(l, first, count, !head)
	if head {
		l.Trim(count, l.Len())
	} else {
		l.Trim(0, l.Len()-count)
	}
	l.Save()
	if count > 0 {
		shrunk(tx, fsm.EventList, popEvent(head), key, l.Len())
	}
	return values
}

// elementsOf are count elements from an index on.
func elementsOf(l *fsm.ListValue, from, count int64, back bool) resp.Reply {
	values := make([]resp.Reply, 0, count)
	if count > 0 {
		l.Each(from, back, func(_ int64, value []byte) bool {
			values = append(values, resp.NewBulk(value))
			count--
			return count > 0
		})
	}
	return resp.NewArray(values)
}

func cmdLMPop(tx *fsm.Txn, args [][]byte) resp.Reply {
	keys, head, count, bad := parseMPop(args[1:])
	if bad.IsError() {
		return bad
	}
	return popFirst(tx, keys, head, count)
}

// parseMPop reads the number of keys, the keys, the end, and how many elements.
func parseMPop(args [][]byte) (keys [][]byte, head bool, count int64, bad resp.Reply) {
	n, ok := parseInt(args[0])
	switch {
	case !ok || n < 1:
		return nil, false, 0, errNumKeys
	case n >= int64(len(args))-1:
		return nil, false, 0, errSyntax
	}
	keys, args = args[1:1+n], args[1+n:]
	if head, bad = parseEnd(args[0]); bad.IsError() {
		return nil, false, 0, bad
	}
	for i := 1; i < len(args); i += 2 {
		if count != 0 || !isOption(args[i], "COUNT") || i+1 == len(args) {
			return nil, false, 0, errSyntax
		}
		if count, ok = parseInt(args[i+1]); !ok || count < 1 {
			return nil, false, 0, errCountZero
		}
	}
	return keys, head, max(count, 1), resp.Reply{}
}

// parseEnd reads an end of a list.
func parseEnd(arg []byte) (head bool, bad resp.Reply) {
	switch {
	case isOption(arg, "LEFT"):
		return true, resp.Reply{}
	case isOption(arg, "RIGHT"):
		return false, resp.Reply{}
	}
	return false, errSyntax
}

// popFirst takes elements out of the first list that has some, and answers with its key and them.
func popFirst(tx *fsm.Txn, keys [][]byte, head bool, count int64) resp.Reply {
	for _, key := range keys {
		l, bad := lookupList(tx, key)
		switch {
		case bad.IsError():
			return bad
		case l.Len() > 0:
			return resp.ArrayOf(resp.NewBulk(key), popSome(tx, key, l, head, count))
		}
	}
	return resp.NilArray
}

func cmdLMove(tx *fsm.Txn, args [][]byte) resp.Reply {
	fromHead, bad := parseEnd(args[3])
	if bad.IsError() {
		return bad
	}
	toHead, bad := parseEnd(args[4])
	if bad.IsError() {
		return bad
	}
	return moveElement(tx, args[1], args[2], fromHead, toHead)
}

func cmdRPopLPush(tx *fsm.Txn, args [][]byte) resp.Reply {
	return moveElement(tx, args[1], args[2], false, true)
}

// moveElement takes an element out at an end of a list and adds it at an end of another one, or of the same.
func moveElement(tx *fsm.Txn, source, destination []byte, fromHead, toHead bool) resp.Reply {
	from, bad := lookupList(tx, source)
	switch {
	case bad.IsError():
		return bad
	case from.Len() == 0:
		return resp.Nil
	}
	if string(source) == string(destination) {
		value := from.Pop(fromHead)
		from.Push(toHead, value)
		from.Save()
		tx.Notify(fsm.EventList, pushEvent(toHead), destination)
		tx.Notify(fsm.EventList, popEvent(fromHead), source)
		return resp.NewBulk(value)
	}
	to, bad := lookupList(tx, destination)
	if bad.IsError() {
		return bad
	}
	value := from.Pop(fromHead)
	to.Push(toHead, value)
	to.Save()
	tx.Notify(fsm.EventList, pushEvent(toHead), destination)
	from.Save()
	shrunk(tx, fsm.EventList, popEvent(fromHead), source, from.Len())
	return resp.NewBulk(value)
}

func cmdLLen(tx *fsm.Txn, args [][]byte) resp.Reply {
	l, bad := lookupList(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(l.Len())
}

// parseRange reads two indexes.
func parseRange(args [][]byte) (from, to int64, bad resp.Reply) {
	from, ok := parseInt(args[0])
	if ok {
		to, ok = parseInt(args[1])
	}
	if !ok {
		return 0, 0, errNotInteger
	}
	return from, to, resp.Reply{}
}

// within turns the indexes of the first and the last element, where negative ones count from the end, into those of
// the first and the one after the last of a list with so many.
func within(first, last, length int64) (from, to int64) {
	if first < 0 {
		first = max(first+length, 0)
	}
	if last < 0 {
		last += length
	}
	if first > last || first >= length {
		return 0, 0
	}
	return first, min(last, length-1) + 1
}

// lookupRange finds the list of a call, and which of its elements the call means: from one index to before another.
func lookupRange(tx *fsm.Txn, args [][]byte) (l *fsm.ListValue, from, to int64, bad resp.Reply) {
	first, last, bad := parseRange(args[2:])
	if bad.IsError() {
		return nil, 0, 0, bad
	}
	if l, bad = lookupList(tx, args[1]); bad.IsError() {
		return nil, 0, 0, bad
	}
	from, to = within(first, last, l.Len())
	return l, from, to, bad
}

func cmdLRange(tx *fsm.Txn, args [][]byte) resp.Reply {
	l, from, to, bad := lookupRange(tx, args)
	if bad.IsError() {
		return bad
	}
	if !l.Large() {
		return elementsOf(l, from, to-from, false)
	}
	key := bytes.Clone(args[1])
	return tx.Long(resp.Array, to-from, func(at *fsm.Txn, rank int64, yield func(resp.Reply) bool) {
		if rank == to-from {
			return
		}
		l := l
		if at != tx {
			l, _ = lookupList(at, key)
		}
		l.Each(from+rank, false, func(index int64, value []byte) bool {
			return yield(resp.NewBulk(value)) && index < to-1
		})
	})
}

func cmdLTrim(tx *fsm.Txn, args [][]byte) resp.Reply {
	l, from, to, bad := lookupRange(tx, args)
	if bad.IsError() {
		return bad
	}
	if l.Len() == 0 {
		return resp.OK
	}
	l.Touch() // also when all elements are kept
	l.Trim(from, to)
	l.Save()
	shrunk(tx, fsm.EventList, "ltrim", args[1], l.Len())
	return resp.OK
}

func cmdLIndex(tx *fsm.Txn, args [][]byte) resp.Reply {
	l, bad := lookupList(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case l.Len() == 0:
		return resp.Nil
	}
	index, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if index < 0 {
		index += l.Len()
	}
	if index < 0 || index >= l.Len() {
		return resp.Nil
	}
	return resp.NewBulk(l.At(index))
}

func cmdLSet(tx *fsm.Txn, args [][]byte) resp.Reply {
	l, bad := lookupList(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case l.Len() == 0:
		return errNoSuchKey
	}
	index, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if index < 0 {
		index += l.Len()
	}
	if index < 0 || index >= l.Len() {
		return errIndex
	}
	l.Set(index, args[3])
	l.Save()
	tx.Notify(fsm.EventList, "lset", args[1])
	return resp.OK
}

func cmdLInsert(tx *fsm.Txn, args [][]byte) resp.Reply {
	after := int64(0)
	switch {
	case isOption(args[2], "AFTER"):
		after = 1
	case !isOption(args[2], "BEFORE"):
		return errSyntax
	}
	l, bad := lookupList(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case l.Len() == 0:
		return resp.NewInt(0)
	}
	l.Reserve(1, len(args[4])) // as in Redis also when there is nothing to add it to
	at := int64(-1)
	l.Each(0, false, func(index int64, value []byte) bool {
		if string(value) == string(args[3]) {
			at = index
		}
		return at < 0
	})
	length := int64(-1)
	if at >= 0 {
		l.Insert(at+after, args[4])
		length = l.Len()
	}
	l.Save()
	if at >= 0 {
		tx.Notify(fsm.EventList, "linsert", args[1])
	}
	return resp.NewInt(length)
}

func cmdLRem(tx *fsm.Txn, args [][]byte) resp.Reply {
	count, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	l, bad := lookupList(tx, args[1])
	if bad.IsError() {
		return bad
	}
	limit := max(count, -count)
	if limit <= 0 { // 0, or the negation of the lowest integer
		limit = math.MaxInt64
	}
	removed := l.Remove(args[3], limit, count < 0)
	l.Save()
	if removed > 0 {
		shrunk(tx, fsm.EventList, "lrem", args[1], l.Len())
	}
	return resp.NewInt(removed)
}

// posOptions are those of LPOS.
type posOptions struct {
	rank   int64 // how many equal elements to go on to, from 1 on; negative: from the tail
	count  int64 // at most so many; 0: all
	array  bool  // whether COUNT was given
	maxLen int64 // at most so many elements are looked at; 0: all
}

func parsePos(args [][]byte) (o posOptions, bad resp.Reply) {
	o.rank = 1
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return o, errSyntax
		}
		n, ok := parseInt(args[i+1])
		switch {
		case isOption(args[i], "RANK"):
			switch {
			case !ok:
				return o, errNotInteger
			case n == math.MinInt64:
				return o, errCountRange
			case n == 0:
				return o, errRankZero
			}
			o.rank = n
		case isOption(args[i], "COUNT"):
			if !ok || n < 0 {
				return o, errCountNegative
			}
			o.count, o.array = n, true
		case isOption(args[i], "MAXLEN"):
			if !ok || n < 0 {
				return o, errMaxLenNegative
			}
			o.maxLen = n
		default:
			return o, errSyntax
		}
	}
	return o, resp.Reply{}
}

func cmdLPos(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parsePos(args[3:])
	if bad.IsError() {
		return bad
	}
	l, bad := lookupList(tx, args[1])
	if bad.IsError() {
		return bad
	}
	found := positions(l, args[2], o)
	switch {
	case o.array:
		return resp.NewArray(found)
	case len(found) > 0:
		return found[0]
	}
	return resp.Nil
}

// positions are the indexes that LPOS answers with.
func positions(l *fsm.ListValue, value []byte, o posOptions) []resp.Reply {
	found := []resp.Reply{}
	back, skip, from := o.rank < 0, o.rank-1, int64(0)
	if back {
		skip, from = -o.rank-1, l.Len()-1
	}
	limit := o.count
	if !o.array {
		limit = 1
	}
	looked := int64(0)
	l.Each(from, back, func(index int64, v []byte) bool {
		looked++
		switch {
		case string(v) != string(value):
		case skip > 0:
			skip--
		default:
			found = append(found, resp.NewInt(index))
			if int64(len(found)) == limit {
				return false
			}
		}
		return looked != o.maxLen
	})
	return found
}

// listEncoding is Redis's name for how it would keep a list.
func listEncoding(l *fsm.ListValue) string {
	if l.Large() {
		return "quicklist"
	}
	return "listpack"
}
