package command

import (
	"slices"
	"strings"
	"testing"

	"redoubt/resp"
)

func newTable(t *testing.T) *Table {
	t.Helper()
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// text shows a reply on one line.
func text(r resp.Reply) string {
	return strings.ReplaceAll(string(r.Append(nil, 3)), "\r\n", " ")
}

func texts(replies []resp.Reply) []string {
	all := make([]string, len(replies))
	for i, r := range replies {
		all[i] = r.Text
	}
	return all
}

func TestCommandDocs(t *testing.T) {
	table := newTable(t)
	got := text(table.CommandReply(words("COMMAND DOCS getset nosuch object|freq")))
	for _, part := range []string{
		"%2 $6 getset %7 $7 summary ", "$5 since $5 1.0.0 $5 group $6 string $10 complexity $4 O(1) ",
		"$9 doc_flags ~1 +deprecated $16 deprecated_since $5 6.2.0 $11 replaced_by ",
		"$11 object|freq %4 ",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
	docs := table.Lookup([]byte("object")).DocsReply()
	subs := docs.Elems[len(docs.Elems)-1]
	if subs.Kind != resp.Map || len(subs.Elems) != 10 || subs.Elems[0].Text != "object|encoding" {
		t.Errorf("the subcommands of OBJECT are %s", text(subs))
	}
	if all := table.CommandReply(words("COMMAND DOCS")); len(all.Elems) != 2*len(table.All()) {
		t.Errorf("%d commands have documentation", len(all.Elems)/2)
	}
}

func TestCommandLists(t *testing.T) {
	table := newTable(t)
	count := table.CommandReply(words("COMMAND COUNT")).Int
	for _, line := range []string{"COMMAND", "COMMAND INFO"} {
		if rows := table.CommandReply(words(line)).Elems; int64(len(rows)) != count || count == 0 {
			t.Errorf("%s: %d rows, COUNT says %d", line, len(rows), count)
		}
	}
	all := texts(table.CommandReply(words("COMMAND LIST")).Elems)
	if !slices.Contains(all, "get") || !slices.Contains(all, "object|freq") ||
		slices.Contains(all, "sweepexpired") {
		t.Errorf("COMMAND LIST: %v", all)
	}
	for line, want := range map[string]string{
		"COMMAND LIST FILTERBY PATTERN SET*": "set setbit setex setnx setrange",
		"COMMAND LIST FILTERBY aclcat BLOCKING": "blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin xread " +
			"xreadgroup",
		"command list filterby aclcat transaction":    "discard exec multi unwatch watch",
		"COMMAND LIST FILTERBY PATTERN object|[f-i]*": "object|freq object|idletime object|help",
		"COMMAND LIST FILTERBY MODULE x":              "",
		"COMMAND LIST FILTERBY PATTERN raft|s*":       "raft|snapshot raft|status",
		"COMMAND LIST FILTERBY PATTERN sweepexpire":   "",
	} {
		if got := texts(table.CommandReply(words(line)).Elems); strings.Join(got, " ") != want {
			t.Errorf("%s: got %v", line, got)
		}
	}
	dangerous := texts(table.CommandReply(words("COMMAND LIST FILTERBY ACLCAT dangerous")).Elems)
	if !slices.Contains(dangerous, "keys") || !slices.Contains(dangerous, "flushall") ||
		slices.Contains(dangerous, "get") {
		t.Errorf("dangerous commands: %v", dangerous)
	}
}

func TestInfoOfContainer(t *testing.T) {
	row := newTable(t).Lookup([]byte("object")).InfoReply()
	if len(row.Elems) != 10 {
		t.Fatalf("%d columns", len(row.Elems))
	}
	subs := row.Elems[9]
	if subs.Kind != resp.Array || len(subs.Elems) != 5 || len(subs.Elems[0].Elems) != 10 {
		t.Errorf("subcommands: %s", text(subs))
	}
}

func TestHelpReply(t *testing.T) {
	lines := texts(newTable(t).Lookup([]byte("object")).HelpReply().Elems)
	if lines[0] != "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" ||
		lines[len(lines)-1] != "    Prints this help." {
		t.Errorf("got %q", lines)
	}
}
