package server

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/command"
)

var listLine = regexp.MustCompile(`^id=(\d+) addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name=\S* ` +
	`age=\d+ idle=\d+ flags=\w+ db=\d+ sub=0 psub=0 ssub=0 multi=-1 qbuf=\d+ qbuf-free=\d+ ` +
	`argv-mem=\d+ multi-mem=\d+ rbs=\d+ rbp=\d+ obl=\d+ oll=\d+ omem=\d+ tot-mem=\d+ events=rw? ` +
	`cmd=\S+ user=default redir=-1 resp=[23] lib-name=\S* lib-ver=\S*$`)

// lines returns the lines of a bulk string.
func lines(reply string) []string {
	_, text, _ := strings.Cut(reply, "\r\n")
	text = strings.TrimPrefix(text, "txt:") // in RESP3
	return strings.Split(strings.TrimRight(text, "\r\n"), "\n")
}

func TestClientList(t *testing.T) {
	s := startServer(t, Config{})
	first, second := s.dial(t), s.dial(t)
	first.call("CLIENT", "SETNAME", "joe")
	first.call("CLIENT", "SETINFO", "LIB-NAME", "lib")
	first.call("CLIENT", "SETINFO", "lib-ver", "1.2")
	first.call("CLIENT", "NO-EVICT", "ON")
	first.call("CLIENT", "NO-TOUCH", "on")
	first.call("SELECT", "5")
	second.call("HELLO", "3")
	first.call("GET", "a")
	list := lines(second.call("CLIENT", "LIST"))
	if len(list) != 2 {
		t.Fatalf("%q", list)
	}
	for _, line := range list {
		if !listLine.MatchString(line) {
			t.Errorf("not as Redis writes it: %s", line)
		}
	}
	for i, wants := range [][]string{
		{"name=joe", "flags=eT", "db=5", "cmd=get", "resp=2", "lib-name=lib", "lib-ver=1.2"},
		{"name= ", "flags=N", "db=0", "cmd=client|list", "resp=3"},
	} {
		for _, want := range wants {
			if !strings.Contains(list[i], want) {
				t.Errorf("line %d has no %s: %s", i, want, list[i])
			}
		}
	}
	id := strings.TrimSpace(first.call("CLIENT", "ID")[1:])
	if got := lines(second.call("CLIENT", "LIST", "ID", id, "99999")); len(got) != 1 || !strings.HasPrefix(got[0], "id="+id+" ") {
		t.Errorf("%q", got)
	}
	if got := lines(first.call("CLIENT", "INFO")); !strings.HasPrefix(got[0], "id="+id+" ") {
		t.Errorf("%q", got)
	}
	if got := lines(first.call("CLIENT", "LIST", "TYPE", "normal")); len(got) != 2 {
		t.Errorf("%q", got)
	}
	first.call("RESET")
	if got := lines(first.call("CLIENT", "INFO"))[0]; !strings.Contains(got, "name= ") ||
		!strings.Contains(got, "flags=N") || !strings.Contains(got, "db=0") {
		t.Errorf("after RESET: %q", got)
	}
}

func TestClientKill(t *testing.T) {
	s := startServer(t, Config{})
	killer := s.dial(t)
	killer.call("PING")
	for _, filter := range []func(victim *client, id string) []string{
		func(v *client, _ string) []string { return []string{v.LocalAddr().String()} },
		func(v *client, _ string) []string { return []string{"ADDR", v.LocalAddr().String()} },
		func(_ *client, id string) []string { return []string{"ID", id} },
		func(v *client, _ string) []string { return []string{"LADDR", v.RemoteAddr().String()} },
		func(_ *client, _ string) []string { return []string{"USER", "default"} },
		func(_ *client, id string) []string { return []string{"TYPE", "normal", "ID", id, "SKIPME", "no"} },
	} {
		victim := s.dial(t)
		args := filter(victim, strings.TrimSpace(victim.call("CLIENT", "ID")[1:]))
		want := ":1\r\n"
		if len(args) == 1 {
			want = "+OK\r\n"
		}
		if got := killer.call(append([]string{"CLIENT", "KILL"}, args...)...); got != want {
			t.Errorf("%q: got %q", args, got)
		}
		victim.wantClosed()
		eventually(t, "the victim is forgotten", func() bool { return s.count() == 1 })
	}
	young := s.dial(t)
	young.call("PING")
	if got := killer.call("CLIENT", "KILL", "MAXAGE", "1000"); got != ":0\r\n" {
		t.Errorf("killed the young: %q", got)
	}
	killer.send(request("CLIENT", "KILL", killer.LocalAddr().String()) + request("PING"))
	killer.want("+OK\r\n")
	killer.wantClosed()
}

