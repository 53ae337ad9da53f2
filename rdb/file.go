package rdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"strconv"
)

// File reads the keys of an RDB file, one after the other.
type File struct {
	// Functions and Modules count what a file may have beside its keys: libraries of functions, and data of modules.
	Functions, Modules int

	in      *bufio.Reader
	raw     bytes.Buffer // what was read since the last key
	sum     uint64       // of all before
	version int          // of the format
	db      int
	err     error
}

// Entry is a key of a file.
type Entry struct {
	DB       int
	Key      []byte
	ExpireAt int64 // milliseconds since 1970; 0: never
	// Value is its serialised value, for Parse and Seal, and good until the next key is read.
	Value []byte
	// Unknown says of which type it is if it is none that this package knows, else it is "".
	Unknown string
}

// What comes in place of the type of a value.
const (
	opSlotInfo     = 244
	opFunction     = 245
	opModuleAux    = 247
	opIdle         = 248
	opFreq         = 249
	opAux          = 250
	opResize       = 251
	opExpireMillis = 252
	opExpire       = 253
	opSelect       = 254
	opEnd          = 255
)

// Types of which there is nothing more to know than where their values end.
const (
	typeModule           = 7
	typeHashTimesBefore  = 22 // as release candidates wrote them
	typeHashTimesPackedB = 23
	typeHashTimes        = 24
	typeHashTimesPacked  = 25
)

var unknownTypes = map[byte]string{
	typeModule:          "module",
	typeHashTimesBefore: "hash with times to live of fields", typeHashTimesPackedB: "hash with times to live of fields",
	typeHashTimes: "hash with times to live of fields", typeHashTimesPacked: "hash with times to live of fields",
}

// layouts say of what each type and opcode consists: s is a string, l a length, t a score as text, m the values of a
// module, a number so many bytes (g: 16), and what is in parentheses comes as often as the length before says.
var layouts = map[byte]string{
	typeString: "s", typeList: "(s)", typeSet: "(s)", typeZSet: "(st)", typeHash: "(ss)", typeZSet2: "(s8)",
	typeHashZipmap: "s", typeListZiplist: "s", typeSetIntset: "s", typeZSetZiplist: "s", typeHashZiplist: "s",
	typeHashListpack: "s", typeZSetListpack: "s", typeSetListpack: "s",
	typeListQuicklist: "(s)", typeListQuicklist2: "(ls)",
	typeStream:  "(ss)lll(sll(g8l)(s8(g)))",
	typeStream2: "(ss)llllllll(slll(g8l)(s8(g)))",
	typeStream3: "(ss)llllllll(slll(g8l)(s88(g)))",

	typeModule: "lm", typeHashTimesBefore: "(lss)", typeHashTimesPackedB: "s", typeHashTimes: "8(lss)", typeHashTimesPacked: "8s",

	opSlotInfo: "lll", opFunction: "s", opModuleAux: "lllm", opIdle: "l", opFreq: "1", opAux: "ss", opResize: "ll",
	opExpireMillis: "8", opExpire: "4", opSelect: "l", opEnd: "",
}

// checkedFrom is the version of the format from which on files end with a checksum.
const checkedFrom = 5

var errEndsEarly = errors.New("it ends early")

// NewFile begins to read a file.
func NewFile(r io.Reader) (*File, error) {
	f := &File{in: bufio.NewReaderSize(r, 1<<20)}
	f.take(9)
	head := f.raw.Bytes()
	if f.err != nil || string(head[:5]) != "REDIS" {
		return nil, errors.New("it is not an RDB file")
	}
	var err error
	if f.version, err = strconv.Atoi(string(head[5:])); err != nil {
		return nil, errors.New("it is not an RDB file")
	}
	return f, nil
}

// Next returns the next key. The error is io.EOF after the last one, when the checksum of the file is right.
func (f *File) Next() (*Entry, error) {
	e := &Entry{}
	for {
		f.sum = ^crc64.Update(^f.sum, crcTable, f.raw.Bytes())
		f.raw.Reset()
		op := f.byte()
		if kinds[op] != 0 || unknownTypes[op] != "" {
			return f.value(e, op)
		}
		layout, known := layouts[op]
		if !known && f.err == nil {
			f.err = fmt.Errorf("it has something of type %d, which is not known here", op)
		}
		f.walk(layout)
		if f.err != nil {
			return nil, f.err
		}
		r := &reader{b: f.raw.Bytes()[1:]}
		switch op {
		case opSelect:
			f.db = int(r.length())
		case opExpire:
			e.ExpireAt = 1000 * int64(int32(binary.LittleEndian.Uint32(r.b)))
		case opExpireMillis:
			e.ExpireAt = int64(r.uint64())
		case opFunction:
			f.Functions++
		case opModuleAux:
			f.Modules++
		case opEnd:
			return nil, f.end()
		}
	}
}

