package compat

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"redoubt/command"
)

// testCase is a sequence of calls that starts with an empty keyspace in database 0.
type testCase struct {
	name   string
	steps  []step
	random bool
	remote bool // needs a server, which the local stand-in is not
}

// step is one call. The text is what scripts and golden files call it.
type step struct {
	text string
	args []string
}

// allCases returns everything that is recorded: scripts, cases made from the table, random ones.
func allCases(t *testing.T) []testCase {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var cases []testCase
	for _, file := range files {
		cases = append(cases, readScript(t, file)...)
	}
	table, err := command.NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range table.All() {
		cases = append(cases, casesOf(spec)...)
	}
	random := readGrammar(t)
	for seed := range uint64(recordedSeeds) {
		cases = append(cases, random.randomCase(seed), random.patternCase(seed))
	}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.name] || len(c.steps) == 0 {
			t.Fatalf("case %q is there twice or has no steps", c.name)
		}
		names[c.name] = true
	}
	return cases
}

// readScript reads a file of cases: "== name" starts one, every other line is a call, and lines
// that start with # are comments.
func readScript(t *testing.T, file string) []testCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	family := strings.TrimSuffix(filepath.Base(file), ".txt")
	var cases []testCase
	for n, line := range strings.Split(string(text), "\n") {
		name, isName := strings.CutPrefix(line, "== ")
		switch {
		case line == "" || line[0] == '#':
		case isName:
			cases = append(cases, testCase{name: family + ": " + name, remote: slices.Contains([]string{"session", "multi", "tracking", "together"}, family)})
		case len(cases) == 0:
			t.Fatalf("%s:%d: a call before the first case", file, n+1)
		default:
			args, err := splitWords(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
			last := &cases[len(cases)-1]
			last.steps = append(last.steps, step{text: line, args: args})
		}
	}
	return cases
}

// splitWords splits a line at single spaces. A word in double quotes is a Go string; a word
// @{n*text} is the text n times, and @{n#text} stands for n words: text1, text2...
func splitWords(line string) ([]string, error) {
	var words []string
	for line != "" {
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("bad quotes at %q", line)
			}
			line = strings.TrimPrefix(line[len(quoted):], " ")
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			words = append(words, word)
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		some, err := expand(word)
		if err != nil {
			return nil, err
		}
		words, line = append(words, some...), rest
	}
	return words, nil
}

func expand(word string) ([]string, error) {
	inner, ok := strings.CutPrefix(word, "@{")
	if !ok {
		return []string{word}, nil
	}
	inner = strings.TrimSuffix(inner, "}")
	at := strings.IndexAny(inner, "*#")
	if at < 0 {
		return nil, fmt.Errorf("bad repetition %q", word)
	}
	n, err := strconv.Atoi(inner[:at])
	if err != nil {
		return nil, fmt.Errorf("bad repetition %q", word)
	}
	text := inner[at+1:]
	if inner[at] == '*' {
		return []string{strings.Repeat(text, n)}, nil
	}
	words := make([]string, n)
	for i := range words {
		words[i] = text + strconv.Itoa(i+1)
	}
	return words, nil
}

// newStep makes the step of generated words.
func newStep(args ...string) step {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \"@#=") || strconv.Quote(arg) != `"`+arg+`"` {
			words[i] = strconv.Quote(arg)
		}
	}
	return step{text: strings.Join(words, " "), args: args}
}

// casesOf makes the cases that every command of Redis has: calls with a word too few and one too
// many, and its rows in COMMAND INFO.
func casesOf(spec *command.Spec) []testCase {
	if strings.HasPrefix(spec.Differs, notInRedis) {
		return nil
	}
	name := strings.ToLower(spec.Name)
	cases := []testCase{{name: "info: " + name,
		steps: []step{newStep("COMMAND", "INFO", spec.FullName())}}}
	if steps := wrongArities(spec); len(steps) > 0 {
		cases = append(cases, testCase{name: "arity: " + name, steps: steps, remote: spec.Group == command.GroupTransactions})
	}
	for i := range spec.Sub {
		cases = append(cases, casesOf(&spec.Sub[i])...)
	}
	return cases
}

// notInRedis begins what the table says of a command that Redis 7.2 does not have.
const notInRedis = "Not in Redis"

func wrongArities(spec *command.Spec) []step {
	words := strings.Fields(spec.Name)
	call := func(n int) step {
		args := append([]string{}, words...)
		for len(args) < n {
			args = append(args, "a")
		}
		return newStep(args...)
	}
	var steps []step
	if fewest := max(spec.Arity, -spec.Arity); fewest > len(words) {
		steps = append(steps, call(fewest-1))
	}
	if spec.Arity > 0 {
		steps = append(steps, call(spec.Arity+1))
	}
	return steps
}
