package command

import (
	"math"
	"math/big"

	"redoubt/fsm"
	"redoubt/resp"
)

// The state machine has nobody who waits: in the log, in a transaction and in a script these commands take what there
// is, or answer that there is nothing. Waiting and trying again are the server's: see Waiting.

const lastKeyBeforeTimeout = -2

var blockingListCommands = []Spec{
	{Name: "BLPOP", Arity: -3, Flags: Write | Blocking,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 1, Last: lastKeyBeforeTimeout, Step: 1}},
		Group: GroupList, Categories: CatList, Since: "2.0.0", Complexity: "O(N + log M), N keys, M elements of the list",
		Summary: "Takes the first element out of the first list of several that has some, and waits until one has.",
		Run:     cmdBLPop, Wait: waitBeforeLast(fsm.List)},
	{Name: "BRPOP", Arity: -3, Flags: Write | Blocking,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 1, Last: lastKeyBeforeTimeout, Step: 1}},
		Group: GroupList, Categories: CatList, Since: "2.0.0", Complexity: "O(N + log M), N keys, M elements of the list",
		Summary: "Takes the last element out of the first list of several that has some, and waits until one has.",
		Run:     cmdBRPop, Wait: waitBeforeLast(fsm.List)},
	{Name: "BLMOVE", Arity: 6, Flags: Write | DenyOOM | Blocking,
		Keys:  twoKeys(KeyRW|KeyAccess|KeyDelete, KeyRW|KeyInsert),
		Group: GroupList, Categories: CatList, Since: "6.2.0", Complexity: "O(log N), N elements",
		Summary: "Takes an element out at an end of a list, adds it at an end of another one, and returns it; waits for one.",
		Run:     cmdBLMove, Wait: waitForSource},
	{Name: "BRPOPLPUSH", Arity: 4, Flags: Write | DenyOOM | Blocking,
		Keys:  twoKeys(KeyRW|KeyAccess|KeyDelete, KeyRW|KeyInsert),
		Group: GroupList, Categories: CatList, Since: "2.2.0", Complexity: "O(log N), N elements",
		Summary: "Takes the last element out of a list, adds it before the first one of another list, and returns it; " +
			"waits for one.",
		DeprecatedSince: "6.2.0", ReplacedBy: "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
		Run: cmdBRPopLPush, Wait: waitForSource},
	{Name: "BLMPOP", Arity: -5, Flags: Write | Blocking,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 3, Step: 1, KeyNum: 2}},
		Group: GroupList, Categories: CatList, Since: "7.0.0",
		Complexity: "O(N + M + log L), N keys, M elements, L of the list",
		Summary:    "Takes elements out of the first list of several that has some, and waits until one has.",
		Run:        cmdBLMPop, Wait: waitBLMPop},
}

var blockingZSetCommands = []Spec{
	{Name: "BZPOPMIN", Arity: -3, Flags: Write | Blocking | Fast,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 1, Last: lastKeyBeforeTimeout, Step: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "5.0.0", Complexity: "O(log N), N members",
		Summary: "Removes the member with the lowest score from the first sorted set of several that there is, and waits " +
			"until there is one.",
		Run: cmdBZPopMin, Wait: waitBeforeLast(fsm.ZSet)},
	{Name: "BZPOPMAX", Arity: -3, Flags: Write | Blocking | Fast,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 1, Last: lastKeyBeforeTimeout, Step: 1}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "5.0.0", Complexity: "O(log N), N members",
		Summary: "Removes the member with the highest score from the first sorted set of several that there is, and waits " +
			"until there is one.",
		Run: cmdBZPopMax, Wait: waitBeforeLast(fsm.ZSet)},
	{Name: "BZMPOP", Arity: -5, Flags: Write | Blocking,
		Keys:  Keys{{Flags: KeyRW | KeyAccess | KeyDelete, First: 3, Step: 1, KeyNum: 2}},
		Group: GroupZSet, Categories: CatSortedSet, Since: "7.0.0",
		Complexity: "O(K + M log N), K keys, M members that are removed, N of the sorted set",
		Summary:    "Removes members from the first sorted set of several that there is, and waits until there is one.",
		Run:        cmdBZMPop, Wait: waitBZMPop},
}

// internalBlockingCommands are what a server asks its own node for those who wait.
var internalBlockingCommands = []Spec{
	{Name: "PEEK", Arity: -2, Flags: ReadOnly | Internal, Keys: oneKey(KeyRO),
		Group: GroupGeneric, Since: "0.3.0", Summary: "Says what there is at a key for those who wait for it.", Run: cmdPeek},
	{Name: "XREADFROM", Arity: -4, Flags: ReadOnly | Internal,
		Group: GroupStream, Since: "0.3.0", Summary: "Returns the ids from which on a call of XREAD reads.", Run: cmdXReadFrom},
}

