package rdb

import "errors"

// What stands before a library of functions, in a file and in the payloads of FUNCTION DUMP.
const (
	opcodeFunction    = 245
	opcodeFunctionOld = 246 // of a release candidate of Redis 7.0
)

// Errors of Functions, in Redis's words.
var (
	errFunctionOld = errors.New("Pre-GA function format not supported")
	errNoFunction  = errors.New("given type is not a function")
	//lint:ignore ST1005 the text of Redis
	errFunctionText = errors.New("Failed loading library payload")
)

// AppendFunction adds the text of a library.
func AppendFunction(dst, text []byte) []byte { return appendString(append(dst, opcodeFunction), text) }

// Functions returns the texts of the libraries in a payload. Its error is ErrFooter, or has the text of Redis.
func Functions(payload []byte) (texts [][]byte, err error) {
	b, err := unseal(payload)
	if err != nil {
		return nil, err
	}
	r := &reader{b: b}
	for len(r.b) > 0 {
		switch r.byte() {
		case opcodeFunction:
		case opcodeFunctionOld:
			return nil, errFunctionOld
		default:
			return nil, errNoFunction
		}
		text := r.string()
		if r.bad {
			return nil, errFunctionText
		}
		texts = append(texts, text)
	}
	return texts, nil
}