// A client can be killed while the engine works for it.
func TestClientKillBusy(t *testing.T) {
	s := startServer(t, Config{})
	busy, killer := s.dial(t), s.dial(t)
	busy.send(request("DEBUG", "SLEEP", "1000") + request("PING"))
	eventually(t, "the client sleeps", func() bool { return s.stats.blocked.Load() == 1 })
	if got := killer.call("CLIENT", "KILL", "ADDR", busy.LocalAddr().String()); got != ":1\r\n" {
		t.Fatalf("got %q", got)
	}
	if b, err := busy.in.ReadByte(); err == nil {
		t.Fatalf("got %q", b)
	}
	eventually(t, "it sleeps no more", func() bool { return s.stats.blocked.Load() == 0 })
}

func TestClientPause(t *testing.T) {
	s := startServer(t, Config{})
	admin, other := s.dial(t), s.dial(t)
	admin.call("CLIENT", "PAUSE", "1000000", "WRITE")
	other.send(request("GET", "a") + request("SET", "a", "1") + request("GET", "a"))
	other.want("$-1\r\n") // reads go on
	eventually(t, "the write waits", func() bool { return s.stats.blocked.Load() == 1 })
	admin.call("CLIENT", "PAUSE", "1", "WRITE") // does not make it shorter
	if got := admin.call("GET", "a"); got != "$-1\r\n" {
		t.Fatalf("got %q", got)
	}
	admin.call("CLIENT", "UNPAUSE")
	other.want("+OK\r\n$1\r\n1\r\n")

	start := time.Now()
	admin.call("CLIENT", "PAUSE", "50")
	if got := other.call("PING"); got != "+PONG\r\n" {
		t.Fatalf("got %q", got)
	}
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("a pause of %v", took)
	}
	if got := other.call("SET", "a", "2"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
}

func TestShutdownEndsPause(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("CLIENT", "PAUSE", "1000000") + request("PING"))
	c.want("+OK\r\n")
	eventually(t, "it waits", func() bool { return s.stats.blocked.Load() == 1 })
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.wantClosed()
}

func TestHello(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	id := strings.TrimSpace(c.call("CLIENT", "ID")[1:])
	rest := "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n" + redisVersion + "\r\n$5\r\nproto\r\n:%d\r\n" +
		"$2\r\nid\r\n:" + id + "\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$%d\r\n%s\r\n$7\r\nmodules\r\n*0\r\n"
	c.send(request("HELLO"))
	c.want("*14\r\n" + fmt.Sprintf(rest, 2, 6, "master"))
	s.engine.set(func(st *command.Status) { st.Role = "follower" })
	c.send(request("HELLO", "3", "AUTH", "default", "anything", "SETNAME", "joe"))
	c.want("%7\r\n" + fmt.Sprintf(rest, 3, 7, "replica"))
	c.send(request("GET", "a") + request("CLIENT", "GETNAME") + request("CONFIG", "GET", "databases"))
	c.want("_\r\n$3\r\njoe\r\n%1\r\n$9\r\ndatabases\r\n$2\r\n16\r\n")
	c.send(request("HELLO", "2"))
	c.want("*14\r\n" + fmt.Sprintf(rest, 2, 7, "replica"))
	c.call("HELLO", "3")
	c.call("RESET")
	if got := c.call("GET", "a"); got != "$-1\r\n" {
		t.Errorf("after RESET: %q", got)
	}
}

// All the connections of a test come and go while the list of them is read.
func TestConcurrentClients(t *testing.T) {
	s := startServer(t, Config{})
	const workers = 8
	done := make(chan error, workers)
	for w := range workers {
		c := s.dial(t)
		go func() {
			for i := range 200 {
				c.send(request("SET", "k"+strconv.Itoa(w), "v") + request("CLIENT", "SETNAME", "n"+strconv.Itoa(i)) +
					request("CLIENT", "LIST") + request("INFO", "everything"))
				for range 4 {
					if got := c.reply(); got[0] == '-' {
						done <- fmt.Errorf("got %q", got)
						return
					}
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
