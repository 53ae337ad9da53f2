package cluster_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// holderVariable has the addresses of the nodes, for a run of this program that is a holder of locks.
const holderVariable = "REDOUBT_TEST_HOLDER"

// lockMillis is after which time a lock is gone that is not renewed.
const lockMillis = "700"

// holder takes the lock whenever it is free, and writes to the resource that the lock guards until somebody with a higher
// token has written there: it does not look at whether it still has the lock, as one that was stopped does not know. See
// docs/RECIPES.md.
type holder struct {
	addrs    []string
	name     string
	c        *conn
	acquired int
}

// holdLocks is the whole program of a holder. It ends when its input does, and prints what it does:
// "wrote <token> <number>" and "fenced <token>".
func holdLocks(addrs []string, name string) {
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}()
	h := &holder{addrs: addrs, name: name}
	for {
		if token := h.acquire(); token != 0 {
			h.work(token)
		}
	}
}

// ask sends a command to some node until one answers. Errors are told by ok.
func (h *holder) ask(args ...string) (reply any, ok bool) {
	if h.c == nil {
		var err error
		if h.c, err = dial(h.addrs[rand.IntN(len(h.addrs))]); err != nil {
			h.c = nil
			time.Sleep(time.Millisecond)
			return nil, false
		}
	}
	reply, err := h.c.do(args...)
	if err != nil {
		h.c.close()
		h.c = nil
	}
	return reply, err == nil
}

// owner is the value of the lock: another one each time that it is taken.
func (h *holder) owner() string { return fmt.Sprintf("%s/%d", h.name, h.acquired) }

// acquire returns the token of the lock, 0 when somebody else has it.
func (h *holder) acquire() int {
	h.acquired++
	if reply, ok := h.ask("SET", "lock", h.owner(), "NX", "PX", lockMillis); ok && reply == nil {
		time.Sleep(10 * time.Millisecond)
		return 0
	}
	for { // it is taken, or nobody knows
		if reply, ok := h.ask("VERSION", "lock", "IFEQ", h.owner()); ok {
			token, _ := reply.(int)
			return token
		}
	}
}

// work writes until it is fenced. Each value has the token, and a number that grows by one.
func (h *holder) work(token int) {
	value := h.read()
	for {
		last, number := parseResource(value)
		if last > token {
			break
		}
		next := fmt.Sprintf("%d %d", token, number+1)
		if !h.replace(value, next) {
			if value = h.read(); strings.HasPrefix(value, strconv.Itoa(token)+" ") {
				panic("somebody else has written with this token: " + value)
			}
			continue
		}
		fmt.Println("wrote", next)
		value = next
		h.ask("SET", "lock", h.owner(), "IFEQ", h.owner(), "PX", lockMillis)
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Println("fenced", token)
	h.ask("DELEX", "lock", "IFEQ", h.owner())
}

func (h *holder) read() string {
	for {
		if reply, ok := h.ask("GET", "resource"); ok {
			value, _ := reply.(string)
			return value
		}
	}
}

// replace exchanges the value of the resource, and says whether it did. It may ask more than once: each value is there once.
func (h *holder) replace(old, value string) bool {
	args := []string{"SET", "resource", value, "IFEQ", old}
	if old == "" {
		args = []string{"SET", "resource", value, "NX"}
	}
	for {
		reply, ok := h.ask(args...)
		if ok && reply != nil {
			return true
		}
		if now := h.read(); now == value || now != old {
			return now == value
		}
	}
}

// parseResource reads the token and the number of a value; there are none at the start.
func parseResource(value string) (token, number int) {
	if value != "" {
		if _, err := fmt.Sscanf(value, "%d %d", &token, &number); err != nil {
			panic(err)
		}
	}
	return token, number
}

// holderProcess is a running holder.
type holderProcess struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	writes [][2]int // token and number
	fenced map[int]bool
}

func startHolder(t *testing.T, c cluster, name string) *holderProcess {
	t.Helper()
	h := &holderProcess{cmd: exec.Command(os.Args[0], name), fenced: map[int]bool{}}
	var addrs []string
	for _, p := range c {
		addrs = append(addrs, p.addr)
	}
	h.cmd.Env = append(os.Environ(), holderVariable+"="+strings.Join(addrs, ","))
	h.cmd.Stderr = os.Stderr
	stdin, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			h.note(lines.Text())
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		_ = h.cmd.Process.Kill()
		<-read
		_ = h.cmd.Wait()
	})
	return h
}

func (h *holderProcess) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var token, number int
	if n, _ := fmt.Sscanf(line, "wrote %d %d", &token, &number); n == 2 {
		h.writes = append(h.writes, [2]int{token, number})
	} else if n, _ := fmt.Sscanf(line, "fenced %d", &token); n == 1 {
		h.fenced[token] = true
	}
}

// newest is the token of the last write.
func (h *holderProcess) newest() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.writes) == 0 {
		return 0
	}
	return h.writes[len(h.writes)-1][0]
}

func (h *holderProcess) isFenced(token int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fenced[token]
}

// TestFencedLock stops the holders of a lock until it was taken by others, while leaders are killed: what they write then
// is refused.
func TestFencedLock(t *testing.T) {
	c := newCluster(t)
	var holders []*holderProcess
	for i := range 3 {
		holders = append(holders, startHolder(t, c, fmt.Sprintf("holder %d", i)))
	}
	latest := func() (h *holderProcess, token int) {
		for _, o := range holders {
			if n := o.newest(); n > token {
				h, token = o, n
			}
		}
		return h, token
	}
	before := 0
	for round := range 4 {
		var h *holderProcess
		var token int
		eventually(t, "a new holder", func() bool {
			h, token = latest()
			return token > before
		})
		if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if round%2 == 1 {
			p := c.leader(t)
			p.kill()
			p.start()
		}
		eventually(t, "the next holder", func() bool {
			next, n := latest()
			return next != h && n > token
		})
		if err := h.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the holder that was stopped is fenced", func() bool { return h.isFenced(token) })
		before = token
	}
	checkWrites(t, holders)
}

// checkWrites looks for a write with a lower token than one before it.
func checkWrites(t *testing.T, holders []*holderProcess) {
	t.Helper()
	var all [][2]int
	for _, h := range holders {
		h.mu.Lock()
		all = append(all, h.writes...)
		h.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b [2]int) int { return a[1] - b[1] })
	tokens := map[int]bool{}
	for i := range all {
		tokens[all[i][0]] = true
		if i > 0 && (all[i][0] < all[i-1][0] || all[i][1] == all[i-1][1]) {
			t.Errorf("write %d with token %d after write %d with token %d", all[i][1], all[i][0], all[i-1][1], all[i-1][0])
		}
	}
	t.Logf("%d writes with %d tokens", len(all), len(tokens))
}
