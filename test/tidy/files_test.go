package tidy

import (
	"fmt"
	"go/format"
	"maps"
	"path"
	"slices"
	"strings"
)

// known are files that people and programs find by their names.
var known = []string{
	".ci/run", ".dockerignore", ".gitignore", ".shellcheckrc", "CHANGELOG.md", "Dockerfile",
	"Makefile", "README.md", "docker-compose.yml", "docs/ARCHITECTURE.md", "go.mod", "go.sum",
}

// vague package names say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared"}

var fileChecks = []check{
	{"gofmt", checkFormat, []example{
		{
			reject: map[string]string{"a/a.go": "package  a\n"},
			reason: "a/a.go is not formatted",
			accept: map[string]string{"a/a.go": "package a\n"},
		},
	}},
	{"package names", checkPackageNames, []example{
		{
			reject: map[string]string{"a/util/a.go": "package util\n"},
			reason: "a/util/a.go:1 package name util",
			accept: map[string]string{"a/a.go": "package a\n"},
		},
	}},
	{"known files", checkKnownFiles, []example{
		{
			reject: without("CHANGELOG.md"),
			reason: "CHANGELOG.md is missing",
			accept: without(""),
		},
	}},
	{"leftovers", checkLeftovers, []example{
		{
			reject: map[string]string{"a/a.go.orig": "package a\n"},
			reason: "a/a.go.orig is left over",
			accept: map[string]string{"a/a.go": "package a\n"},
		},
		{
			reject: map[string]string{"docs/empty.md": " \n"},
			reason: "docs/empty.md is empty",
			accept: map[string]string{"docs/full.md": "text\n"},
		},
		{
			reject: map[string]string{"a/a.go": "//go:build ignore\n\npackage a\n"},
			reason: "a/a.go is never built",
			accept: map[string]string{"a/a.go": "//go:build linux\n\npackage a\n"},
		},
	}},
	{"files nobody names", checkReferences, []example{
		{
			reject: map[string]string{"test/old.sh": "echo # old.sh\n", "Makefile": "all:\n"},
			reason: "test/old.sh is named by no other file",
			accept: map[string]string{
				"test/new.sh": "echo\n", "Makefile": "all:\n\ttest/new.sh\n",
				"a/testdata/x.txt": "x\n",
			},
		},
	}},
}

// without is a tree of the known files but one.
func without(missing string) map[string]string {
	files := map[string]string{}
	for _, name := range known {
		if name != missing {
			files[name] = "text\n"
		}
	}
	return files
}

func checkFormat(source tree) (problems []string) {
	for _, file := range source.goFiles {
		text := source.texts[file.path]
		formatted, err := format.Source([]byte(text))
		if err != nil || string(formatted) != text {
			problems = append(problems, file.path+" is not formatted: gofmt -w "+file.path)
		}
	}
	return problems
}

func checkPackageNames(source tree) (problems []string) {
	for _, file := range source.goFiles {
		if name := file.syntax.Name.Name; slices.Contains(vague, name) {
			problems = append(problems, fmt.Sprintf("%s package name %s says nothing", file.place(file.syntax), name))
		}
	}
	return problems
}

func checkKnownFiles(source tree) (problems []string) {
	for _, name := range known {
		if _, ok := source.texts[name]; !ok {
			problems = append(problems, name+" is missing")
		}
	}
	return problems
}

func checkLeftovers(source tree) (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(source.texts)) {
		switch path.Ext(name) {
		case ".orig", ".rej", ".bak", ".swp", ".tmp", ".log", ".test", ".prof":
			problems = append(problems, name+" is left over from a tool")
		}
		if strings.TrimSpace(source.texts[name]) == "" && !strings.Contains(name, "testdata/") {
			problems = append(problems, name+" is empty")
		}
		if strings.HasPrefix(source.texts[name], "//go:build ignore\n") {
			problems = append(problems, name+" is never built")
		}
	}
	return problems
}

// checkReferences finds files other than Go source that no other file names, so
// that nothing runs or links to them.
func checkReferences(source tree) (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(source.texts)) {
		base := path.Base(name)
		ext := path.Ext(name)
		if ext == ".go" || strings.Contains(name, "testdata/") || slices.Contains(known, name) {
			continue
		}
		if base == "run" || base == "go.mod" || base == "go.sum" {
			base = path.Join(path.Base(path.Dir(name)), base) // the base alone names every script
		}
		if strings.HasSuffix(base, "/go.mod") || strings.HasSuffix(base, "/go.sum") {
			base = path.Dir(base)
		}
		if !named(source, name, base) {
			problems = append(problems, name+" is named by no other file")
		}
	}
	return problems
}

func named(source tree, self, base string) bool {
	for name, text := range source.texts {
		if name != self && strings.Contains(text, base) {
			return true
		}
	}
	return false
}
