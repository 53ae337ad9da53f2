package torture_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// never is the return time of an operation whose outcome is unknown: it may be executed at any time.
const never = int64(1) << 62

// keptMax is after how many failing histories of a round the others are not checked.
const keptMax = 10

// undecided is how long the checker may work on one group of keys. It takes milliseconds where there
// is an order that explains all, and may take all time and memory where there is none.
const undecided = 15 * time.Second

// explained says whether one order explains what all clients saw of a group.
func explained(history []*operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model(), operations(history), undecided)
}

func operations(history []*operation) []porcupine.Operation {
	ops := make([]porcupine.Operation, 0, len(history))
	for _, op := range history {
		o := porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return}
		if op.Unknown {
			o.Return = never
		}
		ops = append(ops, o)
	}
	return ops
}

// draw keeps a history as JSON, and as a picture of how far it can be explained.
func draw(history []*operation, file string) error {
	m := model()
	_, info := porcupine.CheckOperationsVerbose(m, operations(history), undecided)
	if err := porcupine.VisualizePath(m, info, file+".html"); err != nil {
		return err
	}
	return write(history, file+".json")
}

func write(history []*operation, file string) error {
	data, err := json.MarshalIndent(history, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// keepHistories keeps what all clients did, for failures that are not of one group of keys.
func keepHistories(t *testing.T, clients []*client, dir string) {
	t.Helper()
	var all []*operation
	for _, c := range clients {
		all = append(all, c.history...)
	}
	slices.SortFunc(all, func(a, b *operation) int { return cmp.Compare(a.Call, b.Call) })
	if err := write(all, filepath.Join(dir, "all.json")); err != nil {
		t.Error(err)
	}
}

// checkHistories checks every group of keys.
func checkHistories(t *testing.T, clients []*client, dir string) {
	t.Helper()
	groups := make(map[string][]*operation)
	for _, c := range clients {
		for _, op := range c.history {
			groups[op.Group] = append(groups[op.Group], op)
		}
	}
	work := make(chan string)
	var bad atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for group := range work {
				h := groups[group]
				if bad.Load() >= keptMax {
					continue
				}
				if result := explained(h); result != porcupine.Ok {
					bad.Add(1)
					t.Errorf("the history of %s is %s: no order of its %d operations explains their replies; see %s.html and .json",
						group, result, len(h), group)
					if err := draw(h, filepath.Join(dir, group)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for group := range groups {
		work <- group
	}
	close(work)
	wg.Wait()
	if bad.Load() >= keptMax {
		t.Errorf("there may be more in the %d groups of keys", len(groups))
	}
}

// dump returns all keys with their values, as one node gives them.
func (n *node) dump() ([]string, error) {
	conn, err := dial(n.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	names, err := conn.do("KEYS", "*")
	if err != nil {
		return nil, err
	}
	keys := strings.Fields(strings.NewReplacer("[", "", "]", "", "$", "").Replace(names))
	slices.Sort(keys)
	size, err := conn.do("DBSIZE")
	if err != nil {
		return nil, err
	}
	if size != fmt.Sprintf(":%d", len(keys)) {
		return nil, fmt.Errorf("node %d: DBSIZE is %s, and there are %d keys", n.id, size, len(keys))
	}
	for i, key := range keys {
		value, err := conn.do("GET", key)
		if err != nil {
			return nil, err
		}
		keys[i] = key + " " + value
	}
	return keys, nil
}

// checkEqual compares all data on all nodes with want, or with the first node if that is nil.
func checkEqual(t *testing.T, c *cluster, want []string, when string) []string {
	t.Helper()
	for _, n := range c.nodes {
		got, err := n.dump()
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: node %d has %d keys, which are not the %d expected: %s", when, n.id, len(got), len(want),
				firstDifference(got, want))
		}
	}
	return want
}

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%q instead of %q", a[i], b[i])
		}
	}
	return "one has more"
}
