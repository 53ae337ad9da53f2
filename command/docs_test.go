package command

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write docs/COMMANDS.md anew")

const docsFile = "../docs/COMMANDS.md"

const docsHead = `# Commands

All commands of Redis 7.2, and those that Redis does not have. Replies and errors are those of Redis 7.2, in RESP2 and
RESP3; the last column says what differs. Since is the version of Redis that had the command first. What is not
supported is in the last chapter. This file is made from the command table and Redis's list of its commands:
go test ./command -run Docs -write

`

// redisCommands is written by go test ./test/compat -record: the name and the first version of each command.
const redisCommands = "../test/compat/testdata/commands.golden"

// unsupported says why a command, and all of its subcommands, are not in the table.
var unsupported = []struct{ names, why string }{
	{"acl", "Not yet: users and their rights."},
	{"slowlog latency monitor", "Not yet: looking into a running server."},
	{"bgrewriteaof", "There is no append-only file: the log is cut by snapshots."},
	{"sync psync replconf replicaof slaveof failover", "Replication is that of Raft. See RAFT ADD, RAFT TRANSFER and redoubt --join."},
	{"restore-asking", "Slots do not move."},
	{"module", "There are no modules."},
	{"lolwut", "Of no use to programs."},
}

// TestDocs keeps docs/COMMANDS.md as the table has it.
func TestDocs(t *testing.T) {
	want := docs(t, newTable(t))
	if *write {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not up to date: go test ./command -run Docs -write", docsFile)
	}
}

func docs(t *testing.T, table *Table) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(docsHead)
	for _, chapter := range []struct {
		group Group
		title string
	}{
		{GroupString, "Strings"}, {GroupBitmap, "Bitmaps"}, {GroupHLL, "HyperLogLog"}, {GroupHash, "Hashes"},
		{GroupList, "Lists"}, {GroupSet, "Sets"}, {GroupZSet, "Sorted sets"}, {GroupGeo, "Geo"}, {GroupStream, "Streams"},
		{GroupGeneric, "Keys"}, {GroupTransactions, "Transactions"}, {GroupConnection, "Connection"},
		{GroupServer, "Server"}, {GroupCluster, "Cluster face"}, {GroupSentinel, "Sentinel face"},
		{GroupPubSub, "Publish and subscribe"}, {GroupScripting, "Scripts and functions"},
	} {
		if !slices.ContainsFunc(table.All(), func(s *Spec) bool { return s.Group == chapter.group }) {
			continue
		}
		fmt.Fprintf(&out, "## %s\n\n", chapter.title)
		out.WriteString("| Command | Arity | Flags | Since | Summary | Differences |\n")
		out.WriteString("| --- | --- | --- | --- | --- | --- |\n")
		for _, spec := range table.All() {
			if spec.Group == chapter.group {
				docsRow(&out, spec)
			}
		}
		out.WriteString("\n")
	}
	out.WriteString("## Not supported\n\n| Command | Since | Reason |\n| --- | --- | --- |\n")
	for _, c := range readRedisCommands(t) {
		if why := missing(table, c.name); why != "" {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", strings.ToUpper(strings.ReplaceAll(c.name, "|", " ")), c.since, why)
		}
	}
	return out.Bytes()
}

type redisCommand struct{ name, since string }

func readRedisCommands(t *testing.T) (all []redisCommand) {
	t.Helper()
	text, err := os.ReadFile(redisCommands)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		name, since, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("%s: %q", redisCommands, line)
		}
		all = append(all, redisCommand{name, since})
	}
	return all
}

// missing says why a command of Redis is not supported; nothing if it is.
func missing(table *Table, name string) string {
	container, _, _ := strings.Cut(name, "|")
	if spec := table.Find(bytes.Split([]byte(name), []byte("|"))); spec != nil && spec.FullName() == name {
		return ""
	}
	for _, u := range unsupported {
		names := strings.Fields(u.names)
		if slices.Contains(names, name) || slices.Contains(names, container) {
			return u.why
		}
	}
	return "Not yet."
}

// TestUnsupported keeps the list of what is not supported short and true.
func TestUnsupported(t *testing.T) {
	table := newTable(t)
	missed := map[string]bool{}
	for _, c := range readRedisCommands(t) {
		missed[c.name] = missing(table, c.name) != ""
	}
	for _, u := range unsupported {
		for _, name := range strings.Fields(u.names) {
			if !missed[name] {
				t.Errorf("%s is listed as not supported, but is in the table or not in Redis", name)
			}
		}
	}
}

func docsRow(out *bytes.Buffer, s *Spec) {
	fmt.Fprintf(out, "| %s | %d | %s | %s | %s | %s |\n", s.Name, s.Arity,
		strings.Join(s.Flags.Names(), " "), s.Since, s.Summary, s.Differs)
	for i := range s.Sub {
		docsRow(out, &s.Sub[i])
	}
}

// Every group must have a chapter, or its commands would be in none.
func TestDocsHaveEveryCommand(t *testing.T) {
	table := newTable(t)
	text := string(docs(t, table))
	for _, spec := range table.All() {
		if !strings.Contains(text, "| "+spec.Name+" | ") {
			t.Errorf("%s is in no chapter", spec.Name)
		}
	}
}
