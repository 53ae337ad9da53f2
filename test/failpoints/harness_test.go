// Package failpoints_test runs three processes that are built with failpoints, makes one of them crash,
// fail or wait at each point in turn while clients write through all of them, and then looks whether
// every acknowledged write is there exactly once, and none that was said not to be executed.
package failpoints_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "redoubt"
	_ "redoubt/server"

	"redoubt/test/ports"
)

// patience is how long a condition may take that should come much sooner.
const patience = 60 * time.Second

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "redoubt-failpoints")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "redoubt")
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", binary, "redoubt/cmd/redoubt")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build: %v\n%s", err, out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestSources opens what the binary is built from beside the packages imported above: Go repeats the
// result of a test that has run until what it was built from, or a file that a test opened, changes.
func TestSources(t *testing.T) {
	for _, pattern := range []string{"../../cmd/redoubt/*.go", "../../failpoint/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no sources in %s: %v", pattern, err)
		}
		for _, name := range names {
			if _, err := os.ReadFile(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestUnit runs the tests of the package itself, which need the tag.
func TestUnit(t *testing.T) {
	if out, err := exec.Command("go", "test", "-tags", "failpoints", "redoubt/failpoint").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNothingInReleases looks into a binary that is built without the tag.
func TestNothingInReleases(t *testing.T) {
	release := filepath.Join(t.TempDir(), "redoubt")
	if out, err := exec.Command("go", "build", "-o", release, "redoubt/cmd/redoubt").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols := func(binary string) int {
		out, err := exec.Command("go", "tool", "nm", binary).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(out), "redoubt/failpoint.")
	}
	if n := symbols(release); n != 0 {
		t.Errorf("%d symbols of failpoints in a release", n)
	}
	if symbols(binary) == 0 {
		t.Error("no symbol of failpoints in a binary that has them: this test looks for the wrong thing")
	}
}

// process is one node.
type process struct {
	t      *testing.T
	id     int
	addr   string // for clients
	args   []string
	cmd    *exec.Cmd
	out    *os.File // what all its runs printed
	from   int64    // where the present run's output begins
	exited chan struct{}
	code   int
}

// newProcess prepares a node without starting it.
func newProcess(t *testing.T, id int, args ...string) *process {
	t.Helper()
	root := t.TempDir()
	out, err := os.Create(filepath.Join(root, "output"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, id: id, addr: ports.Failpoints.Free(t), out: out}
	p.args = append([]string{"--listen", p.addr, "--data-dir", filepath.Join(root, "data")}, args...)
	t.Cleanup(func() {
		p.kill()
		out.Close()
		if t.Failed() {
			all, _ := os.ReadFile(out.Name())
			t.Logf("node %d printed:\n%s", id, all[max(0, len(all)-5000):])
		}
	})
	return p
}

// output is what the present run, or the last one, printed.
func (p *process) output() string {
	data, _ := os.ReadFile(p.out.Name())
	return string(data[min(p.from, int64(len(data))):])
}

// launch starts the process with points armed, and does not wait for it to answer.
func (p *process) launch(points ...string) {
	p.t.Helper()
	p.from, _ = p.out.Seek(0, io.SeekEnd)
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Env = append(os.Environ(), "REDOUBT_FAILPOINTS="+strings.Join(points, ","))
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		p.code = cmd.ProcessState.ExitCode()
		close(exited)
	}(p.cmd, p.exited)
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// arm sets the action of a point in a process that runs. It may end before it has answered.
func (p *process) arm(point, action string) {
	p.t.Helper()
	_, err := p.do(append([]string{"DEBUG", "FAILPOINT", point}, strings.Fields(action)...)...)
	if refusal, ok := err.(replyError); ok {
		p.t.Fatalf("arm %s: %v", point, refusal)
	}
}

// failpoint is a point as the process lists it.
type failpoint struct {
	name     string
	fallible bool
	hits     int
}

// points lists the points of a process.
func (p *process) points() []failpoint {
	p.t.Helper()
	reply, err := p.do("DEBUG", "FAILPOINT")
	list, ok := reply.([]any)
	if err != nil || !ok || len(list) == 0 {
		p.t.Fatalf("DEBUG FAILPOINT: %v, %v", reply, err)
	}
	var out []failpoint
	for _, one := range list {
		f := one.([]any)
		out = append(out, failpoint{f[0].(string), f[1].(int) == 1, f[2].(int)})
	}
	return out
}

// point describes one point for a failure's message.
func (p *process) point(name string) failpoint {
	if !p.running() {
		return failpoint{}
	}
	for _, f := range p.points() {
		if f.name == name {
			return f
		}
	}
	return failpoint{}
}

// do runs one command on a connection of its own.
func (p *process) do(args ...string) (any, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.do(args...)
}

// field returns a number of RAFT STATUS, or 0.
func (p *process) field(name string) int {
	reply, err := p.do("RAFT", "STATUS")
	fields, ok := reply.([]any)
	if err != nil || !ok {
		return 0
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == name {
			n, _ := fields[i+1].(int)
			return n
		}
	}
	return 0
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// conn is a client connection that speaks RESP2.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// replyError is an error that the server answered with.
type replyError string

func (e replyError) Error() string { return string(e) }

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c)}, nil
}

func (c *conn) close() { _ = c.Conn.Close() }

func appendCommand(b []byte, args ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// do sends a command and returns its reply: string, int, nil or []any; or a replyError, or the error
// of the connection.
func (c *conn) do(args ...string) (any, error) {
	if _, err := c.Write(appendCommand(nil, args...)); err != nil {
		return nil, err
	}
	return c.receive()
}

func (c *conn) receive() (any, error) {
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, replyError(rest)
	}
	n, err := strconv.Atoi(rest)
	if err != nil || kind == ':' {
		return n, err
	}
	if n < 0 {
		return nil, nil
	}
	if kind == '$' {
		data := make([]byte, n+2)
		_, err := io.ReadFull(c.r, data)
		return string(data[:n]), err
	}
	out := make([]any, n)
	for i := range out {
		if out[i], err = c.receive(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
