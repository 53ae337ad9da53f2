package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"redoubt/fsm"
)

// tracker3 is a client with RESP3.
func tracker3(t *testing.T, s *testServer, options ...string) *client {
	t.Helper()
	c := s.dial(t)
	c.call("HELLO", "3")
	c.send(request(append([]string{"CLIENT", "TRACKING", "ON"}, options...)...))
	c.want("+OK\r\n")
	return c
}

func invalidated(keys ...string) string {
	return ">2\r\n$10\r\ninvalidate\r\n" + string(appendRequest(nil, bytesOf(keys)))
}

const invalidatedAll = ">2\r\n$10\r\ninvalidate\r\n_\r\n"

func bytesOf(words []string) (all [][]byte) {
	for _, w := range words {
		all = append(all, []byte(w))
	}
	return all
}

// silent checks that nothing was sent to the client before it asks for something.
func (c *client) silent() {
	c.t.Helper()
	c.send(request("PING"))
	c.want("+PONG\r\n")
}

func TestTrackingRefusals(t *testing.T) {
	c := startServer(t, Config{}).dial(t)
	for _, step := range []struct{ call, want string }{
		{"CLIENT TRACKING", "-ERR wrong number of arguments for 'client|tracking' command\r\n"},
		{"CLIENT TRACKING MAYBE", "-ERR syntax error\r\n"},
		{"CLIENT TRACKING ON REDIRECT", "-ERR syntax error\r\n"},
		{"CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range\r\n"},
		{"CLIENT TRACKING ON REDIRECT 99", "-ERR The client ID you want redirect to does not exist\r\n"},
		{"CLIENT TRACKING ON REDIRECT 1 REDIRECT 1", "-ERR A client can only redirect to a single other client\r\n"},
		{"CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled\r\n"},
		{"CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n"},
		{"CLIENT TRACKING ON OPTOUT OPTIN", "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n"},
		{"CLIENT TRACKING ON BCAST PREFIX ab PREFIX a",
			"-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not overlap.\r\n"},
		{"CLIENT CACHING YES", "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n"},
		{"CLIENT GETREDIR", ":-1\r\n"},
		{"CLIENT TRACKING ON OPTIN", "+OK\r\n"},
		{"CLIENT TRACKING ON BCAST", "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, " +
			"and then re-enabling it with a different mode.\r\n"},
		{"CLIENT TRACKING ON OPTOUT", "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, " +
			"and then re-enabling it with a different mode.\r\n"},
		{"CLIENT CACHING NO", "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n"},
		{"CLIENT CACHING x", "-ERR syntax error\r\n"},
		{"CLIENT CACHING YES", "+OK\r\n"},
		{"CLIENT TRACKINGINFO", "*6\r\n$5\r\nflags\r\n*3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n" +
			"$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*0\r\n"},
		{"CLIENT TRACKING OFF", "+OK\r\n"},
		{"CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar NOLOOP", "+OK\r\n"},
		{"CLIENT TRACKING ON BCAST PREFIX fo",
			"-ERR Prefix 'fo' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.\r\n"},
		{"CLIENT TRACKINGINFO", "*6\r\n$5\r\nflags\r\n*3\r\n$2\r\non\r\n$5\r\nbcast\r\n$6\r\nnoloop\r\n" +
			"$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*2\r\n$3\r\nbar\r\n$3\r\nfoo\r\n"},
		{"RESET", "+RESET\r\n"},
		{"CLIENT GETREDIR", ":-1\r\n"},
	} {
		c.send(request(strings.Fields(step.call)...))
		c.want(step.want)
	}
}

func TestTrackingInvalidates(t *testing.T) {
	s := startServer(t, Config{})
	c, other := tracker3(t, s), s.dial(t)
	other.call("SET", "a", "1")
	c.silent() // it never read the key
	c.call("GET", "a")
	other.call("SET", "b", "1")
	other.call("SET", "a", "2")
	c.want(invalidated("a"))
	other.call("SET", "a", "3") // nobody was told of the second value
	c.silent()
	c.call("GET", "a")
	c.send(request("SET", "a", "4")) // its own change follows the reply
	c.want("+OK\r\n" + invalidated("a"))
	c.call("GET", "a")
	other.call("FLUSHALL")
	c.want(invalidatedAll)
	c.send(request("FLUSHALL"))
	c.want("+OK\r\n" + invalidatedAll)
	c.call("GET", "a")
	c.call("CLIENT", "TRACKING", "OFF")
	other.call("SET", "a", "5")
	c.silent()
	if n := s.tracking.on.Load(); n != 0 {
		t.Error(n, "clients track")
	}
}

