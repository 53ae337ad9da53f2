package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"regexp"
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

// They reset what cases change. resetSetPacking is what Redis before 7.2 does not have of resetPacking.
var (
	resetSetPacking = strings.Fields("CONFIG SET set-max-listpack-entries 128 set-max-listpack-value 64")
	resetPacking    = strings.Fields("CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64 " +
		"set-max-intset-entries 512 zset-max-listpack-entries 128 zset-max-listpack-value 64 list-max-listpack-size -2 " +
		"stream-node-max-bytes 4096 stream-node-max-entries 100 hll-sparse-max-bytes 3000")
)

// start brings a target to the state in which every case begins.
func start(t target, proto int) error {
	for i, call := range [][]string{{"HELLO", strconv.Itoa(proto)}, {"SELECT", "0"}, {"FLUSHALL"}, resetPacking, resetSetPacking} {
		reply, err := t.call(call)
		if err != nil {
			return err
		}
		if reply[0] == '-' && i < 4 {
			return fmt.Errorf("%s: %s", call[0], reply)
		}
	}
	return nil
}

// run executes a step and makes its reply comparable. What begins with @ is a call of the words after it, whose reply is
// treated in a special way: @sorted and @pairs, for replies whose order is for each server to choose, put the elements
// in order, one by one or two by two; @untimed, for streams, leaves out times and the nodes of Redis's radix tree; "@dump key
// ..." is RESTORE with what DUMP of the key answers in the place of the payload "@".
func run(t target, s step) ([]byte, error) {
	switch s.args[0] {
	case "@scan":
		return scanAll(t, "SCAN", nil, s.args[1:], 1)
	case "@elements":
		return elementScan(t, s.args[1:])
	case "@value":
		return wholeValue(t, s.args[1])
	case "@dump":
		return restoreDump(t, s.args[1:])
	case "@sorted":
		return inOrder(t, s.args[1:], 1)
	case "@pairs":
		return inOrder(t, s.args[1:], 2)
	case "@untimed":
		reply, err := t.call(s.args[1:])
		for _, number := range untimed {
			reply = number.ReplaceAll(reply, []byte("$1:time$2"))
		}
		return reply, err
	}
	if strings.EqualFold(s.args[0], "KEYS") {
		return inOrder(t, s.args, 1)
	}
	if name := strings.ToUpper(s.args[0]); name == "SORT" || name == "SORT_RO" {
		// Redis takes an error that an earlier command has left behind for one of its own: SCAN clears it.
		if _, err := t.call([]string{"SCAN", "0"}); err != nil {
			return nil, err
		}
	}
	reply, err := t.call(s.args)
	if err != nil || reply[0] == '-' {
		return reply, err
	}
	if len(s.args) > 1 && strings.EqualFold(s.args[0]+s.args[1], "COMMANDINFO") {
		return dropSubcommands(reply)
	}
	return reply, nil
}

// untimed are the places of numbers in replies about streams: fields of XINFO, and what is pending.
var untimed = []*regexp.Regexp{
	regexp.MustCompile(`(\r\n(?:radix-tree-nodes|idle|inactive|seen-time|active-time)\r\n):\d+()`),
	regexp.MustCompile(`(\*4\r\n\$\d+\r\n\d+-\d+\r\n\$\d+\r\n[^\r]*\r\n):\d+(\r\n:)`),
	regexp.MustCompile(`(\*3\r\n\$\d+\r\n\d+-\d+\r\n):\d+(\r\n:)`),
}

// inOrder calls a command and puts the elements of its reply in order, so many at a time.
func inOrder(t target, args []string, width int) ([]byte, error) {
	reply, err := t.call(args)
	if err != nil || !strings.ContainsRune("*~%", rune(reply[0])) {
		return reply, err
	}
	return sorted(reply, width)
}

// elementScan follows HSCAN, SSCAN or ZSCAN of a key to its end.
func elementScan(t target, args []string) ([]byte, error) {
	width := 2
	if strings.EqualFold(args[0], "SSCAN") {
		width = 1
	}
	return scanAll(t, args[0], args[1:2], args[2:], width)
}

// wholeValue is all that is at a key, whatever its type.
func wholeValue(t target, key string) ([]byte, error) {
	kind, err := t.call([]string{"TYPE", key})
	if err != nil {
		return nil, err
	}
	read := map[string][]string{
		"string": {"GET", key}, "hash": {"HGETALL", key}, "list": {"LRANGE", key, "0", "-1"}, "set": {"SMEMBERS", key},
		"zset": {"ZRANGE", key, "0", "-1", "WITHSCORES"}, "stream": {"XRANGE", key, "-", "+"},
	}[strings.Trim(string(kind), "+\r\n")]
	if read == nil {
		return kind, nil
	}
	var reply []byte
	switch read[0] {
	case "HGETALL":
		reply, err = inOrder(t, read, 2)
	case "SMEMBERS":
		reply, err = inOrder(t, read, 1)
	default:
		reply, err = t.call(read)
	}
	return append(kind, reply...), err
}

// restoreDump calls RESTORE with a payload of the same server: what is in it is for each to choose.
func restoreDump(t target, args []string) ([]byte, error) {
	reply, err := t.call([]string{"DUMP", args[0]})
	if err != nil || reply[0] != '$' || reply[1] == '-' {
		return reply, err
	}
	payload, err := bulkText(reply)
	if err != nil {
		return nil, err
	}
	call := append([]string{"RESTORE"}, args[1:]...)
	for i := range call {
		if call[i] == "@" {
			call[i] = payload
		}
	}
	return t.call(call)
}

// scanAll follows a SCAN command with these options to its end and returns what it shows in order, each once, in groups of
// so many. What comes in which page is for each server to choose.
func scanAll(t target, name string, key, options []string, width int) ([]byte, error) {
	const pagesMax = 10000
	cursor := "0"
	var found [][]byte
	for range pagesMax {
		args := append(append(append([]string{name}, key...), cursor), options...)
		page, err := t.call(args)
		if err != nil || page[0] == '-' {
			return page, err
		}
		_, parts, err := elements(page)
		if err != nil || len(parts) != 2 {
			return nil, fmt.Errorf("%s answers %q: %w", name, page, err)
		}
		_, elems, err := elements(parts[1])
		if err != nil {
			return nil, err
		}
		found = append(found, grouped(elems, width)...)
		if cursor, err = bulkText(parts[0]); err != nil {
			return nil, err
		}
		if cursor == "0" {
			slices.SortFunc(found, bytes.Compare)
			return bytes.Join(slices.CompactFunc(found, bytes.Equal), nil), nil
		}
	}
	return nil, fmt.Errorf("%s %q does not end", name, options)
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
	conn   net.Conn
	in     *bufio.Reader
	failed error // nothing is sent after an error
}

func dial(addr string) (*remote, error) {
	conn, err := net.DialTimeout("tcp", addr, callTimeout)
	if err != nil {
		return nil, err
	}
	return &remote{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (r *remote) call(args []string) (reply []byte, err error) {
	if r.failed != nil { // what comes now may be the answer to another call
		return nil, r.failed
	}
	defer func() { r.failed = err }()
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
