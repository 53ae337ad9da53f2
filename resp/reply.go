// Package resp holds the values that commands answer with and writes them as RESP2 or RESP3, byte
// for byte as Redis 7.2 does. It reads nothing: requests are parsed by the listener.
package resp

// Kind says which of a Reply's fields count and how it is written.
type Kind uint8

const (
	None      Kind = iota // nothing is sent; inside an aggregate it is written as Null
	Null                  // absent value; RESP2 has it as a bulk of length -1
	NullArray             // absent aggregate; RESP2 has it as an array of length -1
	Simple                // Text, one line
	Error                 // Text, one line that starts with its code: "ERR syntax error"
	Integer               // Int
	Bulk                  // Bytes, or Text when Bytes is nil
	Array                 // Elems
	Map                   // Elems: key, value, key, value
	Set                   // Elems
	Push                  // Elems, out of band
	Pairs                 // Elems: two by two in RESP3, a flat array in RESP2
	PairMap               // Elems: a map in RESP3, two by two in RESP2
	Double                // Float, or Text when it is not empty
	Boolean               // Int is 0 or 1
	BigNumber             // Text, decimal digits
	Verbatim              // Text: three letters of format, ':', the text
)

// Reply is one answer. The zero value sends nothing. Bytes may alias stored data: whoever holds a
// Reply must not write to it.
type Reply struct {
	Kind  Kind
	Int   int64
	Float float64
	Text  string
	Bytes []byte
	Elems []Reply
	// Stream is not nil for an aggregate that is made while it is written: it stands for Elems.
	Stream *Stream
}

// Replies that many commands share.
var (
	OK       = NewSimple("OK")
	Nil      = Reply{Kind: Null}
	NilArray = Reply{Kind: NullArray}
)

// NewSimple answers with a status line.
func NewSimple(s string) Reply { return Reply{Kind: Simple, Text: s} }

// NewError answers with an error; msg starts with the code and has no '-': "ERR syntax error".
func NewError(msg string) Reply { return Reply{Kind: Error, Text: msg} }

// NewInt answers with an integer.
func NewInt(n int64) Reply { return Reply{Kind: Integer, Int: n} }

// NewBulk answers with b, which is kept, not copied. A nil b is the empty string.
func NewBulk(b []byte) Reply { return Reply{Kind: Bulk, Bytes: b} }

// NewBulkString is NewBulk of a string.
func NewBulkString(s string) Reply { return Reply{Kind: Bulk, Text: s} }

// NewArray answers with a list and keeps elems.
func NewArray(elems []Reply) Reply { return Reply{Kind: Array, Elems: elems} }

// ArrayOf is NewArray of its arguments.
func ArrayOf(elems ...Reply) Reply { return NewArray(elems) }

// BulkArray answers with a list of strings.
func BulkArray(items []string) Reply {
	elems := make([]Reply, len(items))
	for i, s := range items {
		elems[i] = NewBulkString(s)
	}
	return NewArray(elems)
}

// NewMap answers with pairs: key, value, key, value. A last key without a value is not written.
func NewMap(pairs []Reply) Reply { return Reply{Kind: Map, Elems: pairs} }

// NewSet answers with a list that has no order, an array in RESP2.
func NewSet(elems []Reply) Reply { return Reply{Kind: Set, Elems: elems} }

// NewPairs is an array of arrays of two, which is flat in RESP2.
func NewPairs(elems []Reply) Reply { return Reply{Kind: Pairs, Elems: elems} }

// NewPairMap is a map, which in RESP2 is an array of arrays of two.
func NewPairMap(pairs []Reply) Reply { return Reply{Kind: PairMap, Elems: pairs} }

// NewPush is an out-of-band message, an array in RESP2.
func NewPush(elems []Reply) Reply { return Reply{Kind: Push, Elems: elems} }

// NewDouble answers with a floating point number, a bulk string in RESP2.
func NewDouble(f float64) Reply { return Reply{Kind: Double, Float: f} }

// NewDoubleText is NewDouble of a number that is printed in digits of its own.
func NewDoubleText(digits string) Reply { return Reply{Kind: Double, Text: digits} }

// NewBool answers with a truth value, 1 or 0 in RESP2.
func NewBool(b bool) Reply {
	if b {
		return Reply{Kind: Boolean, Int: 1}
	}
	return Reply{Kind: Boolean}
}

// NewBigNumber answers with an integer of any size in decimal, a bulk string in RESP2.
func NewBigNumber(digits string) Reply { return Reply{Kind: BigNumber, Text: digits} }

// NewVerbatim answers with text to be shown as it is; format has three letters ("txt", "mkd").
// RESP2 clients get the text alone.
func NewVerbatim(format, text string) Reply {
	return Reply{Kind: Verbatim, Text: format + ":" + text}
}

// IsError says whether the reply is an error.
func (r Reply) IsError() bool { return r.Kind == Error }
