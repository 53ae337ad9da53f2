package cluster_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/test/ports"
)

var writeDumps = flag.Bool("dumps", false, "write testdata/*.rdb anew, with redis-server")

// Dumps that a redis-server has written: of the keys of dumpKeys, and of these and all other types.
const (
	stringsDump    = "testdata/strings.rdb"
	mixedDump      = "testdata/mixed.rdb"
	dumpedElements = 300 // of the larger collections, and
	dumpedBytes    = 30  // about what each has
)

// dumped is a key of the dumps.
type dumped struct {
	db         int
	key, value string
	at         int // when it expires, in ms since 1970, or -1
}

// dumpKeys has every form in which Redis stores a string: integers of each width, compressed, as it is.
func dumpKeys() (keys []dumped) {
	for _, db := range []int{0, 3, 15} {
		for i := range 300 {
			key := fmt.Sprintf("key\r\n\x00\xff:%d", i)
			value := []string{fmt.Sprint(i - 150), fmt.Sprint(-1<<31 + i), fmt.Sprint(1<<40 + i), strings.Repeat("ab", 30+i),
				incompressible(uint64(i), 40), "", "-32768", "9223372036854775807", "007"}[i%9]
			at := -1
			if i%5 == 0 {
				at = 4102444800000 + i // in the year 2100
			}
			keys = append(keys, dumped{db, key, value, at})
		}
		keys = append(keys, dumped{db, "large", incompressible(99, 20<<10), -1})
	}
	return keys
}

// loadKeys writes the keys of the dumps.
func loadKeys(t *testing.T, addr string) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	db := -1
	for _, k := range dumpKeys() {
		if k.db != db {
			db = k.db
			_, err = c.do("SELECT", fmt.Sprint(db))
		}
		args := []string{"SET", k.key, k.value}
		if k.at > 0 {
			args = append(args, "PXAT", fmt.Sprint(k.at))
		}
		if _, setErr := c.do(args...); err != nil || setErr != nil {
			t.Fatal(err, setErr)
		}
	}
}

// hasKeys checks that a server has the keys of the dumps and no others.
func hasKeys(t *testing.T, addr string) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	counts := make(map[int]int)
	for _, k := range dumpKeys() {
		counts[k.db]++
		_, err := c.do("SELECT", fmt.Sprint(k.db))
		value, err1 := c.do("GET", k.key)
		at, err2 := c.do("PEXPIRETIME", k.key)
		if err = errors.Join(err, err1, err2); err != nil || value != k.value || at != k.at {
			t.Fatalf("key %q of database %d is %.40q until %v, want %.40q until %d: %v", k.key, k.db, value, at, k.value, k.at, err)
		}
	}
	for db := range 16 {
		if _, err := c.do("SELECT", fmt.Sprint(db)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.do("DBSIZE"); err != nil || n != counts[db] {
			t.Errorf("database %d has %v keys, %v, want %d", db, n, err, counts[db])
		}
	}
}

// startRedis starts a redis-server, if there is one, and returns its address.
func startRedis(t *testing.T, dir string) (addr string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", false
	}
	addr = ports.Cluster.Free(t)
	_, port, _ := net.SplitHostPort(addr)
	server := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	eventually(t, "redis-server answers", func() bool {
		c, err := dial(addr)
		if err != nil {
			return false
		}
		defer c.close()
		reply, err := c.do("PING")
		return err == nil && reply == "PONG"
	})
	return addr, true
}

