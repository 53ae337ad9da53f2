package main

import "testing"

func TestGCPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, gcPercentMax}, {1 << 20, gcPercentMax}, {64 << 20, 300}, {100 << 20, 156}, {128 << 20, 100}, {200 << 20, 100}, {500 << 20, 100},
		{800 << 20, 25}, {900 << 20, 25},
	} {
		if got := gcPercent(256<<20, 1000<<20, c.live); got != c.want {
			t.Errorf("%d bytes in use may grow by %d %%, want %d", c.live, got, c.want)
		}
	}
}
