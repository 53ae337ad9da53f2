package tidy

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	helpFlag  = regexp.MustCompile(`--(?:\[no-\])?([a-z][a-z0-9-]*)`)
	tableFlag = regexp.MustCompile("(?m)^\\| `--([a-z][a-z0-9-]*)")
)

// TestFlagsAreDocumented compares what the program says about its flags with the
// table in the README.
func TestFlagsAreDocumented(t *testing.T) {
	command := exec.Command("go", "run", "./cmd/redoubt", "serve", "--help")
	command.Dir = "../.."
	help, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range checkFlags(string(help), string(readme)) {
		t.Error(problem)
	}
}

// checkFlags wants a row in the README's table for each flag of the help text,
// and a flag for each row.
func checkFlags(help, readme string) (problems []string) {
	defined, described := matches(helpFlag, help), matches(tableFlag, readme)
	for _, name := range defined {
		if !slices.Contains(described, name) && name != "help" {
			problems = append(problems, "the README's table does not describe --"+name)
		}
	}
	for _, name := range described {
		if !slices.Contains(defined, name) {
			problems = append(problems, "the README's table describes --"+name+", which does not exist")
		}
	}
	return problems
}

func matches(pattern *regexp.Regexp, text string) (names []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestCheckFlags(t *testing.T) {
	const help = "Flags:\n  -h, --help\n      --listen=\"127.0.0.1:6379\"\n      --[no-]color\n"
	const good = "| Flag | Meaning |\n| `--listen` | x |\n| `--color` | y |\n"
	if got := checkFlags(help, good); len(got) != 0 {
		t.Errorf("the good example has problems: %q", got)
	}
	bad := strings.ReplaceAll(good, "--color", "--colour")
	want := []string{
		"the README's table does not describe --color",
		"the README's table describes --colour, which does not exist",
	}
	if got := checkFlags(help, bad); !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
}