func TestTrackingModes(t *testing.T) {
	s := startServer(t, Config{})
	other := s.dial(t)
	in, out, quiet := tracker3(t, s, "OPTIN"), tracker3(t, s, "OPTOUT"), tracker3(t, s, "NOLOOP")
	in.call("GET", "a")
	in.call("CLIENT", "CACHING", "YES")
	in.call("CLIENT", "ID") // is no call that the word was meant for
	in.send(request("GET", "b") + request("GET", "c"))
	in.reply()
	in.reply()
	out.send(request("GET", "a") + request("CLIENT", "CACHING", "NO") + request("GET", "b") + request("GET", "c"))
	for range 4 {
		out.reply()
	}
	quiet.call("GET", "a")
	quiet.call("SET", "a", "x")
	quiet.silent()
	for _, key := range []string{"a", "b", "c"} {
		other.call("SET", key, "1")
	}
	in.want(invalidated("b"))
	in.silent()
	out.want(invalidated("a") + invalidated("c"))
	out.silent()
	quiet.want(invalidated("a"))
	quiet.silent()
}

// What a transaction reads is kept if CLIENT CACHING came before it or is one of its calls.
func TestTrackingCachingInTransaction(t *testing.T) {
	s := startServer(t, Config{})
	other, in := s.dial(t), tracker3(t, s, "OPTIN")
	in.send(request("MULTI") + request("GET", "a") + request("CLIENT", "CACHING", "YES") + request("GET", "b") + request("EXEC") +
		request("GET", "c"))
	in.want("+OK\r\n" + strings.Repeat(queuedLine, 3) + "*3\r\n_\r\n+OK\r\n_\r\n_\r\n")
	for _, key := range []string{"a", "b", "c"} {
		other.call("SET", key, "1")
	}
	in.want(invalidated("a") + invalidated("b"))
	in.silent()
}

func TestTrackingPrefixes(t *testing.T) {
	s := startServer(t, Config{})
	other := s.dial(t)
	all := tracker3(t, s, "BCAST")
	some := tracker3(t, s, "BCAST", "PREFIX", "x:", "PREFIX", "a:")
	quiet := tracker3(t, s, "BCAST", "NOLOOP")
	write := request("SET", "x:2", "1") + request("SET", "b", "1") + request("SET", "x:1", "1") + request("SET", "a:1", "1")
	other.send(write)
	all.want(invalidated("a:1", "b", "x:1", "x:2"))
	some.want(invalidated("a:1") + invalidated("x:1", "x:2"))
	quiet.want(invalidated("a:1", "b", "x:1", "x:2"))
	some.send(write)
	some.want("+OK\r\n+OK\r\n+OK\r\n+OK\r\n" + invalidated("a:1") + invalidated("x:1", "x:2"))
	quiet.want(invalidated("a:1", "b", "x:1", "x:2"))
	quiet.send(write)
	quiet.want("+OK\r\n+OK\r\n+OK\r\n+OK\r\n")
	quiet.silent()
}

func TestTrackingRedirect(t *testing.T) {
	s := startServer(t, Config{})
	other, plain, sink, sink3 := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	sink3.call("HELLO", "3")
	id := func(c *client) string { return strings.TrimSpace(c.call("CLIENT", "ID")[1:]) }
	sinkID, sink3ID := id(sink), id(sink3)
	sink.call("SUBSCRIBE", "__redis__:invalidate")
	plain.call("CLIENT", "TRACKING", "ON", "REDIRECT", sinkID)
	plain.call("GET", "a")
	other.call("SET", "a", "1")
	sink.want("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n")
	if list := other.call("CLIENT", "LIST", "ID", id(plain)); !strings.Contains(list, "flags=t ") || !strings.Contains(list, " redir="+sinkID+" ") {
		t.Error(list)
	}
	plain.call("CLIENT", "TRACKING", "ON", "REDIRECT", sink3ID)
	plain.call("GET", "a")
	other.call("SET", "a", "1")
	sink3.want(invalidated("a"))
	plain.silent()
	plain.call("GET", "a")
	sink3.call("QUIT")
	plain.call("HELLO", "3")
	other.call("SET", "a", "2")
	plain.want(">2\r\n$21\r\ntracking-redir-broken\r\n:" + sink3ID + "\r\n")
	if list := other.call("CLIENT", "LIST", "ID", id(plain)); !strings.Contains(list, "flags=tR ") {
		t.Error(list)
	}
}