// TestDumps has a live redis-server write the dumps, and the others read them.
func TestDumps(t *testing.T) {
	if !*writeDumps {
		return
	}
	dir := t.TempDir()
	addr, ok := startRedis(t, dir)
	if !ok {
		t.Fatal("no redis-server")
	}
	redis := &process{t: t, addr: addr}
	loadKeys(t, addr)
	keep := func(name string) {
		redis.mustDo("SAVE")
		data, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		if err = errors.Join(err, os.WriteFile(name, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	keep(stringsDump)
	loadTypes(t, addr, dumpedElements, dumpedBytes)
	keep(mixedDump)
}

// TestImport reads dumps of a redis-server.
func TestImport(t *testing.T) {
	p := newProcess(t, 1)
	p.start()
	refusedDumps(t, p)
	if out := mustRun(t, "import", "--addr", p.addr, stringsDump); !strings.Contains(out, "903 keys written") {
		t.Error(out)
	}
	hasKeys(t, p.addr)
	p.mustDo("FLUSHALL")
	want, _ := loadedTypes(t, dumpedElements, dumpedBytes)
	for range 2 { // the second time all are there already
		mustRun(t, "import", "--addr", p.addr, mixedDump)
		takeTypes(t, p.addr, want)
		hasKeys(t, p.addr)
		loadTypes(t, p.addr, 20, 5)
	}
}

// takeTypes checks the collections and removes them.
func takeTypes(t *testing.T, addr, want string) {
	t.Helper()
	sameTypes(t, addr, showTypes(t, addr), want)
	doAll(t, typesConn(t, addr), []string{"FLUSHDB"})
}

// refusedDumps: nothing is written of a file that is damaged or not a dump.
func refusedDumps(t *testing.T, p *process) {
	t.Helper()
	data, err := os.ReadFile(stringsDump)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.rdb")
	flipped := bytes.Clone(data)
	flipped[len(data)/2] ^= 4
	for _, content := range [][]byte{flipped, data[:len(data)-1], data[:len(data)/3], data[:12], nil, []byte("no dump, but long enough to be one")} {
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run("import", "--addr", p.addr, bad); err == nil || !strings.Contains(out, "nothing was written") {
			t.Errorf("a bad file of %d bytes: %v, %s", len(content), err, out)
		}
	}
	if n := p.mustDo("DBSIZE"); n != 0 {
		t.Errorf("%v keys were written", n)
	}
}

// TestExport loads what is exported into another server, and into a redis-server with redis-cli where
// there are such.
func TestExport(t *testing.T) {
	from, to := newProcess(t, 1), newProcess(t, 1)
	from.start()
	to.start()
	loadKeys(t, from.addr)
	loadTypes(t, from.addr, 1200, 30)
	want := showTypes(t, from.addr)
	file := filepath.Join(t.TempDir(), "keys")
	mustRun(t, "export", "--addr", from.addr, "--out", file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	loadInto(t, to.addr, data)
	takeTypes(t, to.addr, want)
	hasKeys(t, to.addr)
	if out := mustRun(t, "export", "--addr", from.addr, "--db", "3", "--out", file); !strings.Contains(out, "301 keys written") {
		t.Error(out)
	}
	if addr, ok := startRedis(t, t.TempDir()); ok {
		pipeInto(t, addr, data)
		pipeInto(t, addr, data) // once more: nothing is there twice
		takeTypes(t, addr, want)
		hasKeys(t, addr)
	}
	mustRun(t, "export", "--addr", from.addr, "--dump", "--out", file)
	if data, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	to.mustDo("FLUSHALL")
	loadInto(t, to.addr, data)
	takeTypes(t, to.addr, want)
	hasKeys(t, to.addr)
}

// loadInto sends commands to a server that must take them all.
func loadInto(t *testing.T, addr string, data []byte) {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(append(data, encode("ECHO", "the end")...))
		sent <- err
	}()
	for reply := any("OK"); reply != "the end"; {
		if reply, err = c.receive(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// pipeInto loads commands into a redis-server as its users do.
func pipeInto(t *testing.T, addr string, data []byte) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	cli := exec.Command("redis-cli", "-p", port, "--pipe")
	cli.Stdin = bytes.NewReader(data)
	if out, err := cli.CombinedOutput(); err != nil || !strings.Contains(string(out), "errors: 0") {
		t.Fatalf("redis-cli --pipe: %v\n%s", err, out)
	}
}