// Waiting is what a call waits for that has found nothing.
type Waiting struct {
	Keys [][]byte
	Kind fsm.Kind // what one of them has to become
	// Takes is how many elements of a key the call takes at most; 0: it takes none, as XREAD.
	Takes int64
	Group []byte // of XREADGROUP, which also answers when its group is no more; nil otherwise
	// Timeout is how long, in milliseconds; 0 is without an end.
	Timeout int64
}

var (
	errTimeoutFloat = resp.NewError("ERR timeout is not a float or out of range")
	maxTimeout      = new(big.Float).SetInt64(math.MaxInt64)
	thousand        = big.NewFloat(1000)
)

// parseSeconds reads a time for which to wait, in milliseconds, rounded up.
func parseSeconds(arg []byte, now int64) (ms int64, bad resp.Reply) {
	f, ok := parseFloat(arg)
	if !ok {
		return 0, errTimeoutFloat
	}
	f.Mul(f, thousand)
	if f.Cmp(maxTimeout) > 0 {
		return 0, errTimeoutRange
	}
	if f.IsInf() {
		return 0, errTimeoutMinus
	}
	ms, accuracy := f.Int64()
	if accuracy == big.Below && ms < math.MaxInt64 {
		ms++
	}
	switch {
	case ms < 0:
		return 0, errTimeoutMinus
	case ms > math.MaxInt64-now:
		return 0, errTimeoutRange
	}
	return ms, resp.Reply{}
}

// waitBeforeLast is of a call of keys and a time, which takes one element. A call that is wrong does not wait.
func waitBeforeLast(kind fsm.Kind) func(args [][]byte) (Waiting, bool) {
	return func(args [][]byte) (Waiting, bool) {
		last := len(args) - 1
		ms, bad := parseSeconds(args[last], 0)
		return Waiting{Keys: args[1:last], Kind: kind, Takes: 1, Timeout: ms}, !bad.IsError()
	}
}

func waitForSource(args [][]byte) (Waiting, bool) {
	last := len(args) - 1
	for _, end := range args[3:last] { // of BLMOVE
		if _, bad := parseEnd(end); bad.IsError() {
			return Waiting{}, false
		}
	}
	ms, bad := parseSeconds(args[last], 0)
	return Waiting{Keys: args[1:2], Kind: fsm.List, Takes: 1, Timeout: ms}, !bad.IsError()
}

func waitBLMPop(args [][]byte) (Waiting, bool) {
	keys, _, count, bad := parseMPop(args[2:])
	ms, late := parseSeconds(args[1], 0)
	return Waiting{Keys: keys, Kind: fsm.List, Takes: count, Timeout: ms}, !bad.IsError() && !late.IsError()
}

func waitBZMPop(args [][]byte) (Waiting, bool) {
	keys, _, count, bad := parseZMPop(args[2:])
	ms, late := parseSeconds(args[1], 0)
	return Waiting{Keys: keys, Kind: fsm.ZSet, Takes: count, Timeout: ms}, !bad.IsError() && !late.IsError()
}

// waitXRead is of a call with BLOCK; any other does not wait.
func waitXRead(args [][]byte) (w Waiting, ok bool) {
	w.Kind = fsm.Stream
	for i := 1; i+1 < len(args); i++ {
		switch {
		case isOption(args[i], "BLOCK"):
			i++
			ms, _ := parseInt(args[i])
			w.Timeout, ok = max(ms, 0), true
		case isOption(args[i], "GROUP") && i+2 < len(args):
			w.Group, w.Takes = args[i+1], 1
			i += 2
		case isOption(args[i], "COUNT"):
			i++
		case isOption(args[i], "STREAMS"):
			rest := args[i+1:]
			w.Keys = rest[:len(rest)/2]
			return w, ok
		}
	}
	return w, false // not a call that waits: it is wrong
}

// AsksForLast says whether a call of XREAD has the id $, which stands for the last entry that there is when it is
// called, and not for later ones when it is tried again.
func AsksForLast(args [][]byte) bool {
	w, ok := waitXRead(args)
	if !ok || w.Group != nil {
		return false
	}
	for _, id := range args[len(args)-len(w.Keys):] {
		if string(cString(id)) == "$" {
			return true
		}
	}
	return false
}

// XReadFrom makes the call that answers with the ids from which on a call of XREAD reads, in the same state.
func XReadFrom(call fsm.Call) fsm.Call {
	call.Args = append([][]byte{[]byte("XREADFROM")}, call.Args[1:]...)
	return call
}

