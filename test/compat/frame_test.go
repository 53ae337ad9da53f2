package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// readFrame reads the bytes of one reply, whatever is nested in it.
func readFrame(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read a reply: %w", err)
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("read a reply: bad line %q", line)
	}
	children := 0
	switch line[0] {
	case '+', '-', ':', '_', ',', '#', '(':
		return line, nil
	case '$', '=', '!':
		n, err := strconv.Atoi(string(line[1 : len(line)-2]))
		if err != nil || n < 0 {
			return line, err
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, fmt.Errorf("read a reply: %w", err)
		}
		return append(line, body...), nil
	case '*', '~', '>':
		children, err = strconv.Atoi(string(line[1 : len(line)-2]))
	case '%':
		children, err = strconv.Atoi(string(line[1 : len(line)-2]))
		children *= 2
	default:
		err = fmt.Errorf("read a reply: unknown type %q", line)
	}
	for range children {
		var child []byte
		if child, err = readFrame(r); err != nil {
			return nil, err
		}
		line = append(line, child...)
	}
	return line, err
}

// elements returns the header of an aggregate reply and the bytes of each of its elements.
func elements(reply []byte) (header []byte, elems [][]byte, err error) {
	r := bufio.NewReader(bytes.NewReader(reply))
	if header, err = r.ReadBytes('\n'); err != nil {
		return nil, nil, err
	}
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return header, elems, nil
		}
		elem, err := readFrame(r)
		if err != nil {
			return nil, nil, err
		}
		elems = append(elems, elem)
	}
}

// sorted puts the elements of an aggregate reply in order; width of them belong together.
func sorted(reply []byte, width int) ([]byte, error) {
	header, elems, err := elements(reply)
	if err != nil {
		return nil, err
	}
	if len(elems) > 0 && elems[0][0] == '*' { // RESP3 has what belongs together in an array of its own
		width = 1
	}
	groups := grouped(elems, width)
	slices.SortFunc(groups, bytes.Compare)
	return append(header, bytes.Join(groups, nil)...), nil
}

// grouped joins elements, so many at a time.
func grouped(elems [][]byte, width int) (groups [][]byte) {
	for chunk := range slices.Chunk(elems, width) {
		groups = append(groups, bytes.Join(chunk, nil))
	}
	return groups
}

// bulkText returns the text of a bulk string.
func bulkText(reply []byte) (string, error) {
	_, rest, ok := bytes.Cut(reply, []byte("\r\n"))
	if !ok || reply[0] != '$' || len(rest) < 2 {
		return "", fmt.Errorf("not a bulk string: %q", reply)
	}
	return string(rest[:len(rest)-2]), nil
}

// integer returns the number of an integer reply.
func integer(reply []byte) (int64, bool) {
	if len(reply) < 4 || reply[0] != ':' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(reply[1:len(reply)-2]), 10, 64)
	return n, err == nil
}
