package compat

import (
	"bytes"
	"fmt"
	"testing"
)

// TestHyperLogLog compares the bytes of a HyperLogLog with those of a live Redis while it grows far beyond the size at
// which it becomes dense, and the estimates all the way.
func TestHyperLogLog(t *testing.T) {
	addr, ok := startRedis(t)
	if !ok {
		t.Log("no redis-server")
		return
	}
	redis, tested := dialRedis(t, addr), openTarget(t)
	n := 0
	for size := 1; n < 60000; size += 3 {
		add := []string{"PFADD", "h"}
		for range size {
			add = append(add, fmt.Sprint("element ", n))
			n++
		}
		for _, call := range [][]string{add, {"GET", "h"}, {"PFCOUNT", "h", "none"}} {
			want, err := redis.call(call)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tested.call(call)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s after %d elements:\n%q, Redis:\n%q", call[0], n, got, want)
			}
		}
	}
}
