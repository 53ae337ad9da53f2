package script

import (
	"bufio"
	"crypto/sha1"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"redoubt/resp"
)

// The replies of Redis 7.2 to the scripts of testdata/scripts.txt, in both protocol versions. They are
// recorded with -record from a server at the address that -redis gives.
var (
	record = flag.Bool("record", false, "record the replies of Redis")
	server = flag.String("redis", "127.0.0.1:21500", "address of the Redis to record")
)

const (
	scriptsFile = "testdata/scripts.txt"
	repliesFile = "testdata/replies.txt"
)

// canned answers the commands that the scripts use.
type canned struct{ t *testing.T }

var cannedReplies = map[string]resp.Reply{
	"ping":                    resp.NewSimple("PONG"),
	"get missing":             resp.Nil,
	"lrange missing 0 -1":     resp.NewArray(nil),
	"echo 1":                  resp.NewBulkString("1"),
	"del missing":             resp.NewInt(0),
	"hgetall h":               resp.NewMap([]resp.Reply{resp.NewBulkString("f"), resp.NewBulkString("v")}),
	"smembers s":              resp.NewSet([]resp.Reply{resp.NewBulkString("1"), resp.NewBulkString("2")}),
	"zscore z m":              resp.NewDouble(1.5),
	"zscore z inf":            resp.NewDouble(infinity),
	"zrange z 0 0 withscores": resp.NewPairs([]resp.Reply{resp.NewBulkString("m"), resp.NewDouble(1.5)}),
	"xread streams x 0":       resp.NewPairMap([]resp.Reply{resp.NewBulkString("x"), resp.ArrayOf(resp.ArrayOf(resp.NewBulkString("1-1"), resp.BulkArray([]string{"a", "b"})))}),
	"blpop missing 1":         resp.NilArray,
	"lrange missing x y":      resp.NewError("ERR value is not an integer or out of range"),
	"incr h":                  resp.NewError("WRONGTYPE Operation against a key holding the wrong kind of value"),
}

func (c canned) Call(args [][]byte) resp.Reply {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = string(a)
	}
	if strings.EqualFold(words[0], "echo") && len(words) == 2 {
		return resp.NewBulk(args[1])
	}
	if len(words) == 1 && words[0] == "echo" {
		return resp.NewError("ERR Wrong number of args calling Redis command from script")
	}
	r, ok := cannedReplies[strings.Join(words, " ")]
	if !ok {
		return resp.NewError("ERR Unknown Redis command called from script")
	}
	return r
}
func (canned) Allowed(args [][]byte) (allowed, known bool) { return true, string(args[0]) != "nosuch" }
func (canned) Log(int, string)                             {}
func (canned) SetRESP(int)                                 {}

func readScripts(t testing.TB) []string {
	b, err := os.ReadFile(scriptsFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n%%\n"), "\n%%\n")
}

// perform is EVAL of a script with two keys and two arguments.
func perform(t *testing.T, source string) resp.Reply {
	p, err := Compile([]byte(source))
	if err != nil {
		return resp.NewError("ERR " + err.Error())
	}
	keys := [][]byte{[]byte("k1"), []byte("k2")}
	args := [][]byte{[]byte("a1"), []byte("10")}
	return p.Run(canned{t}, keys, args, Options{Name: fmt.Sprintf("%x", sha1.Sum([]byte(source)))})
}

func TestRedis(t *testing.T) {
	if *record {
		recordReplies(t)
	}
	b, err := os.ReadFile(repliesFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	scripts := readScripts(t)
	if len(lines) != 2*len(scripts) {
		t.Fatalf("%d replies of %d scripts", len(lines), len(scripts))
	}
	for i, source := range scripts {
		reply := perform(t, source)
		for j, proto := range []int{2, 3} {
			want, _ := strconv.Unquote(lines[2*i+j])
			if got := string(reply.Append(nil, proto)); got != want {
				t.Errorf("RESP%d, %s\n  got %q\n want %q", proto, source, got, want)
				break
			}
		}
	}
}

func recordReplies(t *testing.T) {
	var out strings.Builder
	conns := [2]*bufio.ReadWriter{}
	for i := range conns {
		c, err := net.Dial("tcp", *server)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
		ask(t, conns[i], "hello", strconv.Itoa(i+2))
	}
	for _, setup := range []string{"flushall", "hset h f v", "sadd s 1 2", "zadd z 1.5 m inf inf", "xadd x 1-1 a b"} {
		ask(t, conns[0], strings.Fields(setup)...)
	}
	for _, source := range readScripts(t) {
		for _, c := range conns {
			fmt.Fprintln(&out, strconv.QuoteToASCII(ask(t, c, "eval", source, "2", "k1", "k2", "a1", "10")))
			ask(t, c, "script", "flush") // a script keeps the environment that setfenv has given it
		}
	}
	if err := os.WriteFile(repliesFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, c *bufio.ReadWriter, args ...string) string {
	fmt.Fprintf(c, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c, "$%d\r\n%s\r\n", len(a), a)
	}
	c.Flush()
	return readReply(t, c.Reader)
}

func readReply(t *testing.T, r *bufio.Reader) string {
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=':
		if n < 0 {
			return line
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return line + string(b)
	case '%':
		n *= 2
		fallthrough
	case '*', '~', '>':
		for range n {
			line += readReply(t, r)
		}
	}
	return line
}
