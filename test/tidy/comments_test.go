package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
)

var commentChecks = []check{
	{"package comments", checkPackageComments, []example{
		{
			reject: map[string]string{"a/a.go": "package a\n", "a/b.go": "package a\n"},
			reason: "package a has no package comment",
			accept: map[string]string{"a/a.go": "// Package a is first.\npackage a\n", "a/b.go": "package a\n"},
		},
	}},
	{"doc comments", checkDocComments, []example{
		{
			reject: map[string]string{"a/a.go": "package a\nfunc F() {}\n"},
			reason: "a/a.go:2 exported F has no doc comment",
			accept: map[string]string{
				"a/a.go":      "package a\n// F is documented.\nfunc F() {}\nfunc g() {}\ntype t int\nfunc (t) String() string { return \"\" }\n",
				"a/a_test.go": "package a\nfunc TestF() {}\n",
			},
		},
		{
			reject: map[string]string{"a/a.go": "package a\n// T is documented.\ntype T[E any] struct{}\nfunc (t *T[E]) M() {}\n"},
			reason: "a/a.go:4 exported M has no doc comment",
			accept: map[string]string{"a/a.go": "package a\n// T is documented.\ntype T int\n// M as well.\nfunc (t *T) M() {}\n"},
		},
		{
			reject: map[string]string{"a/a.go": "package a\nvar V = 1\n"},
			reason: "a/a.go:2 exported V has no doc comment",
			accept: map[string]string{"a/a.go": "package a\n// Sizes in bytes.\nconst (\n\tA = 1\n\tB = 2\n)\nconst (\n\tC = 3 // C is three.\n)\n"},
		},
	}},
}

// common methods do what their name says everywhere.
var common = []string{"Error", "String", "Unwrap", "Read", "Write", "Len", "Less", "Swap"}

func checkPackageComments(source tree) (problems []string) {
	commented := map[string]bool{}
	for _, file := range source.goFiles {
		commented[file.dir()] = commented[file.dir()] || file.syntax.Doc != nil
	}
	for _, dir := range slices.Sorted(maps.Keys(commented)) {
		if !commented[dir] {
			problems = append(problems, fmt.Sprintf("package %s has no package comment", dir))
		}
	}
	return problems
}

func checkDocComments(source tree) (problems []string) {
	for _, file := range source.goFiles {
		if file.isTest() {
			continue
		}
		for _, name := range undocumented(file.syntax.Decls) {
			problems = append(problems, fmt.Sprintf("%s exported %s has no doc comment", file.place(name), name.Name))
		}
	}
	return problems
}

func undocumented(decls []ast.Decl) (names []*ast.Ident) {
	for _, decl := range decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			isCommon := decl.Recv != nil && slices.Contains(common, decl.Name.Name)
			if decl.Doc == nil && decl.Name.IsExported() && receiverIsExported(decl) && !isCommon {
				names = append(names, decl.Name)
			}
		case *ast.GenDecl:
			if decl.Doc == nil {
				for _, spec := range decl.Specs {
					names = append(names, undocumentedSpec(spec)...)
				}
			}
		}
	}
	return names
}

func undocumentedSpec(spec ast.Spec) (names []*ast.Ident) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Doc == nil && spec.Comment == nil && spec.Name.IsExported() {
			names = append(names, spec.Name)
		}
	case *ast.ValueSpec:
		if spec.Doc != nil || spec.Comment != nil {
			return nil
		}
		for _, name := range spec.Names {
			if name.IsExported() {
				names = append(names, name)
			}
		}
	}
	return names
}

// receiverIsExported is true for functions, too. Methods of unexported types are
// exported by name only: an interface that somebody else documents asks for them.
func receiverIsExported(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(function.Recv.List[0].Type, func(node ast.Node) bool {
		name, ok := node.(*ast.Ident)
		if ok {
			exported = name.IsExported()
		}
		return !ok && !exported
	})
	return exported
}
