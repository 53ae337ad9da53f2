package cluster_test

import (
	encoding "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// typesDB is the database for collections.
const typesDB = 5

// claimedAt is when the claimed entries of its stream were delivered, in milliseconds since 1970.
const claimedAt = 1600000000000

// typesConn is a connection to it.
func typesConn(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	doAll(t, c, []string{"SELECT", fmt.Sprint(typesDB)})
	return c
}

func doAll(t *testing.T, c *conn, calls ...[]string) {
	t.Helper()
	for _, call := range calls {
		if _, err := c.do(call...); err != nil {
			t.Fatalf("%.200q: %v", call, err)
		}
	}
}

// numbered appends what each number up to n stands for to a call.
func numbered(n int, each func(i int) []string, call ...string) []string {
	for i := range n {
		call = append(call, each(i)...)
	}
	return call
}

// loadTypes makes collections of all types, small ones, and some of n elements of size bytes.
func loadTypes(t *testing.T, addr string, n, size int) {
	t.Helper()
	c := typesConn(t, addr)
	word := func(i int) string { return fmt.Sprint(incompressible(uint64(i), size), i) }
	doAll(t, c,
		[]string{"RPUSH", "list", "a", "b\x00\r\n", "12", ""},
		numbered(n, func(i int) []string { return []string{word(i)} }, "RPUSH", "list:n", incompressible(3, 20<<10)),
		[]string{"SADD", "set", "a", "7", "b"},
		[]string{"SADD", "set:ints", "30", "-7", "100000"},
		numbered(n, func(i int) []string { return []string{word(i)} }, "SADD", "set:n"),
		[]string{"ZADD", "zset", "1.5", "a", "-inf", "b", "inf", "c", "1e20", "d"},
		numbered(n, func(i int) []string { return []string{fmt.Sprint(float64(i) / 4), word(i)} }, "ZADD", "zset:n"),
		[]string{"HSET", "hash", "a", "1", "b\x00\r\n", ""},
		numbered(n, func(i int) []string { return []string{fmt.Sprint("field", i), word(i)} }, "HSET", "hash:n"),
		[]string{"PFADD", "hll", "a", "b", "c"},
		[]string{"SETBIT", "bits", "100", "1"})
	for _, key := range []string{"list:n", "set:n", "zset:n", "hash:n", "hash"} {
		doAll(t, c, []string{"PEXPIREAT", key, "4000000000000"})
	}
	for i := 1; i <= n; i++ {
		if err := c.send("XADD", "stream", fmt.Sprintf("%d-%d", i, i%3), "field", word(i), fmt.Sprint("f", i%2), "v"); err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if _, err := c.receive(); err != nil {
			t.Fatal(err)
		}
	}
	claim := func(group, consumer string, ids ...string) []string {
		return slices.Concat([]string{"XCLAIM", "stream", group, consumer, "0"}, ids,
			[]string{"TIME", fmt.Sprint(claimedAt), "RETRYCOUNT", fmt.Sprint(len(ids)), "FORCE", "JUSTID"})
	}
	doAll(t, c,
		[]string{"XDEL", "stream", "7-1", fmt.Sprintf("%d-%d", n, n%3)},
		[]string{"XGROUP", "CREATE", "stream", "first", "5-2", "ENTRIESREAD", "5"},
		[]string{"XGROUP", "CREATE", "stream", "other\r\n", "0"},
		[]string{"XGROUP", "CREATECONSUMER", "stream", "first", "idle"},
		claim("first", "one", "1-1", "2-2", "5-2"),
		claim("first", "two", "4-1"),
		claim("other\r\n", "one", "1-1"),
		[]string{"XREADGROUP", "GROUP", "other\r\n", "many", "COUNT", fmt.Sprint(n / 2), "STREAMS", "stream", ">"},
		[]string{"XADD", "empty", "5-5", "a", "b"},
		[]string{"XDEL", "empty", "5-5"},
		[]string{"XGROUP", "CREATE", "made", "g", "$", "MKSTREAM"})
}

// showTypes is all that there is in that database, as text.
func showTypes(t *testing.T, addr string) string {
	t.Helper()
	c := typesConn(t, addr)
	ask := func(words ...string) any {
		t.Helper()
		reply, err := c.do(words...)
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		return reply
	}
	var keys []string
	for _, key := range ask("KEYS", "*").([]any) {
		keys = append(keys, key.(string))
	}
	sort.Strings(keys)
	var out strings.Builder
	for _, key := range keys {
		kind := ask("TYPE", key)
		fmt.Fprintf(&out, "%s: %v until %v\n", key, kind, ask("PEXPIRETIME", key))
		switch kind {
		case "string":
			fmt.Fprintf(&out, "%q\n", ask("GET", key))
		case "list":
			fmt.Fprintf(&out, "%q\n", ask("LRANGE", key, "0", "-1"))
		case "set":
			fmt.Fprintf(&out, "%q\n", inOrder(ask("SMEMBERS", key), 1))
		case "hash":
			fmt.Fprintf(&out, "%q\n", inOrder(ask("HGETALL", key), 2))
		case "zset":
			fmt.Fprintf(&out, "%q\n", ask("ZRANGE", key, "0", "-1", "WITHSCORES"))
		case "stream":
			showStream(&out, key, ask)
		}
	}
	return out.String()
}

// inOrder sorts the items of a reply, which come in groups of so many.
func inOrder(reply any, group int) (items []string) {
	for item := range slices.Chunk(reply.([]any), group) {
		items = append(items, fmt.Sprintf("%q", item))
	}
	sort.Strings(items)
	return items
}

// showStream adds a stream with its groups. Of the time when something was delivered it tells only whether it is
// that of loadTypes' claims: a recorded dump grows older, what is loaded for it does not.
func showStream(out *strings.Builder, key string, ask func(words ...string) any) {
	fmt.Fprintf(out, "%q\n", ask("XRANGE", key, "-", "+"))
	shown := []string{"length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups", "name",
		"consumers", "pending", "last-delivered-id", "entries-read", "lag"}
	show := func(info any) {
		names := info.([]any)
		for i := 0; i+1 < len(names); i += 2 {
			if slices.Contains(shown, names[i].(string)) {
				fmt.Fprintf(out, "%s %v, ", names[i], names[i+1])
			}
		}
		fmt.Fprintln(out)
	}
	show(ask("XINFO", "STREAM", key))
	for _, info := range ask("XINFO", "GROUPS", key).([]any) {
		show(info)
		name := info.([]any)[1].(string)
		for _, consumer := range ask("XINFO", "CONSUMERS", key, name).([]any) {
			show(consumer)
		}
		for _, item := range ask("XPENDING", key, name, "-", "+", "100000").([]any) {
			p := item.([]any)
			at := "when it was read"
			delivered := time.Now().Add(-time.Duration(p[2].(int)) * time.Millisecond)
			if d := delivered.Sub(time.UnixMilli(claimedAt)); d.Abs() < time.Minute {
				at = "when it was claimed"
			}
			fmt.Fprintln(out, p[0], p[1], at, p[3])
		}
	}
}

// sameTypes compares the collections of two servers.
func sameTypes(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("%s: line %d is\n%.1000s, not\n%.1000s", what, i, a[i], b[i])
		}
	}
	t.Fatalf("%s: %d lines, not %d", what, len(a), len(b))
}