// value reads a key and its value, whose type was read.
func (f *File) value(e *Entry, form byte) (*Entry, error) {
	f.walk("s")
	start := f.raw.Len()
	f.walk(layouts[form])
	if f.err != nil {
		return nil, f.err
	}
	b := f.raw.Bytes()
	r := &reader{b: b[1:start]}
	e.DB, e.Key, e.Unknown = f.db, bytes.Clone(r.string()), unknownTypes[form]
	if r.bad {
		return nil, errors.New("a key in it is damaged")
	}
	e.Value = append(append(make([]byte, 0, 1+len(b)-start+footerSize), form), b[start:]...)
	return e, nil
}

// end reads what follows the last key. A checksum of 0 means that there is none.
func (f *File) end() error {
	sum := ^crc64.Update(^f.sum, crcTable, f.raw.Bytes())
	if f.version >= checkedFrom {
		f.raw.Reset()
		f.take(8)
		if f.err != nil {
			return f.err
		}
		if want := binary.LittleEndian.Uint64(f.raw.Bytes()); want != 0 && want != sum {
			return errors.New("it is damaged: checksum mismatch")
		}
	}
	if _, err := f.in.ReadByte(); err == nil {
		return errors.New("something follows its end")
	}
	return io.EOF
}

func (f *File) fail(err error) {
	if err == io.EOF {
		err = errEndsEarly
	}
	if f.err == nil {
		f.err = err
	}
}

// fileStringMax is more than any string in a file of Redis has.
const fileStringMax = 1 << 32

// byte and take read bytes into raw. After the first failure nothing is read any more.
func (f *File) byte() byte {
	if f.err != nil {
		return 0
	}
	b, err := f.in.ReadByte()
	if err != nil {
		f.fail(err)
		return 0
	}
	f.raw.WriteByte(b)
	return b
}

func (f *File) take(n uint64) {
	if n > fileStringMax {
		f.fail(errors.New("a length in it is damaged"))
	}
	if f.err == nil {
		_, err := io.CopyN(&f.raw, f.in, int64(n))
		f.fail(err)
	}
}

// walk reads what a layout says.
func (f *File) walk(layout string) {
	for ; layout != "" && f.err == nil; layout = layout[1:] {
		switch c := layout[0]; c {
		case 's':
			f.string()
		case 'l':
			f.length()
		case 't':
			if n := f.byte(); n < 253 { // the others are infinities and NaN
				f.take(uint64(n))
			}
		case 'g':
			f.take(16)
		case 'm':
			f.module()
		case '(':
			end := closing(layout)
			for n := f.length(); n > 0 && f.err == nil; n-- {
				f.walk(layout[1:end])
			}
			layout = layout[end:]
		default:
			f.take(uint64(c - '0'))
		}
	}
}

// closing is the place of the parenthesis that closes the first one.
func closing(layout string) int {
	depth := 0
	for i, c := range layout {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(layout) - 1
}

// header reads what reader.header does.
func (f *File) header() (n uint64, isEncoded bool) {
	start := f.raw.Len()
	switch c := f.byte(); {
	case c>>6 == length14:
		f.take(1)
	case c == length32:
		f.take(4)
	case c == length64:
		f.take(8)
	}
	if f.err != nil {
		return 0, false
	}
	r := &reader{b: f.raw.Bytes()[start:]}
	if n, isEncoded = r.header(); r.bad {
		f.fail(errors.New("a length in it is damaged"))
	}
	return n, isEncoded
}

func (f *File) length() uint64 {
	n, isEncoded := f.header()
	if isEncoded {
		f.fail(errors.New("a length in it is damaged"))
		return 0
	}
	return n
}

func (f *File) string() {
	n, isEncoded := f.header()
	switch {
	case !isEncoded:
		f.take(n)
	case n == encInt8:
		f.take(1)
	case n == encInt16:
		f.take(2)
	case n == encInt32:
		f.take(4)
	case n == encLZF:
		n = f.length()
		f.length()
		f.take(n)
	default:
		f.fail(errors.New("a string in it is damaged"))
	}
}

// module reads the values of a module, each after what it is.
func (f *File) module() {
	for f.err == nil {
		switch f.length() {
		case 0:
			return
		case 1, 2: // integers
			f.length()
		case 3: // a float
			f.take(4)
		case 4: // a double
			f.take(8)
		case 5:
			f.string()
		default:
			f.fail(errors.New("a value of a module in it is damaged"))
		}
	}
}
