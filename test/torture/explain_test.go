package torture_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// history makes operations out of lines: call and return in ms, the commands separated by semicolons,
// and their replies; ? is an unknown outcome. Every operation is of a client of its own.
func history(text string) (out []*operation) {
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		parts := strings.SplitN(strings.TrimSpace(line), " | ", 4)
		op := &operation{Client: i, CallMS: int64(atoi(parts[0])), ReturnMS: int64(atoi(parts[1])),
			Unknown: parts[3] == "?", Replies: strings.Split(parts[3], "; ")}
		op.Call, op.Return = op.CallMS*1e6, op.ReturnMS*1e6
		for _, c := range strings.Split(parts[2], "; ") {
			op.Commands = append(op.Commands, strings.Fields(c))
		}
		out = append(out, op)
	}
	return out
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// TestExplained gives the checker histories of which it is known whether they can be explained.
func TestExplained(t *testing.T) {
	for _, test := range []struct {
		name, history string
		can           bool
	}{
		{"plain", "1 | 2 | SET k:0 a | +OK\n 3 | 4 | GET k:0 | $a", true},
		{"stale read", "1 | 2 | SET k:0 a | +OK\n 3 | 4 | SET k:0 b | +OK\n 5 | 6 | GET k:0 | $a", false},
		{"concurrent read", "1 | 2 | SET k:0 a | +OK\n 3 | 9 | SET k:0 b | +OK\n 5 | 6 | GET k:0 | $a", true},
		{"reads that go back", "1 | 20 | SET k:0 b | +OK\n 5 | 6 | GET k:0 | $b\n 7 | 8 | GET k:0 | (nil)", false},
		{"lost write", "1 | 2 | SET k:0 a | +OK\n 3 | 4 | GET k:0 | (nil)", false},
		{"unknown, not executed", "1 | 2 | SET k:0 a | ?\n 3 | 4 | GET k:0 | (nil)", true},
		{"unknown, executed late", "1 | 2 | SET k:0 a | ?\n 3 | 4 | GET k:0 | (nil)\n 5 | 6 | GET k:0 | $a", true},
		{"unknown, taken back", "1 | 2 | SET k:0 a | ?\n 3 | 4 | GET k:0 | $a\n 5 | 6 | GET k:0 | (nil)", false},
		{"never written", "1 | 2 | GET k:0 | $a", false},
		{"two locks", "1 | 2 | SET k:0 a NX | +OK\n 1 | 2 | SET k:0 b NX | +OK", false},
		{"one lock", "1 | 2 | SET k:0 a NX | +OK\n 1 | 2 | SET k:0 b NX | (nil)\n 3 | 4 | GETDEL k:0 | $a", true},
		{"a ticket twice", "1 | 5 | INCRBY k:0 1 | :1\n 1 | 5 | INCRBY k:0 1 | :1", false},
		{"counted twice", "1 | 2 | INCRBY k:0 1 | ?\n 3 | 4 | INCRBY k:0 1 | :3", false},
		{"element twice", "1 | 2 | APPEND k:0 a; | ?\n 3 | 4 | GET k:0 | $a;a;", false},
		{"half of an MSET", "1 | 5 | MSET k:0 a k:1 a | +OK\n 2 | 3 | MGET k:0 k:1 | [$a (nil)]", false},
		{"whole MSET", "1 | 5 | MSET k:0 a k:1 a | +OK\n 2 | 3 | MGET k:0 k:1 | [$a $a]", true},
		{"pipeline apart", "1 | 5 | INCRBY k:0 1; GET k:0 | :1; $2\n 1 | 5 | INCRBY k:0 1 | :2", false},
		{"pipeline", "1 | 5 | INCRBY k:0 1; GET k:0 | :1; $1\n 1 | 5 | INCRBY k:0 1 | :2", true},
		{"refusal as a reply", "1 | 5 | SET k:0 a; GET k:0 | +OK; !CLUSTERDOWN no", false},
		{"expired", "1 | 2 | SET k:0 a PX 50 | +OK\n 40 | 41 | GET k:0 | $a\n 60 | 61 | GET k:0 | (nil)", true},
		{"expired early", "1 | 2 | SET k:0 a PX 50 | +OK\n 30 | 40 | GET k:0 | (nil)", false},
		{"expired late", "1 | 2 | SET k:0 a PX 50 | +OK\n 60 | 61 | GET k:0 | $a", false},
		{"seen again", "1 | 20 | SET k:0 a PX 50 | +OK\n 51 | 52 | GET k:0 | (nil)\n 53 | 54 | GET k:0 | $a", false},
		{"time to live", "1 | 5 | SET k:0 a PX 50 | +OK\n 10 | 11 | PTTL k:0 | :42", true},
		{"longer to live", "1 | 5 | SET k:0 a PX 50 | +OK\n 10 | 11 | PTTL k:0 | :50", false},
		{"kept", "1 | 5 | SET k:0 a PX 50 | +OK\n 10 | 11 | PERSIST k:0 | :1\n 90 | 91 | GET k:0 | $a", true},
		{"kept too late", "1 | 5 | SET k:0 a PX 50 | +OK\n 70 | 71 | PERSIST k:0 | :1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := history(test.history)
			result := explained(h)
			if (result == porcupine.Ok) != test.can {
				t.Fatalf("the history is %s", result)
			}
			file := filepath.Join(t.TempDir(), "group")
			if err := draw(h, file); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{file + ".html", file + ".json"} {
				if info, err := os.Stat(name); err != nil || info.Size() == 0 {
					t.Errorf("not kept: %v", err)
				}
			}
		})
	}
}

// TestNotExecuted looks at the replies that leave a request out of the history.
func TestNotExecuted(t *testing.T) {
	for reply, want := range map[string]bool{
		"!CLUSTERDOWN The cluster has no leader; nothing was executed":     true,
		"!ERR Server is shutting down":                                     true,
		"!UNCERTAIN outcome unknown: the write may or may not take effect": false,
		"!ERR no such key": false,
		"$CLUSTERDOWN ":    false,
	} {
		if notExecuted(reply) != want {
			t.Errorf("%s: %v", reply, !want)
		}
	}
}
