package tidy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "redoubt"

// anything allows every module from outside.
var anything = []string{""}

// rule says what a directory and those below it may import beside the standard
// library. Names end where a path element ends: "a/b" stands for a/b and a/b/c.
type rule struct {
	inside  []string // directories of this module, "." is the root package
	outside []string // modules from outside that are allowed
	denied  []string // exceptions to these, and packages of the standard library
}

const pebble = "github.com/cockroachdb/pebble/v2"

// impure packages have no place where every replica must come to the same result.
var impure = []string{"time", "math/rand", "crypto/rand", "os", "net", "syscall"}

// rules is the architecture as imports: see docs/ARCHITECTURE.md. The test
// directory may import everything. Tests may import what they need.
var rules = map[string]rule{
	"cmd":       {inside: []string{"server", ".", "command", "rdb"}, outside: anything, denied: []string{pebble}},
	"server":    {inside: []string{"command", "failpoint", "fsm", "resp", "script"}, outside: anything, denied: []string{pebble, "go.etcd.io/raft/v3"}},
	".":         {inside: []string{"command", "failpoint", "fsm", "raftnode", "snapshot", "resp"}, outside: anything, denied: []string{"github.com/tidwall/redcon"}},
	"command":   {inside: []string{"fsm", "rdb", "resp", "script"}, outside: anything, denied: append([]string{pebble, "github.com/tidwall/redcon"}, impure...)},
	"fsm":       {inside: []string{"failpoint", "resp"}, outside: anything, denied: append([]string{"go.etcd.io/raft/v3", "github.com/tidwall/redcon"}, impure...)},
	"raftnode":  {inside: []string{"failpoint", "snapshot"}, outside: anything, denied: []string{"github.com/tidwall/redcon"}},
	"snapshot":  {inside: []string{"failpoint"}, outside: []string{pebble + "/vfs"}},
	"rdb":       {denied: impure},
	"script":    {inside: []string{"resp"}, denied: impure},
	"resp":      {},
	"failpoint": {},
}

var importChecks = []check{
	{"imports", checkImports, []example{
		{
			reject: map[string]string{"fsm/a.go": "package fsm\nimport \"redoubt/command\"\n"},
			reason: "fsm/a.go:2 imports redoubt/command",
			accept: map[string]string{"command/a.go": "package command\nimport (\"redoubt/fsm\"; \"strings\"; \"math\")\n"},
		},
		{
			reject: map[string]string{"command/a.go": "package command\nimport \"time\"\n"},
			reason: "command/a.go:2 imports time",
			accept: map[string]string{
				"command/a_test.go": "package command\nimport \"time\"\n",
				"server/a.go":       "package server\nimport \"time\"\n",
			},
		},
		{
			reject: map[string]string{"snapshot/a.go": "package snapshot\nimport \"" + pebble + "\"\n"},
			reason: "snapshot/a.go:2 imports " + pebble,
			accept: map[string]string{
				"snapshot/a.go": "package snapshot\nimport \"" + pebble + "/vfs\"\n",
				"fsm/a.go":      "package fsm\nimport \"" + pebble + "\"\n",
			},
		},
		{
			reject: map[string]string{"extra/a.go": "package extra\n"},
			reason: "extra/a.go:1 is in a directory that has no import rule",
			accept: map[string]string{"test/cluster/a.go": "package cluster\nimport \"redoubt/fsm\"\n"},
		},
	}},
	{"unused packages", checkUnusedPackages, []example{
		{
			reject: map[string]string{"fsm/a.go": "package fsm\n"},
			reason: "nothing imports redoubt/fsm",
			accept: map[string]string{
				"resp/a.go":        "package resp\n",
				"cmd/redoubt/a.go": "package main\nimport \"redoubt/resp\"\n",
			},
		},
	}},
}

func checkImports(source tree) (problems []string) {
	for _, file := range source.goFiles {
		top, _, _ := strings.Cut(file.dir(), "/")
		if file.isTest() || top == "test" {
			continue
		}
		rule, ok := rules[top]
		if !ok {
			problems = append(problems, file.place(file.syntax)+" is in a directory that has no import rule")
			continue
		}
		for _, spec := range file.syntax.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if !rule.allows(top, name) {
				problems = append(problems, fmt.Sprintf("%s imports %s: the rules of this directory do not allow it", file.place(spec), name))
			}
		}
	}
	return problems
}

func (r rule) allows(top, name string) bool {
	if under(name, r.denied) {
		return false
	}
	first, rest, _ := strings.Cut(name, "/")
	if first == module {
		if rest == "" {
			rest = "."
		}
		return under(rest, append([]string{top}, r.inside...))
	}
	return !strings.Contains(first, ".") || under(name, r.outside)
}

// under tells whether the name is one of the paths or below one.
func under(name string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return p == "" || name == p || strings.HasPrefix(name, p+"/")
	})
}

// checkUnusedPackages finds packages of the product that no other package imports.
func checkUnusedPackages(source tree) (problems []string) {
	imported := map[string]bool{}
	for _, file := range source.goFiles {
		for _, spec := range file.syntax.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			imported[name] = true
		}
	}
	seen := map[string]bool{}
	for _, file := range source.goFiles {
		name := path.Join(module, file.dir())
		top, _, _ := strings.Cut(file.dir(), "/")
		if file.isTest() || top == "test" || file.syntax.Name.Name == "main" || imported[name] || seen[name] {
			continue
		}
		seen[name] = true
		problems = append(problems, "nothing imports "+name)
	}
	return problems
}
