// Package tidy checks what the compiler does not: the direction of imports, sizes,
// comments, and files that nobody needs. Every check is tested on an example that
// it must reject and on one that it must accept.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// tree is the source that a check looks at.
type tree struct {
	texts   map[string]string // content by slash-separated path
	goFiles []goFile          // in the order of their paths
}

type goFile struct {
	path   string
	set    *token.FileSet
	syntax *ast.File
}

func (f goFile) dir() string  { return path.Dir(f.path) }
func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// place is where a node begins, for people to click on.
func (f goFile) place(node ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.set.Position(node.Pos()).Line)
}

func (f goFile) lines(node ast.Node) int {
	return f.set.Position(node.End()).Line - f.set.Position(node.Pos()).Line + 1
}

// check finds problems in a tree and returns one line for each.
type check struct {
	name     string
	run      func(tree) []string
	examples []example
}

// example is two small trees that show what a check is for.
type example struct {
	reject map[string]string // here the check finds one problem
	reason string            // part of that problem
	accept map[string]string // here it finds none
}

// checks are declared beside their functions.
var checks = slices.Concat(importChecks, sizeChecks, commentChecks, fileChecks)

// notSource are directories that hold no source: history, and what programs leave behind.
var notSource = []string{".git", "bin", "out", "redoubt-data", "vendor"}

func TestRepository(t *testing.T) {
	source, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(source.goFiles) == 0 {
		t.Fatal("found no Go files")
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, problem := range c.run(source) {
				t.Error(problem)
			}
		})
	}
}

func TestChecks(t *testing.T) {
	for _, c := range checks {
		if len(c.examples) == 0 {
			t.Errorf("%s has no example", c.name)
		}
		for _, e := range c.examples {
			t.Run(c.name, func(t *testing.T) {
				if got := c.run(loadFiles(t, e.accept)); len(got) != 0 {
					t.Errorf("the good example has problems: %q", got)
				}
				got := c.run(loadFiles(t, e.reject))
				if len(got) != 1 || !strings.Contains(got[0], e.reason) {
					t.Errorf("problems of the bad example: %q, want one with %q", got, e.reason)
				}
			})
		}
	}
}

func loadFiles(t *testing.T, files map[string]string) tree {
	t.Helper()
	system := fstest.MapFS{}
	for name, text := range files {
		system[name] = &fstest.MapFile{Data: []byte(text)}
	}
	source, err := load(system)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// load reads every file of the system and parses the Go ones.
func load(system fs.FS) (tree, error) {
	source := tree{texts: map[string]string{}}
	err := fs.WalkDir(system, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(notSource, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		text, err := fs.ReadFile(system, name)
		source.texts[name] = string(text)
		return err
	})
	if err != nil {
		return tree{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(source.texts)) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
			continue
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, name, source.texts[name], parser.ParseComments)
		if err != nil {
			return tree{}, err
		}
		source.goFiles = append(source.goFiles, goFile{name, set, syntax})
	}
	return source, nil
}
