package compat

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// randomSteps is the length of a random case.
const randomSteps = 250

// grammar is what random calls are made of, see testdata/random/common.txt.
type grammar struct {
	families  []string              // those with templates, in order
	templates map[string][][]string // by family
	words     map[string][][]string // what may be drawn for a word: each time a sequence of words
}

func readGrammar(t testing.TB) *grammar {
	t.Helper()
	files, err := filepath.Glob("testdata/random/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	g := &grammar{templates: map[string][][]string{}, words: map[string][][]string{}}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		family := strings.TrimSuffix(filepath.Base(file), ".txt")
		for n, line := range strings.Split(string(text), "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			if err := g.add(family, line); err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
		}
		if len(g.templates[family]) > 0 {
			g.families = append(g.families, family)
		}
	}
	return g
}

func (g *grammar) add(family, line string) error {
	words, err := splitWords(line)
	if err != nil {
		return err
	}
	if len(words) < 2 || words[1] != "=" || words[0][0] != '<' {
		g.templates[family] = append(g.templates[family], words)
		return nil
	}
	name := words[0]
	if g.words[name] != nil || name == "<key>" {
		return fmt.Errorf("%s is there twice", name)
	}
	choice := []string{}
	for _, word := range words[2:] {
		if word == "|" {
			g.words[name] = append(g.words[name], choice)
			choice = []string{}
			continue
		}
		choice = append(choice, word)
	}
	g.words[name] = append(g.words[name], choice)
	return nil
}

// keysOf are the keys that the calls of a family mostly use.
func keysOf(family string) []string { return []string{family + "1", family + "2", family + "3"} }

// generator makes calls, mostly of one family.
type generator struct {
	*rand.Rand
	*grammar
	family string
}

func (g *grammar) generator(seed, stream uint64) *generator {
	return &generator{rand.New(rand.NewPCG(seed, stream)), g, g.families[seed%uint64(len(g.families))]}
}

// randomCase makes a case from a seed, the same one every time. All times are long ago or far
// away, so that no key expires while it runs.
func (g *grammar) randomCase(seed uint64) testCase {
	gen := g.generator(seed, 1)
	c := testCase{name: fmt.Sprintf("random: %s %d", gen.family, seed), random: true}
	for range randomSteps {
		words := gen.call()
		if gen.family == packingFamily && isSetInOrder(words) {
			words = append([]string{"@sorted"}, words...)
		}
		c.steps = append(c.steps, newStep(words...))
	}
	var keys []string
	for _, shared := range g.words["<shared>"] {
		keys = append(keys, shared...)
	}
	for _, family := range g.families {
		keys = append(keys, keysOf(family)...)
	}
	for db := range 3 {
		c.steps = append(c.steps, newStep("SELECT", strconv.Itoa(db)), newStep("DBSIZE"),
			newStep("@scan", "COUNT", "3"))
		for _, key := range keys {
			c.steps = append(c.steps, newStep("@value", key), newStep("PEXPIRETIME", key))
		}
	}
	return c
}

// packingFamily changes when values are packed, so that small sets may have no order.
const packingFamily = "packing"

// isSetInOrder says whether a call answers with members of sets, which are in an order if they are few.
func isSetInOrder(words []string) bool {
	return slices.Contains([]string{"SMEMBERS", "SUNION", "SINTER", "SDIFF"}, strings.ToUpper(words[0]))
}

// patternCase makes keys and patterns of a few bytes that mean something in patterns.
func (g *grammar) patternCase(seed uint64) testCase {
	const keys, patterns = 60, 120
	gen := g.generator(seed, 2)
	c := testCase{name: fmt.Sprintf("patterns: %d", seed)}
	for range keys {
		c.steps = append(c.steps, newStep("SET", gen.text("abc]^-\\*\xf0\x00", 4), "v"))
	}
	for range patterns {
		c.steps = append(c.steps, newStep("KEYS", gen.text("ab*?[]^-\\\xf0\x00*[]", 9)))
	}
	return c
}

// text makes up to so many bytes of an alphabet.
func (g *generator) text(alphabet string, bytesMax int) string {
	text := make([]byte, g.IntN(bytesMax+1))
	for i := range text {
		text[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(text)
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// call makes a call: mostly of the generator's family, at times of another one.
func (g *generator) call() []string {
	family := g.family
	if g.IntN(4) == 0 {
		family = pick(g, g.others())
	}
	words := g.expand(family, pick(g, g.templates[family]))
	if words[0][0] == '@' {
		return words
	}
	switch g.IntN(60) {
	case 0:
		words = append(words, "extra")
	case 1:
		if len(words) > 1 {
			words = words[:len(words)-1]
		}
	}
	return words
}

// others are the families of which calls are at times drawn: not what others do not expect.
func (g *generator) others() []string {
	not := packingFamily
	if g.family == packingFamily {
		not = "stream"
	}
	return slices.DeleteFunc(slices.Clone(g.families), func(f string) bool { return f == not })
}

// expand draws what stands in angle brackets.
func (g *generator) expand(family string, template []string) []string {
	var words []string
	for _, word := range template {
		switch {
		case word == "<key>" && g.IntN(5) > 0:
			words = append(words, pick(g, keysOf(family)))
		case word == "<key>":
			words = append(words, g.otherKey())
		case g.words[word] != nil:
			words = append(words, g.expand(family, pick(g, g.words[word]))...)
		default:
			words = append(words, word)
		}
	}
	return words
}

// otherKey draws a key that may have a value of any type.
func (g *generator) otherKey() string {
	if g.IntN(2) == 0 {
		return pick(g, g.words["<shared>"])[0]
	}
	return pick(g, keysOf(pick(g, g.families)))
}

// minimise leaves out of a case what is not needed for replies to differ, as differ tells, a half, a quarter... at a time.
func minimise(c testCase, differ func(testCase) bool) testCase {
	for size := len(c.steps) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(c.steps); {
			smaller := c
			smaller.steps = slices.Delete(slices.Clone(c.steps), from, from+size)
			if differ(smaller) {
				c = smaller
			} else {
				from += size
			}
		}
	}
	return c
}
