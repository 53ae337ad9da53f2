package cluster_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestMigrate moves keys from one cluster to another one, while a client changes one of them all the time.
func TestMigrate(t *testing.T) {
	source, target := newProcess(t, 1), newProcess(t, 1)
	source.start()
	target.start()
	from, err := dial(source.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer from.close()
	to, err := dial(target.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer to.close()
	host, port, _ := net.SplitHostPort(target.addr)
	expect := func(c *conn, want string, words ...string) {
		t.Helper()
		if got, err := c.do(words...); err != nil && !strings.HasPrefix(err.Error(), want) || err == nil && fmt.Sprint(got) != want {
			t.Fatalf("%.100q: %v %v, want %s", words, got, err, want)
		}
	}
	migrate := func(want string, words ...string) {
		t.Helper()
		expect(from, want, append([]string{"MIGRATE", host, port}, words...)...)
	}
	expect(from, "OK", "SET", "text", strings.Repeat("text", 100_000))
	expect(from, "OK", "SET", "number", "17", "PX", "10000000")
	expect(from, "2", "HSET", "hash", "a", "1", "b", "2")
	migrate("NOKEY", "none", "0", "1000")
	migrate("OK", "", "3", "1000", "COPY", "KEYS", "text", "number", "none", "hash")
	expect(from, "3", "EXISTS", "text", "number", "hash")
	migrate("ERR Target instance replied with error: BUSYKEY", "number", "3", "1000")
	expect(from, "1", "EXISTS", "number")
	migrate("OK", "", "3", "1000", "REPLACE", "KEYS", "text", "number", "none", "hash")
	expect(from, "0", "EXISTS", "text", "number", "hash")
	expect(to, "OK", "SELECT", "3")
	expect(to, "400000", "STRLEN", "text")
	expect(to, "2", "HGET", "hash", "b")
	expect(to, "17", "GET", "number")
	expect(to, "1", "PERSIST", "number")
	migrateBusy(t, source.addr, from, to, host, port)
}

// migrateBusy moves a key to which a client appends all the while, again and again. No byte may be lost or be there twice.
func migrateBusy(t *testing.T, addr string, from, to *conn, host, port string) {
	t.Helper()
	busy, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.close()
	stop, added := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				added <- n
				return
			default:
			}
			if _, err := busy.do("APPEND", "busy", "x"); err != nil {
				t.Error(err)
			}
		}
	}()
	moved := 0
	for range 50 {
		reply, err := from.do("MIGRATE", host, port, "busy", "3", "1000")
		if err == nil && fmt.Sprint(reply) == "OK" {
			moved += length(t, to, "busy")
		}
		// After TRYAGAIN the key is still at the source, and what the target has of it does not count.
		if _, err := to.do("DEL", "busy"); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if n, left := <-added, length(t, from, "busy"); moved+left != n {
		t.Errorf("%d of %d appended bytes are left, and %d were moved", left, n, moved)
	}
}

// length is STRLEN of a key.
func length(t *testing.T, c *conn, key string) (n int) {
	t.Helper()
	reply, err := c.do("STRLEN", key)
	if err == nil {
		_, err = fmt.Sscan(fmt.Sprint(reply), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
