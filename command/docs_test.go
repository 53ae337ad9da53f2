package command

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write docs/COMMANDS.md anew")

const docsFile = "../docs/COMMANDS.md"

const docsHead = `# Commands

Replies and errors are those of Redis 7.2, in RESP2 and RESP3; the last column says what differs.
This file is made from the command table: go test ./command -run Docs -write

`

// TestDocs keeps docs/COMMANDS.md as the table has it.
func TestDocs(t *testing.T) {
	want := docs(newTable(t))
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

func docs(table *Table) []byte {
	var out bytes.Buffer
	out.WriteString(docsHead)
	for _, chapter := range []struct {
		group Group
		title string
	}{
		{GroupString, "Strings"}, {GroupHash, "Hashes"}, {GroupGeneric, "Keys"}, {GroupConnection, "Connection"},
		{GroupServer, "Server"}, {GroupCluster, "Cluster face"}, {GroupSentinel, "Sentinel face"},
		{GroupPubSub, "Publish and subscribe"},
	} {
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
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
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
	text := string(docs(table))
	for _, spec := range table.All() {
		if !strings.Contains(text, "| "+spec.Name+" | ") {
			t.Errorf("%s is in no chapter", spec.Name)
		}
	}
}
