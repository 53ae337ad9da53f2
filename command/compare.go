package command

import (
	"bytes"
	"encoding/hex"

	"github.com/zeebo/xxh3"

	"redoubt/fsm"
	"redoubt/resp"
)

var compareCommands = []Spec{
	{Name: "DELEX", Arity: -2, Flags: Write | Fast,
		Keys:  Keys{{Flags: KeyRW | KeyDelete | KeyVariable, First: 1, Step: 1}},
		Group: GroupString, Categories: CatString, Since: "8.4.0",
		Complexity: "O(1) for IFEQ and IFNE, O(N) for IFDEQ and IFDNE, N bytes of the string",
		Summary: "Deletes a key, with a condition (IFEQ, IFNE) on the string at it or (IFDEQ, IFDNE) on the " +
			"digest of that.",
		Run: cmdDelEx, KeysOf: delExKeys, Differs: "Not in Redis 7.2."},
	{Name: "DELIFEQ", Arity: 3, Flags: Write | Fast, Keys: oneKey(KeyRM | KeyDelete),
		Group: GroupString, Categories: CatString, Since: "9.0.0", Complexity: "O(1)",
		Summary: "Deletes a key only when it has this string.", Run: cmdDelIfEq,
		Differs: "Not in Redis: it is of Valkey 9.0.0."},
	{Name: "DIGEST", Arity: 2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupString, Categories: CatString, Since: "8.4.0", Complexity: "O(N), N bytes of the string",
		Summary: "Returns the XXH3 hash of the string at a key, as 16 hexadecimal digits.", Run: cmdDigest,
		Differs: "Not in Redis 7.2."},
	{Name: "VERSION", Arity: -2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO),
		Group: GroupGeneric, Categories: CatKeyspace, Since: "0.4.0", Complexity: "O(1)",
		Summary: "Returns the version of a key, a number that is higher than that of every change before, also of one of another key " +
			"or of a key that was deleted since; null when there is no key or, with IFEQ, when the key has another string. " +
			"It is a fencing token.",
		Run: cmdVersion, Differs: "Not in Redis."},
}

// condition is one on the string at a key: an option of SET or DELEX. The zero value always holds.
type condition struct {
	given, negated, digest bool
	operand                []byte
}

// takeCondition reads the condition that starts with args[0], if there is one.
func takeCondition(args [][]byte) (c condition, ok bool) {
	if len(args) < 2 {
		return c, false
	}
	switch {
	case isOption(args[0], "IFEQ"):
	case isOption(args[0], "IFNE"):
		c.negated = true
	case isOption(args[0], "IFDEQ"):
		c.digest = true
	case isOption(args[0], "IFDNE"):
		c.negated, c.digest = true, true
	default:
		return c, false
	}
	c.given, c.operand = true, args[1]
	return c, true
}

// holds says whether the condition does for the string at a key, nil when there is no key. The reply is the error when it
// can't be told.
func (c *condition) holds(row *fsm.Row) (bool, resp.Reply) {
	switch {
	case !c.given:
		return true, resp.Reply{}
	case row == nil: // is not equal to anything
		return c.negated, resp.Reply{}
	case row.Kind != fsm.String:
		return false, errWrongType
	case !c.digest:
		return bytes.Equal(row.Value, c.operand) != c.negated, resp.Reply{}
	case len(c.operand) != digestDigits:
		return false, errDigest
	}
	return bytes.EqualFold(digestOf(row.Value), c.operand) != c.negated, resp.Reply{}
}

const digestDigits = 16

var (
	errDigest        = resp.NewError("ERR digest must be exactly 16 hexadecimal characters")
	errConditionType = resp.NewError("ERR Key should be of string type if conditions are specified")
	errConditionName = resp.NewError("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")
)

// digestOf prints the hash of a string.
func digestOf(value []byte) []byte {
	sum := xxh3.Hash(value)
	var b [digestDigits / 2]byte
	for i := range b {
		b[i] = byte(sum >> (56 - 8*i))
	}
	return hex.AppendEncode(nil, b[:])
}

// delExKeys says what a call of DELEX does with its key: without a condition it does not look at it.
func delExKeys(args [][]byte) []Key {
	if len(args) == 2 {
		return []Key{{Index: 1, Flags: KeyRM | KeyDelete}}
	}
	return []Key{{Index: 1, Flags: KeyRW | KeyDelete}}
}

func cmdDelEx(tx *fsm.Txn, args [][]byte) resp.Reply {
	switch {
	case len(args) == 2:
		return cmdDel(tx, args)
	case len(args) != 4:
		return wrongArity("delex")
	}
	row := tx.Lookup(args[1])
	if row == nil {
		return resp.NewInt(0)
	}
	if row.Kind != fsm.String {
		return errConditionType
	}
	c, ok := takeCondition(args[2:])
	if !ok {
		return errConditionName
	}
	return deleteIf(tx, args[1], row, &c)
}

func cmdDelIfEq(tx *fsm.Txn, args [][]byte) resp.Reply {
	row := tx.Lookup(args[1])
	if row == nil {
		return resp.NewInt(0)
	}
	return deleteIf(tx, args[1], row, &condition{given: true, operand: args[2]})
}

// deleteIf deletes a key that exists when a condition holds.
func deleteIf(tx *fsm.Txn, key []byte, row *fsm.Row, c *condition) resp.Reply {
	holds, bad := c.holds(row)
	switch {
	case bad.IsError():
		return bad
	case !holds:
		return resp.NewInt(0)
	}
	return cmdDel(tx, [][]byte{nil, key})
}

func cmdDigest(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.Nil
	}
	return resp.NewBulk(digestOf(row.Value))
}

func cmdVersion(tx *fsm.Txn, args [][]byte) resp.Reply {
	var c condition
	if len(args) > 2 {
		if len(args) != 4 || !isOption(args[2], "IFEQ") {
			return errSyntax
		}
		c.given, c.operand = true, args[3]
	}
	row := tx.Peek(args[1])
	if row == nil {
		return resp.Nil
	}
	holds, bad := c.holds(row)
	switch {
	case bad.IsError():
		return bad
	case !holds:
		return resp.Nil
	}
	return resp.NewInt(int64(row.Version))
}