// loadedTypes is what showTypes has of a node on which they were loaded.
func loadedTypes(t *testing.T, n, size int) (string, *process) {
	t.Helper()
	p := newProcess(t, 1)
	p.start()
	loadTypes(t, p.addr, n, size)
	return showTypes(t, p.addr), p
}

// dumpFile writes the collections of a server into an RDB file, with more that such a file may have.
func dumpFile(t *testing.T, addr string, more string) string {
	t.Helper()
	c := typesConn(t, addr)
	keys, err := c.do("KEYS", "*")
	if err != nil {
		t.Fatal(err)
	}
	file := []byte("REDIS0011\xfa\x05redis\x057.2.6\xfe" + string(rune(typesDB)) + "\xfb\x40\x50\x00" + more)
	for _, key := range keys.([]any) {
		payload, err := c.do("DUMP", key.(string))
		if err != nil {
			t.Fatal(err)
		}
		at, err := c.do("PEXPIRETIME", key.(string))
		if err != nil {
			t.Fatal(err)
		}
		value := payload.(string)
		if at := at.(int); at > 0 {
			file = encoding.LittleEndian.AppendUint64(append(file, 252), uint64(at))
		}
		file = append(file, value[0], byte(len(key.(string))))
		file = append(append(file, key.(string)...), value[1:len(value)-10]...)
	}
	file = append(file, "\xff\x00\x00\x00\x00\x00\x00\x00\x00"...) // it has no checksum
	if len(file) < 5<<20 {                                         // five of a megabyte
		t.Fatalf("the file has %d bytes only", len(file))
	}
	name := filepath.Join(t.TempDir(), "types.rdb")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImportLarge imports collections that are too large to be restored as a whole.
func TestImportLarge(t *testing.T) {
	want, from := loadedTypes(t, 5000, 250)
	to := newProcess(t, 1)
	to.start()
	c := typesConn(t, to.addr)
	doAll(t, c, []string{"SET", "list:n", "goes"}, []string{"RPUSH", "list", "goes"})
	out, err := run("import", "--addr", to.addr, dumpFile(t, from.addr, "\xf5\x0eits code"+"and so"))
	if err == nil || !strings.Contains(out, "1 libraries of functions were left out") {
		t.Fatalf("%v: %s", err, out)
	}
	sameTypes(t, "imported", showTypes(t, to.addr), want)
	doAll(t, c, []string{"FLUSHALL"})
	module := "\xf7\x81\x12\x34\x56\x78\x12\x34\x56\x78\x02\x02\x05\x03abc\x00"
	out = mustRun(t, "import", "--addr", to.addr, "--skip-unknown", dumpFile(t, from.addr, module))
	if !strings.Contains(out, "1 pieces of data of modules were left out") {
		t.Error(out)
	}
	sameTypes(t, "imported again", showTypes(t, to.addr), want)
}
