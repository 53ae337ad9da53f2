package tidy

import (
	"fmt"
	"go/ast"
	"strings"
)

// Limits of what a reader can hold in mind. There are no exceptions.
const (
	fileLinesMax     = 800
	functionLinesMax = 70
)

var sizeChecks = []check{
	{"file size", checkFileSizes, []example{
		{
			reject: map[string]string{"a/a.go": "package a\n" + strings.Repeat("\n", fileLinesMax)},
			reason: "a/a.go has 801 lines",
			accept: map[string]string{"a/a.go": "package a\n" + strings.Repeat("\n", fileLinesMax-1)},
		},
	}},
	{"function size", checkFunctionSizes, []example{
		{
			reject: map[string]string{"a/a.go": "package a\nfunc f() {\n" + strings.Repeat("\n", functionLinesMax-1) + "}\n"},
			reason: "a/a.go:2 function f has 71 lines",
			accept: map[string]string{"a/a.go": "package a\nfunc f() {\n" + strings.Repeat("\n", functionLinesMax-2) + "}\n"},
		},
	}},
}

func checkFileSizes(source tree) (problems []string) {
	for _, file := range source.goFiles {
		lines := strings.Count(source.texts[file.path], "\n")
		if lines > fileLinesMax {
			problems = append(problems, fmt.Sprintf("%s has %d lines, the limit is %d", file.path, lines, fileLinesMax))
		}
	}
	return problems
}

func checkFunctionSizes(source tree) (problems []string) {
	for _, file := range source.goFiles {
		for _, decl := range file.syntax.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || file.lines(function) <= functionLinesMax {
				continue
			}
			problems = append(problems, fmt.Sprintf("%s function %s has %d lines, the limit is %d",
				file.place(function), function.Name.Name, file.lines(function), functionLinesMax))
		}
	}
	return problems
}
