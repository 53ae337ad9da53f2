package command

import (
	"bytes"
	"encoding/binary"

	"redoubt/fsm"
	"redoubt/resp"
)

var hyperLogLogCommands = []Spec{
	{Name: "PFADD", Arity: -2, Flags: Write | DenyOOM | Fast, Keys: oneKey(KeyRW | KeyInsert),
		Group: GroupHLL, Categories: CatHyperLogLog, Since: "2.8.9", Complexity: "O(N), N elements",
		Summary: "Adds elements to a HyperLogLog and says whether its estimate may have changed.", Run: cmdPFAdd},
	{Name: "PFCOUNT", Arity: -2, Flags: ReadOnly,
		Keys: Keys{{Flags: KeyRW | KeyAccess, First: 1, Last: -1, Step: 1,
			Notes: "RW because it may change the internal representation of the key, and propagate to replicas"}},
		Group: GroupHLL, Categories: CatHyperLogLog, Since: "2.8.9", Complexity: "O(N), N keys",
		Summary: "Estimates how many different elements were added to a HyperLogLog, or to several of them together.",
		Run:     cmdPFCount,
		Differs: "It only reads: the count is never cached in the string, which GET would show."},
	{Name: "PFMERGE", Arity: -2, Flags: Write | DenyOOM,
		Keys: Keys{{Flags: KeyRW | KeyAccess | KeyInsert, First: 1, Step: 1},
			{Flags: KeyRO | KeyAccess, First: 2, Last: -1, Step: 1}},
		Group: GroupHLL, Categories: CatHyperLogLog, Since: "2.8.9", Complexity: "O(N), N keys",
		Summary: "Adds the elements of HyperLogLogs to another one.", Run: cmdPFMerge},
	{Name: "PFDEBUG", Arity: 3, Flags: Write | DenyOOM | Admin,
		Keys:  Keys{{Flags: KeyRW | KeyAccess, First: 2, Step: 1}},
		Group: GroupHLL, Categories: CatHyperLogLog, Since: "2.8.9", Complexity: "O(1)",
		Summary: "Shows the registers of a HyperLogLog (GETREG, DECODE, ENCODING) or makes it dense (TODENSE).",
		Run:     cmdPFDebug},
	{Name: "PFSELFTEST", Arity: 1, Flags: Admin,
		Group: GroupHLL, Categories: CatHyperLogLog, Since: "2.8.9", Complexity: "O(1)",
		Summary: "Checks the estimates of HyperLogLogs of up to 100000 elements.",
		Differs: "Redis goes up to ten million elements, and blocks for some seconds."},
}

var (
	errNotHLL     = resp.NewError("WRONGTYPE Key is not a valid HyperLogLog string value.")
	errHLLInvalid = resp.NewError("INVALIDOBJ Corrupted HLL object detected")
	errHLLMissing = resp.NewError("ERR The specified key does not exist")
	errHLLDense   = resp.NewError("ERR HLL encoding is not sparse")
)

// lookupHLL finds the HyperLogLog at a key. Without a key the row is nil.
func lookupHLL(tx *fsm.Txn, key []byte) (*fsm.Row, resp.Reply) {
	row, bad := lookupString(tx, key)
	if row != nil && !isHLL(row.Value) {
		return nil, errNotHLL
	}
	return row, bad
}

// changeableHLL is a copy of what is in a row, or a new one.
func changeableHLL(row *fsm.Row) []byte {
	if row == nil {
		return newHLL()
	}
	return bytes.Clone(row.Value)
}

// keepHLL stores a HyperLogLog that was changed; a merge is told as an addition, too.
func keepHLL(tx *fsm.Txn, key, value []byte, row *fsm.Row) {
	value[hllStale] |= hllStaleBit
	keepString(tx, key, value, keepExpiry(row))
	tx.Notify(fsm.EventString, "pfadd", key)
}

func cmdPFAdd(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupHLL(tx, args[1])
	if bad.IsError() {
		return bad
	}
	value, updated := changeableHLL(row), row == nil
	for _, element := range args[2:] {
		register, run := hllPlace(element)
		next, changed, err := hllAdd(value, register, run, tx.Packing().SparseBytes)
		if err != nil {
			return errHLLInvalid
		}
		value, updated = next, updated || changed
	}
	if !updated {
		return resp.NewInt(0)
	}
	keepHLL(tx, args[1], value, row)
	return resp.NewInt(1)
}

