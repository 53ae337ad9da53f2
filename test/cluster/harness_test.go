// Package cluster_test runs real processes: it starts them, kills and stops them in the middle of
// things, and checks what they answer.
package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "redoubt"
	_ "redoubt/server"

	"redoubt/test/ports"
)

// patience is how long a condition may take that should come much sooner.
const patience = 60 * time.Second

// binary is the program, nextBinary the same as a build of the next version.
var binary, nextBinary string

func TestMain(m *testing.M) {
	if addrs := os.Getenv(holderVariable); addrs != "" {
		holdLocks(strings.Split(addrs, ","), os.Args[len(os.Args)-1])
		return
	}
	dir, err := os.MkdirTemp("", "redoubt-test")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "redoubt")
	nextBinary = filepath.Join(dir, "redoubt-next")
	for output, tags := range map[string]string{binary: "", nextBinary: "nextversion"} {
		build := exec.Command("go", "build", "-tags", tags, "-o", output, "redoubt/cmd/redoubt")
		if out, err := build.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build: %v\n%s", err, out))
		}
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestSources opens what the binary is built from beside the packages imported above: Go repeats the
// result of a test that has run until what it was built from, or a file that a test opened, changes.
func TestSources(t *testing.T) {
	names, err := filepath.Glob("../../cmd/redoubt/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sources of the command: %v", err)
	}
	for _, name := range names {
		if _, err := os.ReadFile(name); err != nil {
			t.Error(err)
		}
	}
}

// process is one node.
type process struct {
	t        *testing.T
	id       int
	addr     string // for clients
	program  string
	args     []string
	dir      string
	cmd      *exec.Cmd
	out      *os.File // what all its runs printed
	exited   chan struct{}
	exitCode int
}

