//go:build failpoints

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// disarm takes back what a test has armed.
func disarm(t *testing.T) {
	t.Cleanup(func() {
		for _, p := range all {
			p.armed.Store(nil)
		}
	})
}

func mustArm(t *testing.T, name, what string) {
	t.Helper()
	if err := Arm(name, what); err != nil {
		t.Fatal(err)
	}
}

func TestNames(t *testing.T) {
	good := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	seen := map[string]bool{}
	for _, s := range List() {
		if !good.MatchString(s.Name) || seen[s.Name] || s.Action != "off" {
			t.Errorf("point %+v", s)
		}
		seen[s.Name] = true
	}
	if len(seen) == 0 {
		t.Error("no points")
	}
}

func TestError(t *testing.T) {
	disarm(t)
	before := LogAppendBefore.hits.Load()
	if err := LogAppendBefore.Err(); err != nil {
		t.Fatal(err)
	}
	mustArm(t, "log-append-before", "error after 2")
	for i, want := range []bool{false, false, true, true} {
		err := LogAppendBefore.Err()
		if got := errors.Is(err, ErrInjected); got != want {
			t.Errorf("hit %d: %v", i, err)
		}
		if want && !strings.Contains(err.Error(), "log-append-before") {
			t.Errorf("the error does not name the point: %v", err)
		}
	}
	if err := LogAppendAfter.Err(); err != nil {
		t.Errorf("another point: %v", err)
	}
	mustArm(t, "log-append-before", "off")
	if err := LogAppendBefore.Err(); err != nil {
		t.Errorf("after off: %v", err)
	}
	if hits := LogAppendBefore.hits.Load() - before; hits != 6 {
		t.Errorf("%d hits", hits)
	}
}

func TestOneIn(t *testing.T) {
	disarm(t)
	run := func(what string) (out []bool) {
		mustArm(t, "log-append-before", what)
		for range 1000 {
			out = append(out, LogAppendBefore.Err() != nil)
		}
		return out
	}
	count := func(list []bool) (n int) {
		for _, is := range list {
			if is {
				n++
			}
		}
		return n
	}
	first, again, other := run("error 1 in 4 seed 7"), run("error 1 in 4 seed 7"), run("error 1 in 4 seed 8")
	same := true
	for i := range first {
		if first[i] != again[i] {
			t.Fatalf("hit %d is not the same with the same seed", i)
		}
		same = same && first[i] == other[i]
	}
	if n := count(first); n < 150 || n > 350 || same {
		t.Errorf("%d of 1000 hits; the same with another seed: %v", n, same)
	}
}

func TestDelay(t *testing.T) {
	disarm(t)
	mustArm(t, "send-after", "delay 30ms")
	start := time.Now()
	SendAfter.Hit()
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestRefused(t *testing.T) {
	disarm(t)
	for _, c := range []struct{ name, what, reason string }{
		{"no-such-point", "crash", "there are log-append-before, log-append-after,"},
		{"send-after", "error", "can't return an error"},
		{"send-after", "", "one of crash"},
		{"send-after", "explode", "one of crash"},
		{"send-after", "delay", "duration"},
		{"send-after", "crash soon", "when is one of"},
		{"send-after", "crash after x", "needs a number"},
		{"send-after", "crash 1 out of 4", "when is one of"},
	} {
		err := Arm(c.name, c.what)
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s=%s: %v", c.name, c.what, err)
		}
	}
	for _, s := range List() {
		if s.Action != "off" {
			t.Errorf("%s is armed: %s", s.Name, s.Action)
		}
	}
}

// TestCrash runs this test program again, which is to die of the crash.
func TestCrash(t *testing.T) {
	const child = "FAILPOINT_TEST_CHILD"
	if os.Getenv(child) != "" {
		LogSyncBefore.Err()
		LogSyncBefore.Err()
		os.Exit(3)
	}
	run := func(list string) (string, int) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
		cmd.Env = append(os.Environ(), child+"=1", Environment+"="+list)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("log-sync-after=crash, log-sync-before=crash after 1"); code != -1 || out != "failpoint log-sync-before: crash\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, code := run("log-sync-before=crash after 2"); code != 3 {
		t.Errorf("exit code %d, %s", code, out)
	}
	if out, code := run("log-sink=crash"); code != 2 || !strings.Contains(out, "there are log-append-before") {
		t.Errorf("exit code %d, %s", code, out)
	}
}