// A change that comes between the read and its reply must be told after the reply: told before, it would be of no use.
func TestTrackingChangeBeforeReply(t *testing.T) {
	for _, options := range [][]string{nil, {"BCAST"}, {"OPTOUT", "NOLOOP"}} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			s := startServer(t, Config{})
			c := tracker3(t, s, options...)
			s.engine.hold, s.engine.entered = make(chan struct{}), make(chan struct{})
			c.send(request("GET", "a") + request("GET", "b"))
			<-s.engine.entered
			s.engine.observer.Applied(&fsm.Effects{Changed: []fsm.Changed{{Key: []byte("a")}}})
			s.engine.observer.Skipped()
			close(s.engine.hold)
			if options != nil && options[0] == "BCAST" { // nobody knows whether it had the key
				c.want(invalidated("a"))
			}
			c.want(invalidatedAll + "_\r\n_\r\n" + invalidated("a") + invalidatedAll)
		})
	}
}

// What a client had before is invalidated at once, too: the reply may be long in coming.
func TestTrackingChangeOfCachedBeforeReply(t *testing.T) {
	s := startServer(t, Config{})
	c := tracker3(t, s)
	c.call("GET", "a")
	s.engine.hold, s.engine.entered = make(chan struct{}), make(chan struct{})
	c.send(request("GET", "a"))
	<-s.engine.entered
	s.engine.observer.Applied(&fsm.Effects{Changed: []fsm.Changed{{Key: []byte("a")}}})
	c.want(invalidated("a"))
	close(s.engine.hold)
	c.want("_\r\n" + invalidated("a"))
}

// While the node is cut off nothing can be kept.
func TestTrackingCutOff(t *testing.T) {
	s := startServer(t, Config{TrackingMaxLag: time.Second})
	c := tracker3(t, s)
	c.call("GET", "a")
	s.engine.staleness.Store(int64(2 * time.Second))
	c.want(invalidatedAll)
	c.send(request("GET", "a"))
	c.want("_\r\n" + invalidated("a"))
	s.engine.staleness.Store(0)
	c.want(invalidatedAll)
	c.send(request("GET", "a"))
	c.want("_\r\n")
	s.engine.staleness.Store(-1)
	c.want(invalidatedAll)
}

func TestTrackingTableIsBounded(t *testing.T) {
	s := startServer(t, Config{})
	c := tracker3(t, s)
	for i := range 50 {
		c.call("GET", fmt.Sprint("k", i))
	}
	if keys, items, _ := s.tracking.counts(); keys != 50 || items != 50 {
		t.Fatal(keys, "keys,", items, "items")
	}
	c.send(request("CONFIG", "SET", "tracking-table-max-keys", "20"))
	for range 30 {
		if got := c.reply(); !strings.HasPrefix(got, ">2\r\n$10\r\ninvalidate") {
			t.Fatalf("got %q", got)
		}
	}
	c.want("+OK\r\n")
	c.silent()
	if keys, items, _ := s.tracking.counts(); keys != 20 || items != 20 {
		t.Fatal(keys, "keys,", items, "items")
	}
}

func TestTrackingManyHolders(t *testing.T) {
	s := startServer(t, Config{})
	var all []*client
	for range 3 * fewHolders {
		c := tracker3(t, s)
		c.call("GET", "a")
		c.call("GET", "a")
		all = append(all, c)
	}
	if keys, items, _ := s.tracking.counts(); keys != 1 || items != len(all) {
		t.Fatal(keys, "keys,", items, "items")
	}
	s.dial(t).call("SET", "a", "1")
	for _, c := range all {
		c.want(invalidated("a"))
		c.silent()
	}
	if keys, items, _ := s.tracking.counts(); keys != 0 || items != 0 {
		t.Fatal(keys, "keys,", items, "items")
	}
}

// Those who have gone do not fill the table.
func TestHoldersForgetTheGone(t *testing.T) {
	h, alive := holders{}, map[int64]*tracker{1: {}}
	for id := range int64(10000) {
		h.add(id, alive)
	}
	if h.len() > 4*fewHolders {
		t.Error(h.len(), "holders")
	}
	if h.add(1, alive) {
		t.Error("one that is alive was forgotten")
	}
}
