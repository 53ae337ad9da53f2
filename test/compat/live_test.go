package compat

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// recordedSeeds is how many random cases are recorded, liveSeeds how many more are run against a
// live Redis.
const (
	recordedSeeds = 12
	liveSeeds     = 100
)

var (
	seeds     = flag.Int("seeds", liveSeeds, "random cases to compare with a live redis-server")
	firstSeed = flag.Uint64("seed", recordedSeeds, "the first of them")
)

// TestLive compares every case, and more random ones, with a live Redis. Without one there is
// nothing to do here: TestGolden has the same cases.
func TestLive(t *testing.T) {
	addr, ok := startRedis(t)
	if !ok {
		t.Log("no redis-server: see TestGolden")
		return
	}
	redis, tested := dialRedis(t, addr), openTarget(t)
	old := isOld(redisVersion(t, redis))
	for _, proto := range protocols {
		for _, c := range casesFor(tested, allCases(t)) {
			if old && c.random {
				c = forOld(c)
			}
			t.Run(fmt.Sprintf("RESP%d/%s", proto, c.name), func(t *testing.T) {
				want, got := replay(t, redis, proto, c), replay(t, tested, proto, c)
				compareLive(t, c, got, want, old)
			})
		}
	}
	random := readGrammar(t)
	for i := range *seeds {
		seed, proto := *firstSeed+uint64(i), protocols[i%len(protocols)]
		for _, c := range []testCase{random.randomCase(seed), random.patternCase(seed)} {
			if old {
				c = forOld(c)
			}
			compareRandom(t, redis, tested, proto, c)
		}
	}
}

// TestCommands sees to it that docs/COMMANDS.md has every command that a live Redis has.
func TestCommands(t *testing.T) {
	addr, ok := startRedis(t)
	if !ok {
		t.Log("no redis-server to ask")
		return
	}
	known, err := os.ReadFile(commandsFile)
	if err != nil {
		t.Fatal(err)
	}
	live := commandsOf(t, dialRedis(t, addr))
	if len(live) < 300 {
		t.Errorf("Redis has %d commands", len(live))
	}
	for _, line := range live { // the versions are not always the same
		if name, _, _ := strings.Cut(line, " "); !strings.Contains("\n"+string(known), "\n"+name+" ") {
			t.Errorf("%s is not in %s", name, commandsFile)
		}
	}
}

// forOld makes a random case comparable with a Redis before 7.2, in which sets of few members had no order and another
// encoding, other calls about streams made consumers, and several of their errors had other texts.
func forOld(c testCase) testCase {
	steps := c.steps
	c.steps = nil
	for _, s := range steps {
		switch name := strings.ToUpper(s.args[0]); {
		case isSetInOrder(s.args):
			s.args = append([]string{"@sorted"}, s.args...)
		case name == "OBJECT", name == "@UNTIMED", len(s.args) > 1 && s.args[1] == "CONFIG":
			continue
		}
		if s.args[0] == "" || s.args[0][0] != 'X' {
			c.steps = append(c.steps, s)
		}
	}
	return c
}

// compareRandom runs a case and, if it finds a difference, reports the shortest one that still has one: it is to become
// a case of testdata.
func compareRandom(t *testing.T, redis, tested target, proto int, c testCase) {
	t.Helper()
	differ := func(c testCase) bool {
		want, got := replay(t, redis, proto, c), replay(t, tested, proto, c)
		return firstDifference(c, got, want, false) >= 0
	}
	if !differ(c) {
		return
	}
	small := minimise(c, differ)
	var text strings.Builder
	for _, s := range small.steps {
		text.WriteString("\n" + s.text)
	}
	want, got := replay(t, redis, proto, small), replay(t, tested, proto, small)
	if i := firstDifference(small, got, want, false); i >= 0 {
		t.Errorf("%s in RESP%d differs:%s\n\tRedis:   %s\n\tRedoubt: %s", c.name, proto, &text, render(want[i]), render(got[i]))
	} else {
		t.Errorf("%s in RESP%d differed, and then not any more:%s", c.name, proto, &text)
	}
}

// firstDifference is the first step whose replies may not be as they are, or -1.
func firstDifference(c testCase, got, want [][]byte, recorded bool) int {
	for i := range c.steps {
		if !bytes.Equal(got[i], want[i]) && !alike(c, i, got[i], want[i], recorded) {
			return i
		}
	}
	return -1
}

func compareLive(t *testing.T, c testCase, got, want [][]byte, old bool) {
	t.Helper()
	if i := firstDifference(c, got, want, false); i >= 0 && !expected(c.name, old) {
		t.Errorf("step %d: %s\n\tRedis:   %s\n\tRedoubt: %s", i+1, c.steps[i].text, render(want[i]), render(got[i]))
	}
}