// mergeHLLs returns the largest runs of each register. It says whether one of the keys is dense.
func mergeHLLs(tx *fsm.Txn, keys [][]byte) (merged *[hllRegisters]uint8, dense bool, bad resp.Reply) {
	merged = new([hllRegisters]uint8)
	for _, key := range keys {
		row, bad := lookupHLL(tx, key)
		if bad.IsError() {
			return nil, false, bad
		}
		if row == nil {
			continue
		}
		dense = dense || row.Value[hllEncoding] == hllDense
		err := hllEach(row.Value, func(register int, run uint8) {
			merged[register] = max(merged[register], run)
		})
		if err != nil {
			return nil, false, errHLLInvalid
		}
	}
	return merged, dense, resp.Reply{}
}

func cmdPFCount(tx *fsm.Txn, args [][]byte) resp.Reply {
	if len(args) > 2 {
		merged, _, bad := mergeHLLs(tx, args[1:])
		if bad.IsError() {
			return bad
		}
		var histogram [64]int
		for _, run := range merged {
			histogram[run]++
		}
		return resp.NewInt(int64(hllCount(&histogram)))
	}
	row, bad := lookupHLL(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.NewInt(0)
	}
	count, err := hllCountOf(row.Value)
	if err != nil {
		return errHLLInvalid
	}
	return resp.NewInt(int64(count))
}

func cmdPFMerge(tx *fsm.Txn, args [][]byte) resp.Reply {
	merged, dense, bad := mergeHLLs(tx, args[1:])
	if bad.IsError() {
		return bad
	}
	row := tx.Lookup(args[1]) // one that mergeHLLs has checked
	value := changeableHLL(row)
	var err error
	if dense {
		if value, err = hllToDense(value); err != nil {
			return errHLLInvalid
		}
	}
	for register, run := range merged {
		if run == 0 {
			continue
		}
		if value, _, err = hllAdd(value, register, run, tx.Packing().SparseBytes); err != nil {
			return errHLLInvalid
		}
	}
	keepHLL(tx, args[1], value, row)
	return resp.OK
}

func cmdPFDebug(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupHLL(tx, args[2])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return errHLLMissing
	}
	sparse := row.Value[hllEncoding] == hllSparse
	switch op := args[1]; {
	case isOption(op, "DECODE") && !sparse:
		return errHLLDense
	case isOption(op, "DECODE"):
		return resp.NewBulkString(hllText(row.Value))
	case isOption(op, "ENCODING") && sparse:
		return resp.NewSimple("sparse")
	case isOption(op, "ENCODING"):
		return resp.NewSimple("dense")
	case !isOption(op, "GETREG") && !isOption(op, "TODENSE"):
		return errorf("Unknown PFDEBUG subcommand '%s'", cString(op))
	}
	value, err := hllToDense(row.Value)
	if err != nil {
		return errHLLInvalid
	}
	if sparse {
		keepString(tx, args[2], value, row.ExpireAt)
	}
	if isOption(args[1], "GETREG") {
		registers := make([]resp.Reply, hllRegisters)
		for i := range registers {
			registers[i] = resp.NewInt(int64(hllRegister(value, i)))
		}
		return resp.NewArray(registers)
	}
	if sparse {
		return resp.NewInt(1)
	}
	return resp.NewInt(0)
}

// HLLSelfTest adds elements to a HyperLogLog, and fails when an estimate is further off than it should ever be.
func HLLSelfTest() resp.Reply {
	const elements = 100000
	value := newHLL()
	for n, check := uint64(1), uint64(1); n <= elements; n++ {
		register, run := hllPlace(binary.LittleEndian.AppendUint64(nil, n))
		value, _, _ = hllAdd(value, register, run, fsm.DefaultPacking.SparseBytes)
		if n != check {
			continue
		}
		check *= 10
		value[hllStale] |= hllStaleBit
		count, err := hllCountOf(value)
		if off := max(count, n) - min(count, n); err != nil || off > 1+n/20 {
			return resp.NewError("TESTFAILED Too big error. card:" + string(formatInt(int64(n))) +
				" abserr:" + string(formatInt(int64(off))))
		}
	}
	return resp.OK
}
