package command

import (
	"encoding/binary"
	"math/bits"

	"redoubt/fsm"
	"redoubt/resp"
)

var bitmapCommands = []Spec{
	{Name: "SETBIT", Arity: 4, Flags: Write | DenyOOM, Keys: oneKey(KeyRW | KeyAccess | KeyUpdate),
		Group: GroupBitmap, Categories: CatBitmap, Since: "2.2.0",
		Complexity: "O(N), N bytes of the resulting string",
		Summary: "Sets or clears one bit of the string at a key, which grows with zero bytes if need be, and " +
			"returns what it was.",
		Run: cmdSetBit},
	{Name: "GETBIT", Arity: 3, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupBitmap, Categories: CatBitmap, Since: "2.2.0", Complexity: "O(1)",
		Summary: "Returns one bit of the string at a key.", Run: cmdGetBit},
	{Name: "BITCOUNT", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupBitmap, Categories: CatBitmap, Since: "2.6.0", Complexity: "O(N), N bytes of the range",
		Summary: "Counts the bits that are set in a string, or in a range of its bytes or bits.", Run: cmdBitCount},
	{Name: "BITPOS", Arity: -3, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupBitmap, Categories: CatBitmap, Since: "2.8.7", Complexity: "O(N), N bytes of the range",
		Summary: "Finds the first bit that is set, or the first that is not, in a string or in a range of it.",
		Run:     cmdBitPos},
	{Name: "BITOP", Arity: -4, Flags: Write | DenyOOM,
		Keys: Keys{{Flags: KeyOW | KeyUpdate, First: 2, Step: 1},
			{Flags: KeyRO | KeyAccess, First: 3, Last: -1, Step: 1}},
		Group: GroupBitmap, Categories: CatBitmap, Since: "2.6.0",
		Complexity: "O(N), N bytes of all strings together",
		Summary:    "Combines strings bit by bit (AND, OR, XOR, NOT) and stores the result.", Run: cmdBitOp},
	{Name: "BITFIELD", Arity: -2, Flags: Write | DenyOOM,
		Keys: Keys{{Flags: KeyRW | KeyAccess | KeyUpdate | KeyVariable, First: 1, Step: 1,
			Notes: "This command allows both access and modification of the key"}},
		Group: GroupBitmap, Categories: CatBitmap, Since: "3.2.0", Complexity: "O(N), N bytes of the resulting string",
		Summary: "Reads, sets and increments integers of 1 to 64 bits anywhere in a string.", Run: cmdBitField, KeysOf: bitFieldKeys},
	{Name: "BITFIELD_RO", Arity: -2, Flags: ReadOnly | Fast, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupBitmap, Categories: CatBitmap, Since: "6.0.0", Complexity: "O(N), N integers",
		Summary: "Reads integers of 1 to 64 bits anywhere in a string.", Run: cmdBitFieldRO},
}

var (
	errBitOffset     = resp.NewError("ERR bit offset is not an integer or out of range")
	errBit           = resp.NewError("ERR bit is not an integer or out of range")
	errBitArgument   = resp.NewError("ERR The bit argument must be 1 or 0.")
	errBitNot        = resp.NewError("ERR BITOP NOT must be called with a single source key.")
	errFieldOverflow = resp.NewError("ERR Invalid OVERFLOW type specified")
	errFieldReadOnly = resp.NewError("ERR BITFIELD_RO only supports the GET subcommand")
	errFieldType     = resp.NewError("ERR Invalid bitfield type. Use something like i16 u8. " +
		"Note that u64 is not supported but i64 is.")
)

// parseBitOffset reads the index of a bit, or with a width that is not 0 also "#n": the n-th field of this width.
func parseBitOffset(arg []byte, width int64) (int64, resp.Reply) {
	unit := int64(1)
	if width > 0 && len(arg) > 0 && arg[0] == '#' {
		arg, unit = arg[1:], width
	}
	offset, ok := parseInt(arg)
	offset *= unit // a product that overflows is what Redis takes, too
	if !ok || offset < 0 || offset>>3 >= MaxStringBytes {
		return 0, errBitOffset
	}
	return offset, resp.Reply{}
}

