package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is a server, or what stands for one. One client uses it at a time.
type target interface {
	// call executes a command and returns the bytes of its reply.
	call(args []string) ([]byte, error)
	close() error
}

// casesFor returns the cases that this target can run.
func casesFor(tested target, cases []testCase) []testCase {
	if _, isLocal := tested.(*local); !isLocal {
		return cases
	}
	return slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.remote })
}

// start brings a target to the state in which every case begins.
func start(t target, proto int) error {
	for _, call := range [][]string{{"HELLO", strconv.Itoa(proto)}, {"SELECT", "0"}, {"FLUSHALL"}} {
		reply, err := t.call(call)
		if err != nil {
			return err
		}
		if reply[0] == '-' {
			return fmt.Errorf("%s: %s", call[0], reply)
		}
	}
	return nil
}

// run executes a step and makes its reply comparable.
func run(t target, s step) ([]byte, error) {
	if s.args[0] == "@scan" {
		return scanAll(t, s.args[1:])
	}
	args, anyOrder := s.args, s.args[0] == "@sorted"
	if anyOrder { // a reply whose order is for each server to choose
		args = args[1:]
	}
	reply, err := t.call(args)
	if err != nil || reply[0] == '-' {
		return reply, err
	}
	switch {
	case anyOrder:
		return sorted(reply)
	case strings.EqualFold(s.args[0], "KEYS"):
		return sorted(reply)
	case len(s.args) > 1 && strings.EqualFold(s.args[0]+s.args[1], "COMMANDINFO"):
		return dropSubcommands(reply)
	}
	return reply, nil
}

// scanAll follows a SCAN with these options to its end and returns the keys in order, each once.
// Which keys come in which page is for each server to choose.
func scanAll(t target, options []string) ([]byte, error) {
	const pagesMax = 10000
	cursor := "0"
	var keys [][]byte
	for range pagesMax {
		page, err := t.call(append([]string{"SCAN", cursor}, options...))
		if err != nil || page[0] == '-' {
			return page, err
		}
		_, parts, err := elements(page)
		if err != nil || len(parts) != 2 {
			return nil, fmt.Errorf("SCAN answers %q: %w", page, err)
		}
		_, found, err := elements(parts[1])
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
		if cursor, err = bulkText(parts[0]); err != nil {
			return nil, err
		}
		if cursor == "0" {
			slices.SortFunc(keys, bytes.Compare)
			return bytes.Join(slices.CompactFunc(keys, bytes.Equal), nil), nil
		}
	}
	return nil, fmt.Errorf("SCAN %q does not end", options)
}

// dropSubcommands removes the last column of COMMAND INFO: Redis has more subcommands, in the
// order of a hash table. Those that Redoubt has are cases of their own.
func dropSubcommands(reply []byte) ([]byte, error) {
	header, rows, err := elements(reply)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if row[0] != '*' || len(row) < len("*10\r\n") {
			continue // null, for an unknown command
		}
		_, columns, err := elements(row)
		if err != nil {
			return nil, err
		}
		rows[i] = bytes.Join(columns[:len(columns)-1], nil)
	}
	return append(header, bytes.Join(rows, nil)...), nil
}

// callTimeout bounds one call; it is generous since tests run on busy machines.
const callTimeout = 60 * time.Second

// remote is a server that is reached over TCP.
type remote struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) (*remote, error) {
	conn, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, err
	}
	return &remote{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (r *remote) call(args []string) ([]byte, error) {
	if err := r.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	out := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := r.conn.Write(out); err != nil {
		return nil, err
	}
	return readFrame(r.in)
}

func (r *remote) close() error { return r.conn.Close() }
