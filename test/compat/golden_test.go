package compat

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var record = flag.Bool("record", false, "write the replies of redis-server to testdata")

func goldenFile(proto int) string { return fmt.Sprintf("testdata/redis-resp%d.golden", proto) }

var protocols = []int{2, 3}

// TestRecord writes the golden files when it is asked to.
func TestRecord(t *testing.T) {
	if !*record {
		return // not a test then, and not a gap: TestGolden reads what this has written
	}
	addr, ok := startRedis(t)
	if !ok {
		t.Fatal("there is no redis-server to record")
	}
	redis := dialRedis(t, addr)
	version := redisVersion(t, redis)
	if isOld(version) {
		t.Fatalf("Redis %s is older than the one that Redoubt follows", version)
	}
	if err := os.WriteFile(commandsFile, []byte(strings.Join(commandsOf(t, redis), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, proto := range protocols {
		var out bytes.Buffer
		fmt.Fprintf(&out, "# Replies of Redis %s. Written by go test ./test/compat -record\n", version)
		for _, c := range allCases(t) {
			fmt.Fprintf(&out, "== %s\n", c.name)
			for i, reply := range replay(t, redis, proto, c) {
				fmt.Fprintf(&out, "%s\n\t%s\n", c.steps[i].text, render(reply))
			}
		}
		if err := os.WriteFile(goldenFile(proto), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// commandsFile has the name of each command of Redis and the version that had it first: see docs/COMMANDS.md.
const commandsFile = "testdata/commands.golden"

// commandsOf returns the lines of that file for a live Redis.
func commandsOf(t *testing.T, redis target) (lines []string) {
	t.Helper()
	if err := start(redis, 3); err != nil {
		t.Fatal(err)
	}
	docs, err := redis.call([]string{"COMMAND", "DOCS"})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(docs []byte)
	walk = func(docs []byte) {
		_, elems, err := elements(docs)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(elems); i += 2 {
			name, err := bulkText(elems[i])
			if err != nil {
				t.Fatal(err)
			}
			_, fields, err := elements(elems[i+1])
			if err != nil {
				t.Fatal(err)
			}
			for j := 0; j+1 < len(fields); j += 2 {
				switch key, _ := bulkText(fields[j]); key {
				case "since":
					since, _ := bulkText(fields[j+1])
					lines = append(lines, name+" "+since)
				case "subcommands":
					walk(fields[j+1])
				}
			}
		}
	}
	walk(docs)
	slices.Sort(lines)
	return lines
}

// replay runs a case and returns the reply to every step.
func replay(t *testing.T, tested target, proto int, c testCase) [][]byte {
	t.Helper()
	if err := start(tested, proto); err != nil {
		t.Fatal(err)
	}
	replies := make([][]byte, len(c.steps))
	for i, s := range c.steps {
		reply, err := run(tested, s)
		if err != nil {
			t.Fatalf("%s: %s: %v", c.name, s.text, err)
		}
		replies[i] = reply
	}
	return replies
}

// renderBytesMax is the longest reply that a golden file has in full.
const renderBytesMax = 2048

func render(reply []byte) string {
	if len(reply) > renderBytesMax {
		return fmt.Sprintf("%d bytes, SHA-256 %x", len(reply), sha256.Sum256(reply))
	}
	return strconv.Quote(string(reply))
}

// unrender is the reply that a line of a golden file shows, or nothing if it is only a digest.
func unrender(line string) []byte {
	reply, err := strconv.Unquote(line)
	if err != nil {
		return nil
	}
	return []byte(reply)
}

// readGolden returns, for each case, its calls and Redis's replies: text and reply in turn.
func readGolden(t *testing.T, proto int) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(goldenFile(proto))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	golden := map[string][]string{}
	name := ""
	for _, line := range lines[1:] {
		if next, isName := strings.CutPrefix(line, "== "); isName {
			name = next
			golden[name] = []string{}
			continue
		}
		golden[name] = append(golden[name], strings.TrimPrefix(line, "\t"))
	}
	return golden
}

// TestGolden compares every case with what Redis was recorded to answer. It needs no Redis.
func TestGolden(t *testing.T) {
	cases := allCases(t)
	for _, proto := range protocols {
		golden := readGolden(t, proto)
		if len(golden) != len(cases) {
			t.Errorf("RESP%d: %d cases are recorded, there are %d: record again",
				proto, len(golden), len(cases))
		}
		tested := openTarget(t)
		for _, c := range casesFor(tested, cases) {
			t.Run(fmt.Sprintf("RESP%d/%s", proto, c.name), func(t *testing.T) {
				compareGolden(t, tested, proto, c, golden[c.name])
			})
		}
	}
}

func compareGolden(t *testing.T, tested target, proto int, c testCase, lines []string) {
	t.Helper()
	if len(lines) != 2*len(c.steps) {
		t.Fatalf("%d calls are recorded, the case has %d: record again", len(lines)/2, len(c.steps))
	}
	differ := 0
	for i, reply := range replay(t, tested, proto, c) {
		text, want := lines[2*i], lines[2*i+1]
		if text != c.steps[i].text {
			t.Fatalf("recorded is %s, the case has %s: record again", text, c.steps[i].text)
		}
		if got := render(reply); got == want || alike(c, i, reply, unrender(want), true) {
			continue
		} else if differ++; !expected(c.name, false) {
			t.Errorf("step %d: %s\n\tRedis:   %s\n\tRedoubt: %s", i+1, text, want, got)
		}
	}
	if differ == 0 && expected(c.name, false) {
		t.Errorf("this case is in the list of differences but has none")
	}
}

// alike tells whether two replies that are not equal may be so because of the time that passed
// between them, or because the choice is the server's. recorded says that it was another day.
func alike(c testCase, i int, got, want []byte, recorded bool) bool {
	if c.random && bytes.Equal(withoutSigns(got), withoutSigns(want)) {
		return true
	}
	name := strings.ToUpper(c.steps[i].args[0])
	switch name {
	case "RANDOMKEY":
		return len(got) > 0 && len(want) > 0 && got[0] == '$' && want[0] == '$' &&
			(string(got[:3]) == "$-1") == (string(want[:3]) == "$-1")
	case "OBJECT":
		// SORT makes a skiplist of a sorted set in Redis, and a small list may be in two nodes of a quicklist.
		other := c.random && bytes.Contains(got, []byte("listpack")) &&
			(bytes.Contains(want, []byte("skiplist")) || bytes.Contains(want, []byte("quicklist")))
		return other || isStringEncoding(got) && isStringEncoding(want)
	case "TTL", "EXPIRETIME":
		return near(got, want, 3, recorded && c.random)
	case "PTTL", "PEXPIRETIME":
		return near(got, want, 3000, recorded && c.random)
	}
	return false
}

// withoutSigns makes 0 of -0: Redis has it only as a score in a skiplist, which SORT makes of a listpack, and Redoubt does not.
func withoutSigns(reply []byte) []byte {
	reply = bytes.ReplaceAll(reply, []byte("$2\r\n-0\r\n"), []byte("$1\r\n0\r\n"))
	return bytes.ReplaceAll(reply, []byte(",-0\r\n"), []byte(",0\r\n"))
}

// isStringEncoding is true of the encodings of strings: Redis remembers how a value was made, Redoubt does not.
func isStringEncoding(reply []byte) bool {
	return bytes.Contains(reply, []byte("\r\nint\r\n")) || bytes.Contains(reply, []byte("embstr")) || bytes.Contains(reply, []byte("\r\nraw\r\n"))
}

// near compares two times, of which only the signs count if anyTime is set.
func near(got, want []byte, tolerance int64, anyTime bool) bool {
	a, okA := integer(got)
	b, okB := integer(want)
	if !okA || !okB || a < 0 || b < 0 {
		return false
	}
	return anyTime || max(a-b, b-a) <= tolerance
}