// grown is a copy of what is in the row, with zeros after it up to this bit.
func grown(row *fsm.Row, lastBit int64) []byte {
	if row == nil {
		return make([]byte, lastBit/8+1)
	}
	value := make([]byte, max(len(row.Value), int(lastBit/8)+1))
	copy(value, row.Value)
	return value
}

// hasGrown says whether a changed string is longer than what was in the row.
func hasGrown(row *fsm.Row, value []byte) bool { return row == nil || len(value) > len(row.Value) }

func cmdSetBit(tx *fsm.Txn, args [][]byte) resp.Reply {
	offset, bad := parseBitOffset(args[2], 0)
	if bad.IsError() {
		return bad
	}
	on, ok := parseInt(args[3])
	if !ok || on&^1 != 0 {
		return errBit
	}
	row, bad := lookupString(tx, args[1])
	if bad.IsError() {
		return bad
	}
	value := grown(row, offset)
	shift := 7 - offset&7
	old := value[offset/8] >> shift & 1
	value[offset/8] ^= (old ^ byte(on)) << shift
	if old != byte(on) || hasGrown(row, value) { // else the key counts as unchanged for those who watch it
		keepString(tx, args[1], value, keepExpiry(row))
		tx.Notify(fsm.EventString, "setbit", args[1])
	}
	return resp.NewInt(int64(old))
}

func cmdGetBit(tx *fsm.Txn, args [][]byte) resp.Reply {
	offset, bad := parseBitOffset(args[2], 0)
	if bad.IsError() {
		return bad
	}
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil || offset/8 >= int64(len(row.Value)):
		return resp.NewInt(0)
	}
	return resp.NewInt(int64(row.Value[offset/8] >> (7 - offset&7) & 1))
}

// parseBitUnit reads BYTE or BIT and returns the bits of the unit.
func parseBitUnit(arg []byte) (int64, bool) {
	switch {
	case isOption(arg, "BIT"):
		return 1, true
	case isOption(arg, "BYTE"):
		return 8, true
	}
	return 0, false
}

// bitRange turns a range of units, in which negative indexes count from the end, into bits of the string: from the
// first to the one before end. It is empty when they are the same.
func bitRange(value []byte, start, last, unit int64) (from, end int64) {
	size := int64(len(value)) * 8 / unit
	start, last = fromEnd(start, size), min(fromEnd(last, size), size-1)
	if start > last {
		return 0, 0
	}
	return start * unit, (last + 1) * unit
}

func cmdBitCount(tx *fsm.Txn, args [][]byte) resp.Reply {
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.NewInt(0)
	case len(args) == 2:
		return resp.NewInt(countBits(row.Value, 0, int64(len(row.Value))*8))
	case len(args) < 4 || len(args) > 5:
		return errSyntax
	}
	start, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	last, ok := parseInt(args[3])
	if !ok {
		return errNotInteger
	}
	if start < 0 && last < 0 && start > last {
		return resp.NewInt(0)
	}
	unit := int64(8)
	if len(args) == 5 {
		if unit, ok = parseBitUnit(args[4]); !ok {
			return errSyntax
		}
	}
	from, end := bitRange(row.Value, start, last, unit)
	return resp.NewInt(countBits(row.Value, from, end))
}

