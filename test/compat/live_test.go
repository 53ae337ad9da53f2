package compat

import (
	"bytes"
	"flag"
	"fmt"
	"testing"
)

// recordedSeeds is how many random cases are recorded, liveSeeds how many more are run against a
// live Redis.
const (
	recordedSeeds = 6
	liveSeeds     = 20
)

var seeds = flag.Int("seeds", liveSeeds, "random cases to compare with a live redis-server")

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
	cases := casesFor(tested, allCases(t))
	for seed := range *seeds {
		more := uint64(recordedSeeds + seed)
		cases = append(cases, randomCase(more), patternCase(more))
	}
	for _, proto := range protocols {
		for _, c := range cases {
			t.Run(fmt.Sprintf("RESP%d/%s", proto, c.name), func(t *testing.T) {
				want, got := replay(t, redis, proto, c), replay(t, tested, proto, c)
				compareLive(t, c, got, want, old)
			})
		}
	}
}

func compareLive(t *testing.T, c testCase, got, want [][]byte, old bool) {
	t.Helper()
	for i, s := range c.steps {
		if bytes.Equal(got[i], want[i]) || alike(c, i, got[i], want[i], false) {
			continue
		}
		if !expected(c.name, old) {
			t.Errorf("step %d: %s\n\tRedis:   %s\n\tRedoubt: %s",
				i+1, s.text, render(want[i]), render(got[i]))
		}
	}
}
