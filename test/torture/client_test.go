package torture_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// replyTimeout is far longer than any node may take for an answer. One that takes longer has forgotten
// the request.
const replyTimeout = 40 * time.Second

// conn is a client connection that speaks RESP2.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, replyTimeout)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReader(c)}, nil
}

// pipeline sends the commands in one piece, which makes them one request, and returns their replies.
func (c *conn) pipeline(commands [][]string) ([]string, error) {
	if err := c.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	var out []byte
	for _, args := range commands {
		out = fmt.Appendf(out, "*%d\r\n", len(args))
		for _, a := range args {
			out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	if _, err := c.Write(out); err != nil {
		return nil, err
	}
	replies := make([]string, len(commands))
	for i := range replies {
		var err error
		if replies[i], err = c.reply(); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

func (c *conn) do(args ...string) (string, error) {
	replies, err := c.pipeline([][]string{args})
	if err != nil {
		return "", err
	}
	return replies[0], nil
}

// reply reads one reply as a text: +OK, !ERR..., :1, $value, (nil), [$a (nil)].
func (c *conn) reply() (string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch line[0] {
	case '+', ':':
		return line, nil
	case '-':
		return "!" + line[1:], nil
	}
	n, err := strconv.Atoi(line[1:])
	switch {
	case err != nil:
		return "", fmt.Errorf("reply %q: %w", line, err)
	case n < 0:
		return "(nil)", nil
	case line[0] == '$':
		data := make([]byte, n+2)
		_, err := io.ReadFull(c.in, data)
		return "$" + string(data[:n]), err
	case line[0] == '*':
		parts := make([]string, n)
		for i := range parts {
			if parts[i], err = c.reply(); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, " ") + "]", nil
	}
	return "", fmt.Errorf("reply %q", line)
}

// operation is one request of a client, with what came of it, as it is kept in a failing history.
type operation struct {
	Client, Node     int
	Group            string
	Commands         [][]string
	Replies          []string
	Unknown          bool  // whether it was executed is not known, and may be decided after Return
	Call, Return     int64 // in ns since the start of the run, monotonic
	CallMS, ReturnMS int64 // in ms since the epoch
}

func (op *operation) String() string {
	var b strings.Builder
	for i, args := range op.Commands {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(strings.Join(args, " "))
		if !op.Unknown {
			b.WriteString(" -> " + op.Replies[i])
		}
	}
	if op.Unknown {
		b.WriteString(" -> ?")
	}
	return fmt.Sprintf("node %d: %s", op.Node, b.String())
}

// readOnly says whether the operation changes nothing.
func (op *operation) readOnly() bool {
	return !slices.ContainsFunc(op.Commands, func(args []string) bool {
		return !slices.Contains([]string{"GET", "MGET", "STRLEN", "EXISTS", "PTTL"}, args[0])
	})
}

// notExecuted are the replies that promise that nothing was, nor will be, executed: see Errors that
// clients may see in the README, and command.ErrorReply.
func notExecuted(reply string) bool {
	return strings.HasPrefix(reply, "!CLUSTERDOWN ") || reply == "!ERR Server is shutting down"
}

func uncertain(reply string) bool { return strings.HasPrefix(reply, "!UNCERTAIN ") }

// tally counts what became of operations.
type tally struct{ done, failed, unknown, forgotten atomic.Int64 }

// client is one client of one node, which sends one request at a time.
type client struct {
	id      int
	node    *node
	load    *workload
	reads   bool // only reads: it is not held up by writes that wait for a leader
	rnd     *rand.Rand
	start   time.Time
	conn    *conn
	history []*operation
}

// run sends requests until stop is closed. Those that certainly were not executed leave no trace in
// the history, so that an effect of theirs can't be explained; neither do reads without an answer.
func (c *client) run(stop <-chan struct{}) {
	defer c.hangUp()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(c.rnd.Intn(30)) * time.Millisecond): // leaves the machine some air
		}
		if c.reads {
			c.perform(c.load.recent(c.rnd))
		} else {
			c.perform(c.load.next(c.rnd, fmt.Sprintf("%02d-%05d;", c.id, n)))
		}
	}
}

func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.Close()
	}
}

// perform sends one request and notes what became of it.
func (c *client) perform(group string, commands [][]string) {
	if c.conn == nil {
		var err error
		if c.conn, err = dial(c.node.addr); err != nil {
			c.conn = nil
			time.Sleep(20 * time.Millisecond) // the node is down: nothing was sent
			return
		}
	}
	op := &operation{Client: c.id, Node: c.node.id, Group: group, Commands: commands,
		CallMS: time.Now().UnixMilli(), Call: int64(time.Since(c.start))}
	var err error
	op.Replies, err = c.conn.pipeline(commands)
	op.Return, op.ReturnMS = int64(time.Since(c.start)), time.Now().UnixMilli()
	switch {
	case err != nil:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.load.tally.forgotten.Add(1)
		}
		c.conn.Close()
		c.conn = nil
		op.Unknown = true
	case slices.ContainsFunc(op.Replies, uncertain):
		op.Unknown = true
	case !slices.ContainsFunc(op.Replies, func(r string) bool { return !notExecuted(r) }):
		c.load.tally.failed.Add(1)
		return
	}
	if op.Unknown {
		c.load.tally.unknown.Add(1)
		if op.readOnly() {
			return
		}
		c.load.retire(group)
	} else {
		c.load.tally.done.Add(1)
		c.node.served.Add(1)
	}
	c.history = append(c.history, op)
}