// newProcess prepares a node without starting it.
func newProcess(t *testing.T, id int, args ...string) *process {
	t.Helper()
	root := t.TempDir()
	out, err := os.Create(filepath.Join(root, "output"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, id: id, addr: ports.Cluster.Free(t), program: binary, dir: filepath.Join(root, "data"), out: out}
	p.args = append([]string{"--listen", p.addr, "--data-dir", p.dir}, args...)
	t.Cleanup(func() {
		p.kill()
		out.Close()
		if t.Failed() {
			t.Logf("node %d printed:\n%s", id, tail(p.output(), 6000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *process) output() string {
	data, _ := os.ReadFile(p.out.Name())
	return string(data)
}

// launch starts the process and does not wait for it to answer.
func (p *process) launch() {
	p.t.Helper()
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		p.exitCode = cmd.ProcessState.ExitCode()
		close(exited)
	}(p.cmd, p.exited)
}

// start starts the process and waits until it answers.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	p.awaitAnswer()
}

func (p *process) awaitAnswer() {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("node %d answers", p.id), func() bool {
		c, err := dial(p.addr)
		if err != nil {
			return false
		}
		defer c.close()
		reply, err := c.do("PING")
		return err == nil && reply == "PONG"
	})
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return p.cmd != nil
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// awaitExit waits for the process to end by itself, and returns its exit code.
func (p *process) awaitExit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.t.Fatalf("node %d has not ended after %v", p.id, limit)
	}
	return p.exitCode
}

// cluster is three processes.
type cluster []*process

func newCluster(t *testing.T, args ...string) cluster {
	t.Helper()
	var c cluster
	var members []string
	for id := 1; id <= 3; id++ {
		p := newProcess(t, id, args...)
		raft := ports.Cluster.Free(t)
		p.args = append(p.args, "--id", fmt.Sprint(id), "--raft-listen", raft)
		members = append(members, fmt.Sprintf("%d=%s", id, raft))
		c = append(c, p)
	}
	for _, p := range c {
		p.args = append(p.args, "--cluster", strings.Join(members, ","))
		p.launch()
	}
	for _, p := range c {
		p.awaitAnswer()
	}
	return c
}

// leader waits for a leader that the majority of the running nodes follows.
func (c cluster) leader(t *testing.T) *process {
	t.Helper()
	var found *process
	eventually(t, "a leader", func() bool {
		votes := make(map[string]int)
		for _, p := range c {
			if p.running() {
				votes[p.raftField("leader")+"/"+p.raftField("term")]++
			}
		}
		for vote, n := range votes {
			var id, term int
			if _, err := fmt.Sscanf(vote, "%d/%d", &id, &term); err == nil && id > 0 && n >= 2 && c[id-1].running() {
				found = c[id-1]
			}
		}
		return found != nil
	})
	return found
}

// others returns the nodes but p.
func (c cluster) others(p *process) cluster {
	var out cluster
	for _, o := range c {
		if o != p {
			out = append(out, o)
		}
	}
	return out
}

// raftField returns one field of RAFT STATUS, or "".
func (p *process) raftField(name string) string {
	conn, err := dial(p.addr)
	if err != nil {
		return ""
	}
	defer conn.close()
	reply, err := conn.do("RAFT", "STATUS")
	fields, ok := reply.([]any)
	if err != nil || !ok {
		return ""
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == name {
			return fmt.Sprint(fields[i+1])
		}
	}
	return ""
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// mustDo runs one command on a connection of its own.
// do sends one command on a connection of its own.
func (p *process) do(args ...string) (any, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.do(args...)
}

func (p *process) mustDo(args ...string) any {
	p.t.Helper()
	reply, err := p.do(args...)
	if err != nil {
		p.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

// conn is a client connection that speaks RESP2, with nothing between it and the bytes.
type conn struct {
	net.Conn
	buf []byte
}

// replyError is an error that the server answered with.
type replyError string

func (e replyError) Error() string { return string(e) }

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

func (c *conn) close() { _ = c.Conn.Close() }

func encode(args ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.Bytes()
}

// do sends a command and returns its reply: string, int, nil or []any; or a replyError, or the error
// of the connection.
func (c *conn) do(args ...string) (any, error) {
	if err := c.send(args...); err != nil {
		return nil, err
	}
	return c.receive()
}

func (c *conn) send(args ...string) error {
	_, err := c.Write(encode(args...))
	return err
}

func (c *conn) receive() (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	switch line[0] {
	case '+':
		return line[1:], nil
	case '-':
		return nil, replyError(line[1:])
	}
	var n int
	if _, err := fmt.Sscan(line[1:], &n); err != nil {
		return nil, fmt.Errorf("reply %q: %w", line, err)
	}
	switch {
	case line[0] == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case line[0] == '$':
		data, err := c.read(n + 2)
		return strings.TrimSuffix(data, "\r\n"), err
	case line[0] == '*':
		out := make([]any, n)
		for i := range out {
			if out[i], err = c.receive(); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("reply %q", line)
}

func (c *conn) line() (string, error) {
	for {
		if i := bytes.Index(c.buf, []byte("\r\n")); i > 0 {
			line := string(c.buf[:i])
			c.buf = c.buf[i+2:]
			return line, nil
		}
		if err := c.fill(); err != nil {
			return "", err
		}
	}
}

func (c *conn) read(n int) (string, error) {
	for len(c.buf) < n {
		if err := c.fill(); err != nil {
			return "", err
		}
	}
	data := string(c.buf[:n])
	c.buf = c.buf[n:]
	return data, nil
}

func (c *conn) fill() error {
	chunk := make([]byte, 64<<10)
	n, err := c.Conn.Read(chunk)
	c.buf = append(c.buf, chunk[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

// outcome tells what a write's answer means.
func outcome(err error) string {
	var reply replyError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &reply) && strings.HasPrefix(string(reply), "CLUSTERDOWN"):
		return "not done"
	default: // UNCERTAIN, or the connection broke before the answer
		return "unknown"
	}
}

// crcLine is the second line of the small files in a data directory.
func crcLine(body string) string {
	return fmt.Sprintf("crc32c %08x\n", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}
