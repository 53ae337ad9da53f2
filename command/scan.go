package command

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"redoubt/fsm"
	"redoubt/resp"
)

var scanCommands = []Spec{
	{Name: "KEYS", Arity: 2, Flags: ReadOnly | Scan,
		Group: GroupGeneric, Categories: CatKeyspace | CatDangerous, Since: "1.0.0",
		Complexity: "O(N), N keys of the database",
		Tips:       []string{"request_policy:all_shards", "nondeterministic_output_order"},
		Summary:    "Returns all keys that match a pattern.", Run: cmdKeys},
	{Name: "SCAN", Arity: -2, Flags: ReadOnly | Scan,
		Group: GroupGeneric, Categories: CatKeyspace, Since: "2.8.0",
		Complexity: "O(1) a call, O(N) for all, N keys of the database",
		Tips: []string{"nondeterministic_output", "request_policy:special",
			"response_policy:special"},
		Summary: "Returns some keys, and the cursor to get the next ones with.", Run: cmdScan,
		Differs: "A cursor is good for ever and on every node, and no key is returned twice."},
	{Name: "RANDOMKEY", Arity: 1, Flags: ReadOnly,
		Group: GroupGeneric, Categories: CatKeyspace, Since: "1.0.0", Complexity: "O(1)",
		Tips: []string{"request_policy:all_shards", "response_policy:special",
			"nondeterministic_output"},
		Summary: "Returns a random key of the database.", Run: cmdRandomKey},
}

func cmdKeys(tx *fsm.Txn, args [][]byte) resp.Reply {
	keys := []resp.Reply{}
	tx.Scan(0, func(key []byte, _ *fsm.Row) bool {
		if Match(args[1], key, false) {
			keys = append(keys, resp.NewBulk(bytes.Clone(key)))
		}
		return true
	})
	return resp.NewArray(keys)
}

// scanOptions are the options of SCAN. A nil pattern matches all keys, and so does a nil type.
type scanOptions struct {
	pattern, typeName []byte
	count             int64
}

func parseScanOptions(args [][]byte) (scanOptions, resp.Reply) {
	o := scanOptions{count: 10}
	for ; len(args) > 0; args = args[2:] {
		switch {
		case len(args) == 1:
			return o, errSyntax
		case isOption(args[0], "COUNT"):
			var ok bool
			if o.count, ok = parseInt(args[1]); !ok {
				return o, errNotInteger
			}
			if o.count < 1 {
				return o, errSyntax
			}
		case isOption(args[0], "MATCH"):
			o.pattern = args[1]
		case isOption(args[0], "TYPE"):
			o.typeName = args[1]
		default:
			return o, errSyntax
		}
	}
	return o, resp.Reply{}
}

// parseElementScan is parseScanOptions for a scan of elements, which are all of one type.
func parseElementScan(args [][]byte) (scanOptions, resp.Reply) {
	for i := 0; i < len(args); i += 2 {
		if isOption(args[i], "TYPE") {
			return scanOptions{}, errSyntax
		}
	}
	return parseScanOptions(args)
}

// showElement takes an element of a scan, its name first, and says whether to go on.
type showElement func(name []byte, rest ...resp.Reply) bool

// elementScan is HSCAN, SSCAN or ZSCAN: walk goes over the elements from a cursor on and returns the next one.
func elementScan[C interface{ Len() int64 }](tx *fsm.Txn, args [][]byte,
	lookup func(tx *fsm.Txn, key []byte) (C, resp.Reply), walk func(c C, from uint64, show showElement) uint64) resp.Reply {
	cursor, ok := parseCursor(cString(args[2]))
	if !ok {
		return errCursor
	}
	c, bad := lookup(tx, args[1])
	if bad.IsError() {
		return bad
	}
	elems := []resp.Reply{}
	if c.Len() == 0 {
		return resp.ArrayOf(resp.NewBulkString("0"), resp.NewArray(elems))
	}
	o, bad := parseElementScan(args[3:])
	if bad.IsError() {
		return bad
	}
	var seen int64
	next := walk(c, cursor, func(name []byte, rest ...resp.Reply) bool {
		if o.pattern == nil || Match(o.pattern, name, false) {
			elems = append(append(elems, resp.NewBulk(name)), rest...)
		}
		seen++
		return seen < o.count
	})
	return resp.ArrayOf(resp.NewBulkString(strconv.FormatUint(next, 10)), resp.NewArray(elems))
}

func (o *scanOptions) match(key []byte, row *fsm.Row) bool {
	return (o.pattern == nil || Match(o.pattern, key, false)) &&
		(o.typeName == nil || isType(o.typeName, row.Kind))
}

// isType tells whether the user's word names the type of a value.
func isType(name []byte, kind fsm.Kind) bool {
	return strings.EqualFold(typeName(kind), string(cString(name)))
}

func cmdScan(tx *fsm.Txn, args [][]byte) resp.Reply {
	cursor, ok := parseCursor(cString(args[1]))
	if !ok {
		return errCursor
	}
	o, bad := parseScanOptions(args[2:])
	if bad.IsError() {
		return bad
	}
	keys := []resp.Reply{}
	var seen int64
	next := tx.Scan(cursor, func(key []byte, row *fsm.Row) bool {
		if o.match(key, row) {
			keys = append(keys, resp.NewBulk(bytes.Clone(key)))
		}
		seen++
		return seen < o.count
	})
	return resp.ArrayOf(resp.NewBulkString(strconv.FormatUint(next, 10)), resp.NewArray(keys))
}

// parseCursor reads what C's strtoul reads, which is an unsigned number whose sign, if it has
// one, is applied all the same; no digits at all mean 0.
func parseCursor(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, true
	}
	digits := b
	if b[0] == '-' || b[0] == '+' {
		digits = b[1:]
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' || n > (math.MaxUint64-uint64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if b[0] == '-' {
		n = -n
	}
	return n, len(digits) > 0
}

func cmdRandomKey(tx *fsm.Txn, _ [][]byte) resp.Reply {
	key := tx.RandomKey(tx.Rand())
	if key == nil {
		return resp.Nil
	}
	return resp.NewBulk(key)
}
