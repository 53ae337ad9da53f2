package server

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

var record = flag.Bool("record", false, "write testdata/redis.txt with the answers of a live redis-server")

const goldenFile = "testdata/redis.txt"

// conversation is what a client sends at once, and all that it gets until the connection ends.
type conversation struct{ sent, got string }

// conversations are answered byte for byte the same by Redis. The file has its answers.
var conversations = []string{
	// The protocol.
	request("PING"), "PING\r\n", "PING\n", "ping hello\r\n", "\r\n\r\nPING\r\n", "*0\r\nPING\r\n",
	"*-1\r\nPING\r\n", "*-9223372036854775808\r\nPING\r\n", "PING \"a b\"\r\n", "PING 'a\\'b'\r\n",
	"PING \"\\x41\\n\\a\\b\\q\"\r\n", "PING a\"b c\"\r\n", "PING \"a\"b\r\n", "PING \"a\r\n", "PING 'a\r\n", "PING a\vb\r\n",
	"*1\rX$4\rYPINGab" + request("PING"), request("PING") + "*x\r\n" + request("PING"),
	"*1x\r\n", "*+1\r\n", "*01\r\n", "*-0\r\n", "*\r\n", "* 1\r\n", "*1 \r\n",
	"*9223372036854775808\r\n", "*-9223372036854775809\r\n", "*00000000000000000000000001\r\n",
	"*1\r\n$-1\r\n", "*1\r\n$-0\r\n", "*1\r\n$\r\n", "*1\r\n$x\r\n", "*1\r\n$+4\r\nPING\r\n",
	"*1\r\n$04\r\nPING\r\n", "*1\r\n$4611686018427387904\r\n", "*1\r\n$629145600\r\n",
	"*1\r\nPING\r\n", "*1\r\n\r\n", "*1\r\n\n\r\n", "*1\r\n*1\r\n", "*2\r\n$4\r\nECHO\r\n" + request("PING"),
	"*" + strings.Repeat("1", 70000), "*1\r\n$" + strings.Repeat("1", 70000), strings.Repeat("a", 70000),
	"*1\r\nab\xffcd\r\n", "*1\r\n\xff\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n", "POST / HTTP/1.1\r\nPING\r\n",

	// What is refused before it is executed.
	request("NOSUCH"), request("NoSuch", "a", "b"), request(""), request("no\r\nsuch", "a\r\nb", "\x00c"),
	request("NOSUCH", strings.Repeat("a", 100), strings.Repeat("b", 100), "c"),
	request(strings.Repeat("n", 200), strings.Repeat("a", 200)), request("NOSUCH", strings.Repeat("a", 128), "b"),
	request("GET"), request("get", "a", "b"), request("SET", "a"), request("ECHO"), request("PING", "a", "b"),
	request("CLIENT"), request("CLIENT", "NOSUCH"), request("client", "nosuch", "x"), request("CLIENT", "ID", "x"),
	request("CLIENT", "SETNAME"), request("CONFIG"), request("CONFIG", "NOSUCH"), request("CONFIG", "GET"),
	request("CONFIG", "SET", "a"), request("COMMAND", "NOSUCH"), request("OBJECT", "NOSUCH", "k"), request("TIME", "x"),
	request("ROLE", "x"), request("WAIT", "1"), request("SELECT"), request("HELLO", "x"),
	request("client", strings.Repeat("s", 200)),

	// The connection.
	request("ECHO", "a\r\nb"), request("PING", ""), request("SELECT", "15") + request("SELECT", "16"),
	request("SELECT", "-1"), request("SELECT", "x"), request("SELECT", "+1"), request("SELECT", "99999999999"),
	request("SELECT", "2147483648"), request("SELECT", "01"), request("QUIT") + request("PING"), request("QUIT", "x"),
	request("RESET"), request("HELLO", "1"), request("HELLO", "4"), request("HELLO", "3", "SETNAME"),
	request("HELLO", "3", "X"), request("HELLO", "3", "AUTH", "a"), request("HELLO", "3", "AUTH", "nobody", "b"),
	request("HELLO", "3", "SETNAME", "a b"), request("HELLO", "2", "AUTH", "nobody", "x", "SETNAME", "n") + request("CLIENT", "GETNAME"),

	// CLIENT.
	request("CLIENT", "GETNAME"), request("CLIENT", "SETNAME", "joe") + request("CLIENT", "GETNAME"),
	request("CLIENT", "SETNAME", "a b"), request("CLIENT", "SETNAME", "a\nb"), request("CLIENT", "SETNAME", "\xff"),
	request("CLIENT", "SETNAME", "joe") + request("CLIENT", "SETNAME", "") + request("CLIENT", "GETNAME"),
	request("CLIENT", "SETNAME", "joe") + request("RESET") + request("CLIENT", "GETNAME"),
	request("CLIENT", "REPLY", "OFF") + request("PING") + request("CLIENT", "REPLY", "ON") + request("ECHO", "x"),
	request("CLIENT", "REPLY", "SKIP") + request("PING") + request("ECHO", "x"),
	request("CLIENT", "REPLY", "SKIP") + request("NOSUCH") + request("ECHO", "x"),
	request("CLIENT", "REPLY", "OFF") + request("CLIENT", "REPLY", "SKIP") + request("PING") + request("CLIENT", "REPLY", "ON"),
	request("CLIENT", "REPLY", "OFF") + request("GET", "a") + "*1\r\n$x\r\n",
	request("CLIENT", "REPLY", "NO"), request("CLIENT", "NO-EVICT", "ON"), request("CLIENT", "NO-EVICT", "x"),
	request("CLIENT", "KILL", "127.0.0.1:1"), request("CLIENT", "KILL", "ID", "0"), request("CLIENT", "KILL", "ID", "x"),
	request("CLIENT", "KILL", "ID", "987654321"), request("CLIENT", "KILL", "ID", "1", "ADDR"), request("CLIENT", "KILL", "A", "B"),
	request("CLIENT", "KILL", "TYPE", "x"), request("CLIENT", "KILL", "TYPE", "pubsub"), request("CLIENT", "KILL", "USER", "x"),
	request("CLIENT", "KILL", "SKIPME", "x"), request("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
	request("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") + request("PING"),
	request("CLIENT", "LIST", "x"), request("CLIENT", "LIST", "TYPE", "x"), request("CLIENT", "LIST", "TYPE", "pubsub"),
	request("CLIENT", "LIST", "ID", "x"), request("CLIENT", "LIST", "ID", "987654321"), request("CLIENT", "LIST", "TYPE"),
	request("CLIENT", "PAUSE", "x"), request("CLIENT", "PAUSE", "-1"), request("CLIENT", "PAUSE", "1", "x"),
	request("CLIENT", "PAUSE", "0") + request("CLIENT", "UNPAUSE"),

	// CONFIG.
	request("CONFIG", "GET", "databases"), request("CONFIG", "GET", "DataBases"), request("CONFIG", "GET", "no-such"),
	request("CONFIG", "GET", "maxmemory-polic[xy]", "maxmemory-policy"),
	request("CONFIG", "SET", "no-such", "1"), request("CONFIG", "SET", "databases", "3"), request("CONFIG", "SET", "maxclients"),
	request("CONFIG", "SET", "timeout", "x"), request("CONFIG", "SET", "timeout", "-1"), request("CONFIG", "SET", "hz", "1", "HZ", "2"),
	request("CONFIG", "SET", "timeout", "0", "no-such", "1"), request("CONFIG", "SET", "timeout", "0", "hz"),
	request("CONFIG", "SET", "activerehashing", "maybe"), request("CONFIG", "SET", "proto-max-bulk-len", "x"),
	request("CONFIG", "SET", "hash-max-listpack-value", "1kb") + request("CONFIG", "GET", "hash-max-ziplist-value"),
	request("CONFIG", "SET", "hash-max-listpack-value", "64xb"), request("CONFIG", "SET", "slowlog-log-slower-than", "-2"),
	request("CONFIG", "SET", "ACTIVEREHASHING", "YES") + request("CONFIG", "GET", "activerehashing"),
	request("CONFIG", "RESETSTAT"),

	// The node.
	request("WAIT", "x", "0"), request("WAIT", "0", "x"), request("WAIT", "0", "-1"), request("BGSAVE", "x"), request("BGSAVE", "SCHEDULE", "x"),
	request("SHUTDOWN", "x"), request("SHUTDOWN", "ABORT"), request("SHUTDOWN", "SAVE", "NOSAVE"), request("SHUTDOWN", "NOW", "ABORT"),
	request("DEBUG", "SLEEP", "0"), request("DEBUG", "SLEEP", "x"), request("DEBUG", "ERROR", "WHO cares"), request("DEBUG", "NOSUCH", "x"),
	request("DEBUG", "SLEEP"),
}

// TestAsRedis compares with the recorded answers, and those with a live Redis if there is one.
func TestAsRedis(t *testing.T) {
	live := startRedis(t)
	if *record {
		if live == "" {
			t.Fatal("there is no redis-server to record")
		}
		writeGolden(t, live)
	}
	golden := readGolden(t)
	if len(golden) != len(conversations) {
		t.Fatalf("%s has %d conversations, not %d: run with -record", goldenFile, len(golden), len(conversations))
	}
	s := startServer(t, Config{})
	for i, c := range golden {
		if c.sent != conversations[i] {
			t.Fatalf("%s, conversation %d: %.80q is not %.80q: run with -record", goldenFile, i, c.sent, conversations[i])
		}
		if got := converse(t, s.addr, c.sent); got != c.got {
			t.Errorf("%.200q\n got %q\nwant %q", c.sent, got, c.got)
		}
		if live != "" {
			if got := converse(t, live, c.sent); got != c.got {
				t.Errorf("%.200q: this Redis says %q, the file %q", c.sent, got, c.got)
			}
		}
	}
}

// converse sends everything, and that it will send no more, and returns all that comes.
func converse(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil && !strings.Contains(err.Error(), "not connected") {
		t.Fatal(err)
	}
	var got strings.Builder
	if _, err := io.Copy(&got, conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("%.100q: %v", text, err)
	}
	return got.String()
}

func writeGolden(t *testing.T, addr string) {
	var text strings.Builder
	for _, c := range conversations {
		fmt.Fprintf(&text, "%s\n%s\n\n", strconv.QuoteToASCII(c), strconv.QuoteToASCII(converse(t, addr, c)))
	}
	if err := os.WriteFile(goldenFile, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T) (all []conversation) {
	t.Helper()
	file, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	next := func() string {
		if !lines.Scan() {
			t.Fatal(goldenFile, "ends too early:", lines.Err())
		}
		text, err := strconv.Unquote(lines.Text())
		if err != nil {
			t.Fatal(goldenFile, err)
		}
		return text
	}
	for lines.Scan() {
		sent, err := strconv.Unquote(lines.Text())
		if err != nil {
			t.Fatal(goldenFile, err)
		}
		all = append(all, conversation{sent, next()})
		lines.Scan() // the empty line
	}
	return all
}

// startRedis starts a redis-server on loopback and returns its address, or "" without one.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Log("there is no redis-server here; the recorded answers have to do")
		return ""
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	_, port := splitAddr(addr)
	cmd := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--enable-debug-command", "yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return addr
}
