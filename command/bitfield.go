package command

import (
	"math"

	"redoubt/fsm"
	"redoubt/resp"
)

// fieldOp is one operation of BITFIELD.
type fieldOp struct {
	kind     fieldKind
	overflow fieldOverflow
	signed   bool
	width    int64 // bits
	offset   int64 // of the first bit
	by       int64 // what is set or added
}

type fieldKind uint8

const (
	fieldGet fieldKind = iota
	fieldSet
	fieldIncrBy
)

// fieldOverflow is what becomes of a number that does not fit.
type fieldOverflow uint8

const (
	fieldWrap fieldOverflow = iota
	fieldSat
	fieldFail
)

func cmdBitField(tx *fsm.Txn, args [][]byte) resp.Reply { return bitField(tx, args, false) }

func cmdBitFieldRO(tx *fsm.Txn, args [][]byte) resp.Reply { return bitField(tx, args, true) }

// bitFieldKeys tells that BITFIELD only reads when all it does is GET.
func bitFieldKeys(args [][]byte) []Key {
	flags := KeyRO | KeyAccess
	for i := 2; i < len(args); {
		switch words := len(args) - i; {
		case isOption(args[i], "GET") && words > 2:
			i += 3
		case isOption(args[i], "OVERFLOW") && words > 1:
			i += 2
		case (isOption(args[i], "SET") || isOption(args[i], "INCRBY")) && words > 3:
			i += 4
			flags = KeyRW | KeyAccess | KeyUpdate
		default: // a wrong call
			return []Key{{Index: 1, Flags: KeyRW | KeyAccess | KeyUpdate}}
		}
	}
	return []Key{{Index: 1, Flags: flags}}
}

func bitField(tx *fsm.Txn, args [][]byte, readOnly bool) resp.Reply {
	ops, bad := parseFieldOps(args[2:])
	if bad.IsError() {
		return bad
	}
	lastBit := int64(-1) // that is written
	for _, op := range ops {
		if op.kind != fieldGet {
			lastBit = max(lastBit, op.offset+op.width-1)
		}
	}
	if lastBit >= 0 && readOnly {
		return errFieldReadOnly
	}
	row, bad := lookupString(tx, args[1])
	if bad.IsError() {
		return bad
	}
	var value []byte
	switch {
	case lastBit >= 0:
		value = grown(row, lastBit)
	case row != nil:
		value = row.Value
	}
	replies, changed := make([]resp.Reply, len(ops)), false
	grows := lastBit >= 0 && hasGrown(row, value)
	for i := range ops {
		var change bool
		replies[i], change = ops[i].do(value)
		changed = changed || change || grows && ops[i].kind != fieldGet && replies[i].Kind != resp.Null
	}
	if lastBit >= 0 && (changed || hasGrown(row, value)) { // else the key counts as unchanged for those who watch it
		keepString(tx, args[1], value, keepExpiry(row))
	}
	if changed {
		tx.Notify(fsm.EventString, "setbit", args[1])
	}
	return resp.NewArray(replies)
}

func parseFieldOps(args [][]byte) (ops []fieldOp, bad resp.Reply) {
	overflow := fieldWrap
	for len(args) > 0 {
		op, words := fieldOp{overflow: overflow}, 4
		switch name := args[0]; {
		case isOption(name, "GET") && len(args) >= 3:
			op.kind, words = fieldGet, 3
		case isOption(name, "SET") && len(args) >= 4:
			op.kind = fieldSet
		case isOption(name, "INCRBY") && len(args) >= 4:
			op.kind = fieldIncrBy
		case isOption(name, "OVERFLOW") && len(args) >= 2:
			if overflow, bad = parseFieldOverflow(args[1]); bad.IsError() {
				return nil, bad
			}
			args = args[2:]
			continue
		default:
			return nil, errSyntax
		}
		if bad = op.parse(args[1:words]); bad.IsError() {
			return nil, bad
		}
		ops, args = append(ops, op), args[words:]
	}
	return ops, resp.Reply{}
}

func parseFieldOverflow(arg []byte) (fieldOverflow, resp.Reply) {
	switch {
	case isOption(arg, "WRAP"):
		return fieldWrap, resp.Reply{}
	case isOption(arg, "SAT"):
		return fieldSat, resp.Reply{}
	case isOption(arg, "FAIL"):
		return fieldFail, resp.Reply{}
	}
	return 0, errFieldOverflow
}

// parse reads type, offset and, except for GET, the number.
func (o *fieldOp) parse(args [][]byte) resp.Reply {
	name := cString(args[0])
	if len(name) == 0 || name[0] != 'i' && name[0] != 'u' {
		return errFieldType
	}
	o.signed = name[0] == 'i'
	width, ok := parseInt(name[1:])
	if !ok || width < 1 || width > 64 || width == 64 && !o.signed {
		return errFieldType
	}
	o.width = width
	var bad resp.Reply
	if o.offset, bad = parseBitOffset(args[1], width); bad.IsError() {
		return bad
	}
	if o.kind != fieldGet {
		if o.by, ok = parseInt(args[2]); !ok {
			return errNotInteger
		}
	}
	return resp.Reply{}
}

// do executes the operation on a string, which is as long as it has to be for what is written.
func (o *fieldOp) do(value []byte) (reply resp.Reply, changed bool) {
	old := o.signExtend(readField(value, o.offset, o.width))
	if o.kind == fieldGet {
		return resp.NewInt(old), false
	}
	base := old
	if o.kind == fieldSet {
		base = 0
	}
	next, fits := o.add(base)
	if !fits && o.overflow == fieldFail {
		return resp.Nil, false
	}
	writeField(value, o.offset, o.width, uint64(next))
	if o.kind == fieldSet {
		return resp.NewInt(old), next != old
	}
	return resp.NewInt(next), next != old
}

// signExtend makes a number of the bits of a field.
func (o *fieldOp) signExtend(bits uint64) int64 {
	if !o.signed {
		return int64(bits)
	}
	shift := 64 - o.width
	return int64(bits<<shift) >> shift
}

// add returns the sum, or what stands for one that does not fit.
func (o *fieldOp) add(base int64) (next int64, fits bool) {
	least, most := int64(0), int64(math.MaxInt64)
	if o.signed {
		most >>= 64 - o.width
		least = -most - 1
	} else {
		most >>= 63 - o.width
	}
	sum, ok := addInts(base, o.by)
	switch {
	case ok && least <= sum && sum <= most:
		return sum, true
	case o.overflow == fieldSat && o.isAbove(most):
		return most, false
	case o.overflow == fieldSat:
		return least, false
	}
	mask := ^uint64(0) >> (64 - o.width)
	return o.signExtend(uint64(base+o.by) & mask), false
}

// isAbove says on which side a number is that does not fit. To SET u8, and to SET i8 when its distance from the largest
// number is beyond 64 bits, a negative one is large.
func (o *fieldOp) isAbove(most int64) bool {
	return o.by > 0 || o.kind == fieldSet && (!o.signed || most-o.by < 0)
}

// readField returns the bits of a field; those after the end of the string are zeros.
func readField(value []byte, offset, width int64) (bits uint64) {
	for i := offset; i < offset+width; i++ {
		bits <<= 1
		if i/8 < int64(len(value)) {
			bits |= uint64(value[i/8]>>(7-i&7)) & 1
		}
	}
	return bits
}

func writeField(value []byte, offset, width int64, bits uint64) {
	for i := offset + width - 1; i >= offset; i-- {
		shift := 7 - i&7
		value[i/8] = value[i/8]&^(1<<shift) | byte(bits&1)<<shift
		bits >>= 1
	}
}