func cmdXReadFrom(tx *fsm.Txn, args [][]byte) resp.Reply {
	o, bad := parseXRead(tx, args, false)
	if bad.IsError() {
		return bad
	}
	if bad := o.resolve(tx); bad.IsError() {
		return bad
	}
	ids := make([]resp.Reply, len(o.ids))
	for i, id := range o.ids {
		ids[i] = idReply(id)
	}
	return resp.NewArray(ids)
}

// PeekCall makes the call that answers with what there is at a key: its kind, and how many elements. Of a stream the
// second is 1 if a reader of the group would be answered, and 0 if it would have to wait.
func PeekCall(db int, key string, group []byte) fsm.Call {
	args := [][]byte{[]byte("PEEK"), []byte(key)}
	if group != nil {
		args = append(args, group)
	}
	return fsm.Call{DB: db, Args: args, Read: true}
}

func cmdPeek(tx *fsm.Txn, args [][]byte) resp.Reply {
	kind, count := fsm.Kind(0), int64(0)
	if row := tx.Lookup(args[1]); row != nil {
		kind = row.Kind
		switch kind {
		case fsm.List:
			count = tx.List(args[1], row).Len()
		case fsm.ZSet:
			count = tx.ZSet(args[1], row).Len()
		}
	}
	if len(args) > 2 {
		count = 1
		if s, bad := lookupStream(tx, args[1]); s != nil && !bad.IsError() {
			if g := s.Group(args[2]); g != nil && s.Last().Compare(g.LastID) <= 0 {
				count = 0
			}
		}
	}
	return resp.ArrayOf(resp.NewInt(int64(kind)), resp.NewInt(count))
}

func cmdBLPop(tx *fsm.Txn, args [][]byte) resp.Reply { return blockingPop(tx, args, true) }
func cmdBRPop(tx *fsm.Txn, args [][]byte) resp.Reply { return blockingPop(tx, args, false) }

func blockingPop(tx *fsm.Txn, args [][]byte, head bool) resp.Reply {
	last := len(args) - 1
	if _, bad := parseSeconds(args[last], tx.Now()); bad.IsError() {
		return bad
	}
	for _, key := range args[1:last] {
		l, bad := lookupList(tx, key)
		switch {
		case bad.IsError():
			return bad
		case l.Len() > 0:
			return resp.ArrayOf(resp.NewBulk(key), popOne(tx, key, l, head))
		}
	}
	return resp.NilArray
}

func cmdBLMove(tx *fsm.Txn, args [][]byte) resp.Reply {
	fromHead, bad := parseEnd(args[3])
	if bad.IsError() {
		return bad
	}
	toHead, bad := parseEnd(args[4])
	if bad.IsError() {
		return bad
	}
	if _, bad := parseSeconds(args[5], tx.Now()); bad.IsError() {
		return bad
	}
	return moveElement(tx, args[1], args[2], fromHead, toHead)
}

func cmdBRPopLPush(tx *fsm.Txn, args [][]byte) resp.Reply {
	if _, bad := parseSeconds(args[3], tx.Now()); bad.IsError() {
		return bad
	}
	return moveElement(tx, args[1], args[2], false, true)
}

func cmdBLMPop(tx *fsm.Txn, args [][]byte) resp.Reply {
	keys, head, count, bad := parseMPop(args[2:])
	if bad.IsError() {
		return bad
	}
	if _, bad := parseSeconds(args[1], tx.Now()); bad.IsError() {
		return bad
	}
	return popFirst(tx, keys, head, count)
}

func cmdBZPopMin(tx *fsm.Txn, args [][]byte) resp.Reply { return blockingZPop(tx, args, false) }
func cmdBZPopMax(tx *fsm.Txn, args [][]byte) resp.Reply { return blockingZPop(tx, args, true) }

func blockingZPop(tx *fsm.Txn, args [][]byte, highest bool) resp.Reply {
	last := len(args) - 1
	if _, bad := parseSeconds(args[last], tx.Now()); bad.IsError() {
		return bad
	}
	z, key, bad := firstZSet(tx, args[1:last])
	switch {
	case bad.IsError():
		return bad
	case z == nil:
		return resp.NilArray
	}
	return resp.NewArray(append([]resp.Reply{resp.NewBulk(key)}, popScored(tx, key, z, highest, 1)...))
}

func cmdBZMPop(tx *fsm.Txn, args [][]byte) resp.Reply {
	keys, highest, count, bad := parseZMPop(args[2:])
	if bad.IsError() {
		return bad
	}
	if _, bad := parseSeconds(args[1], tx.Now()); bad.IsError() {
		return bad
	}
	return zpopFirst(tx, keys, highest, count)
}
