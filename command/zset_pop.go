package command

import (
	"redoubt/fsm"
	"redoubt/resp"
)

// firstZSet returns the first of several sorted sets that there is, and its key; nil if there is none. The reply is the
// error for a key of another type before it.
func firstZSet(tx *fsm.Txn, keys [][]byte) (*fsm.ZSetValue, []byte, resp.Reply) {
	for _, key := range keys {
		z, bad := lookupZSet(tx, key)
		if bad.IsError() {
			return nil, nil, bad
		}
		if z.Len() > 0 {
			return z, key, bad
		}
	}
	return nil, nil, resp.Reply{}
}

// popScored removes up to so many members from an end of a sorted set and shows them with their scores.
func popScored(tx *fsm.Txn, key []byte, z *fsm.ZSetValue, highest bool, count int64) []resp.Reply {
	n := z.Len()
	count = min(count, n)
	elems := make([]resp.Reply, 0, 2*count)
	left := count
	next := func(m fsm.ScoredMember) bool {
		elems = appendScored(elems, m, true)
		left--
		return left > 0
	}
	switch {
	case count <= 0:
		return elems
	case highest:
		z.Descend(n-1, next)
		z.DeleteRange(n-count, n)
	default:
		z.Ascend(0, next)
		z.DeleteRange(0, count)
	}
	z.Save()
	event := "zpopmin"
	if highest {
		event = "zpopmax"
	}
	shrunk(tx, fsm.EventZSet, event, key, z.Len())
	return elems
}

func cmdZPopMin(tx *fsm.Txn, args [][]byte) resp.Reply { return zpop(tx, args, false) }

func cmdZPopMax(tx *fsm.Txn, args [][]byte) resp.Reply { return zpop(tx, args, true) }

func zpop(tx *fsm.Txn, args [][]byte, highest bool) resp.Reply {
	count, single := int64(1), len(args) == 2
	if len(args) > 3 {
		return errSyntax
	}
	if !single {
		var ok bool
		if count, ok = parseInt(args[2]); !ok || count < 0 {
			return errNotPositive
		}
	}
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	return scoredReply(popScored(tx, args[1], z, highest, count), !single)
}

func cmdZMPop(tx *fsm.Txn, args [][]byte) resp.Reply {
	keys, highest, count, bad := parseZMPop(args[1:])
	if bad.IsError() {
		return bad
	}
	return zpopFirst(tx, keys, highest, count)
}

// zpopFirst pops from the first of several sorted sets that there is, for ZMPOP and BZMPOP.
func zpopFirst(tx *fsm.Txn, keys [][]byte, highest bool, count int64) resp.Reply {
	z, key, bad := firstZSet(tx, keys)
	switch {
	case bad.IsError():
		return bad
	case z == nil:
		return resp.NilArray
	}
	return zmpopReply(key, popScored(tx, key, z, highest, count))
}

// zmpopReply is that of ZMPOP, where also RESP2 has arrays of two.
func zmpopReply(key []byte, popped []resp.Reply) resp.Reply {
	elems := make([]resp.Reply, 0, len(popped)/2)
	for i := 0; i < len(popped); i += 2 {
		elems = append(elems, resp.NewArray(popped[i:i+2]))
	}
	return resp.ArrayOf(resp.NewBulk(key), resp.NewArray(elems))
}

// parseZMPop reads a call of ZMPOP from the number of keys on.
func parseZMPop(args [][]byte) (keys [][]byte, highest bool, count int64, bad resp.Reply) {
	n, ok := parseInt(args[0])
	if !ok || n < 1 {
		return nil, false, 0, errNumKeys
	}
	if n >= int64(len(args)-1) {
		return nil, false, 0, errSyntax
	}
	keys, args = args[1:1+n], args[1+n:]
	highest = isOption(args[0], "MAX")
	if !highest && !isOption(args[0], "MIN") {
		return nil, false, 0, errSyntax
	}
	count = 1
	if args = args[1:]; len(args) == 0 {
		return keys, highest, count, resp.Reply{}
	}
	if len(args) < 2 || !isOption(args[0], "COUNT") {
		return nil, false, 0, errSyntax
	}
	if count, ok = parseInt(args[1]); !ok || count < 1 {
		return nil, false, 0, errCountZero
	}
	return keys, highest, count, unless(len(args) == 2, errSyntax)
}
