package load

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
)

// ReplyError is an error reply of the server.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// line reads one line, without its end. It is valid until the next read.
func line(r *bufio.Reader) ([]byte, error) {
	text, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(text) < 3 {
		return nil, fmt.Errorf("%q is no reply", text)
	}
	return text[:len(text)-2], nil
}

// skip reads one reply and tells whether it was nil. An error reply is a ReplyError.
func skip(r *bufio.Reader) (isNil bool, err error) {
	text, err := line(r)
	if err != nil {
		return false, err
	}
	switch text[0] {
	case '+', ':':
		return false, nil
	case '-':
		return false, ReplyError(text[1:])
	}
	n, err := strconv.Atoi(string(text[1:]))
	switch {
	case err != nil:
		return false, fmt.Errorf("%q is no reply", text)
	case n < 0:
		return true, nil
	case text[0] == '$':
		_, err = r.Discard(n + 2)
		return false, err
	case text[0] != '*':
		return false, fmt.Errorf("%q is no reply of RESP2", text)
	}
	for range n {
		if _, err := skip(r); err != nil {
			return false, err
		}
	}
	return false, nil
}

// read reads one reply: a string, an int64, a []any, nil, or a ReplyError as the error.
func read(r *bufio.Reader) (any, error) {
	text, err := line(r)
	if err != nil {
		return nil, err
	}
	kind, rest := text[0], string(text[1:])
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, ReplyError(rest)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no reply", rest)
	case kind == ':':
		return int64(n), nil
	case n < 0:
		return nil, nil
	case kind == '$':
		return readBulk(r, n)
	case kind != '*':
		return nil, fmt.Errorf("%q is no reply of RESP2", string(kind)+rest)
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = read(r); err != nil && !errors.As(err, new(ReplyError)) {
			return nil, err
		}
	}
	return list, nil
}