// countBits counts the bits that are set from one on up to the one before end.
func countBits(value []byte, from, end int64) (count int64) {
	if from == end {
		return 0
	}
	before, after := value[from/8]&^(0xff>>(from&7)), value[(end-1)/8]&(0x7f>>((end-1)&7))
	count = -int64(bits.OnesCount8(before) + bits.OnesCount8(after))
	b := value[from/8 : (end-1)/8+1]
	for ; len(b) >= 8; b = b[8:] {
		count += int64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	for _, c := range b {
		count += int64(bits.OnesCount8(c))
	}
	return count
}

func cmdBitPos(tx *fsm.Txn, args [][]byte) resp.Reply {
	bit, ok := parseInt(args[2])
	if !ok {
		return errNotInteger
	}
	if bit&^1 != 0 {
		return errBitArgument
	}
	row, bad := lookupString(tx, args[1])
	switch {
	case bad.IsError():
		return bad
	case row == nil:
		return resp.NewInt(-bit)
	case len(args) > 6:
		return errSyntax
	}
	start, last, unit := int64(0), int64(-1), int64(8)
	if len(args) > 3 {
		if start, ok = parseInt(args[3]); !ok {
			return errNotInteger
		}
	}
	if len(args) > 5 {
		if unit, ok = parseBitUnit(args[5]); !ok {
			return errSyntax
		}
	}
	if len(args) > 4 {
		if last, ok = parseInt(args[4]); !ok {
			return errNotInteger
		}
	}
	from, end := bitRange(row.Value, start, last, unit)
	pos := findBit(row.Value, byte(bit), from, end)
	if pos == end { // after a string whose end was not asked for there are zeros
		if pos = -1; bit == 0 && len(args) <= 4 && from < end {
			pos = end
		}
	}
	return resp.NewInt(pos)
}

// findBit returns the place of the first such bit from one on, or end.
func findBit(value []byte, bit byte, from, end int64) int64 {
	var flip byte
	if bit == 0 {
		flip = 0xff
	}
	at := from / 8
	if from < end {
		if c := (value[at] ^ flip) & (0xff >> (from & 7)); c != 0 {
			return min(at*8+int64(bits.LeadingZeros8(c)), end)
		}
		at++
	}
	skip := uint64(int64(int8(flip)))
	for ; at+8 <= (end+7)/8 && binary.LittleEndian.Uint64(value[at:]) == skip; at += 8 {
	}
	for ; at < (end+7)/8; at++ {
		if c := value[at] ^ flip; c != 0 {
			return min(at*8+int64(bits.LeadingZeros8(c)), end)
		}
	}
	return end
}

func cmdBitOp(tx *fsm.Txn, args [][]byte) resp.Reply {
	var word func(a, b uint64) uint64
	switch op := args[1]; {
	case isOption(op, "AND"):
		word = func(a, b uint64) uint64 { return a & b }
	case isOption(op, "OR"):
		word = func(a, b uint64) uint64 { return a | b }
	case isOption(op, "XOR"):
		word = func(a, b uint64) uint64 { return a ^ b }
	case !isOption(op, "NOT"):
		return errSyntax
	case len(args) != 4:
		return errBitNot
	}
	sources, longest := make([][]byte, len(args)-3), 0
	for i, key := range args[3:] {
		row, bad := lookupString(tx, key)
		if bad.IsError() {
			return bad
		}
		if row != nil {
			sources[i] = row.Value
			longest = max(longest, len(row.Value))
		}
	}
	if longest == 0 {
		remove(tx, args[2])
		return resp.NewInt(0)
	}
	out := make([]byte, longest)
	copy(out, sources[0])
	for _, source := range sources[1:] {
		combineBits(out, source, word)
	}
	if word == nil {
		for i := range out {
			out[i] = ^out[i]
		}
	}
	keepString(tx, args[2], out, 0)
	tx.Notify(fsm.EventString, "set", args[2])
	return resp.NewInt(int64(longest))
}

// combineBits changes out by a source, after which there are zeros.
func combineBits(out, source []byte, word func(a, b uint64) uint64) {
	i := 0
	for ; i+8 <= len(source); i += 8 {
		binary.LittleEndian.PutUint64(out[i:],
			word(binary.LittleEndian.Uint64(out[i:]), binary.LittleEndian.Uint64(source[i:])))
	}
	for ; i < len(out); i++ {
		var b byte
		if i < len(source) {
			b = source[i]
		}
		out[i] = byte(word(uint64(out[i]), uint64(b)))
	}
}
