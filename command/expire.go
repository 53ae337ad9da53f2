package command

import (
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

var tipsTime = []string{"nondeterministic_output"}

var expireCommands = []Spec{
	{Name: "EXPIRE", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Summary: "Lets a key expire in so many seconds, on a condition (NX, XX, GT, LT).",
		Run:     cmdExpire},
	{Name: "PEXPIRE", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.6.0", Complexity: "O(1)",
		Summary: "Lets a key expire in so many milliseconds, on a condition (NX, XX, GT, LT).",
		Run:     cmdPExpire},
	{Name: "EXPIREAT", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.2.0", Complexity: "O(1)",
		Summary: "Lets a key expire at a Unix time in seconds, on a condition (NX, XX, GT, LT).",
		Run:     cmdExpireAt},
	{Name: "PEXPIREAT", Arity: -3, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.6.0", Complexity: "O(1)",
		Summary: "Lets a key expire at a Unix time in milliseconds, on a condition " +
			"(NX, XX, GT, LT).",
		Run: cmdPExpireAt},
	{Name: "TTL", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Tips:    tipsTime,
		Summary: "Returns the seconds until a key expires, -1 without expiry, -2 without key.",
		Run:     cmdTTL},
	{Name: "PTTL", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.6.0", Complexity: "O(1)",
		Tips:    tipsTime,
		Summary: "Returns the milliseconds until a key expires, -1 without expiry, -2 without key.",
		Run:     cmdPTTL},
	{Name: "EXPIRETIME", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "7.0.0", Complexity: "O(1)",
		Summary: "Returns the Unix time in seconds when a key expires, -1 without expiry, " +
			"-2 without key.",
		Run: cmdExpireTime},
	{Name: "PEXPIRETIME", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "7.0.0", Complexity: "O(1)",
		Summary: "Returns the Unix time in milliseconds when a key expires, -1 without expiry, " +
			"-2 without key.",
		Run: cmdPExpireTime},
	{Name: "PERSIST", Arity: 2, Flags: Write | Fast, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.2.0", Complexity: "O(1)",
		Summary: "Removes the expiry of a key.", Run: cmdPersist},
	{Name: "SWEEPEXPIRED", Arity: 2, Flags: Write | Internal,
		Group: GroupServer, Since: "0.1.0", Complexity: "O(N), N keys",
		Summary: "Deletes up to so many keys that have expired; the leader proposes it.",
		Run:     cmdSweepExpired},
}

func cmdExpire(tx *fsm.Txn, args [][]byte) resp.Reply {
	return expire(tx, args, "expire", 1000, tx.Now())
}

func cmdPExpire(tx *fsm.Txn, args [][]byte) resp.Reply {
	return expire(tx, args, "pexpire", 1, tx.Now())
}

func cmdExpireAt(tx *fsm.Txn, args [][]byte) resp.Reply {
	return expire(tx, args, "expireat", 1000, 0)
}

func cmdPExpireAt(tx *fsm.Txn, args [][]byte) resp.Reply {
	return expire(tx, args, "pexpireat", 1, 0)
}

// expire executes the four commands: unit is that of the number, in milliseconds, and base is the
// time that it counts from. A time that has passed deletes the key.
func expire(tx *fsm.Txn, args [][]byte, name string, unit, base int64) resp.Reply {
	when, bad := parseExpireConditions(args[3:])
	if bad.IsError() {
		return bad
	}
	at, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if at > math.MaxInt64/unit || at < math.MinInt64/unit || at*unit > math.MaxInt64-base {
		return invalidExpire(name)
	}
	at = at*unit + base
	row := tx.Lookup(args[1])
	if row == nil || !when.allow(row.ExpireAt, at) {
		return resp.NewInt(0)
	}
	expireKey(tx, args[1], at)
	return resp.NewInt(1)
}

// expireKey sets the expiry of a key that exists, or deletes it at once when that has passed.
func expireKey(tx *fsm.Txn, key []byte, at int64) {
	if at <= tx.Now() {
		remove(tx, key)
		return
	}
	tx.SetExpire(key, at)
	tx.Notify(fsm.EventGeneric, "expire", key)
}

// expireConditions are the options of EXPIRE; they may come together as far as they agree.
type expireConditions struct{ nx, xx, gt, lt bool }

func parseExpireConditions(args [][]byte) (expireConditions, resp.Reply) {
	var c expireConditions
	for _, arg := range args {
		switch {
		case isOption(arg, "NX"):
			c.nx = true
		case isOption(arg, "XX"):
			c.xx = true
		case isOption(arg, "GT"):
			c.gt = true
		case isOption(arg, "LT"):
			c.lt = true
		default:
			return c, unsupportedOption(arg)
		}
	}
	switch {
	case c.nx && (c.xx || c.gt || c.lt):
		return c, errExpireNX
	case c.gt && c.lt:
		return c, errExpireGTLT
	}
	return c, resp.Reply{}
}

// allow decides by the expiry that the key has, 0 for none, which counts as later than any.
func (c expireConditions) allow(current, at int64) bool {
	switch {
	case c.nx && current != 0, c.xx && current == 0:
		return false
	case c.gt && (current == 0 || at <= current):
		return false
	case c.lt && current != 0 && at >= current:
		return false
	}
	return true
}

func cmdTTL(tx *fsm.Txn, args [][]byte) resp.Reply {
	return expiryOf(tx, args[1], 1000, tx.Now())
}

func cmdPTTL(tx *fsm.Txn, args [][]byte) resp.Reply { return expiryOf(tx, args[1], 1, tx.Now()) }

func cmdExpireTime(tx *fsm.Txn, args [][]byte) resp.Reply { return expiryOf(tx, args[1], 1000, 0) }

func cmdPExpireTime(tx *fsm.Txn, args [][]byte) resp.Reply { return expiryOf(tx, args[1], 1, 0) }

// expiryOf returns the expiry as counted from a time, in units of so many milliseconds,
// rounded to the nearest.
func expiryOf(tx *fsm.Txn, key []byte, unit, base int64) resp.Reply {
	row := tx.Peek(key)
	switch {
	case row == nil:
		return resp.NewInt(-2)
	case row.ExpireAt == 0:
		return resp.NewInt(-1)
	}
	left := uint64(row.ExpireAt - base) // so that rounding does not overflow
	return resp.NewInt(int64((left + uint64(unit)/2) / uint64(unit)))
}

func cmdPersist(tx *fsm.Txn, args [][]byte) resp.Reply { return intOf(persist(tx, args[1])) }

// persist lets a key stay for good, and says whether it would have expired.
func persist(tx *fsm.Txn, key []byte) bool {
	row := tx.Lookup(key)
	if row == nil || row.ExpireAt == 0 {
		return false
	}
	tx.SetExpire(key, 0)
	tx.Notify(fsm.EventGeneric, "persist", key)
	return true
}

func cmdSweepExpired(tx *fsm.Txn, args [][]byte) resp.Reply {
	limit, bad := parseInt32(args[1])
	if bad.IsError() {
		return bad
	}
	return resp.NewInt(int64(tx.Sweep(max(limit, 0))))
}
