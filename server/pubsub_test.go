package server

import (
	"fmt"
	"strings"
	"testing"

	"redoubt/command"
	"redoubt/fsm"
)

// subscribed is the confirmation of a subscription in RESP2.
func subscribed(word, name string, count int) string {
	return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n", len(word), word, len(name), name, count)
}

// message is what a subscriber of a channel gets in RESP2.
func message(word, channel, text string) string {
	return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(word), word, len(channel), channel, len(text), text)
}

func TestSubscriptions(t *testing.T) {
	s := startServer(t, Config{})
	c, three := s.dial(t), s.dial(t)
	c.send(request("UNSUBSCRIBE") + request("SUBSCRIBE", "a", "a", "b") + request("PSUBSCRIBE", "[ab]*"))
	c.want("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n" +
		"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n" +
		"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$10\r\npsubscribe\r\n$5\r\n[ab]*\r\n:3\r\n")
	three.call("HELLO", "3")
	three.send(request("SUBSCRIBE", "a"))
	three.want(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	if n := s.hub.publish("a", "hello"); n != 3 {
		t.Errorf("%d receivers, want 3", n)
	}
	c.want("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n*4\r\n$8\r\npmessage\r\n$5\r\n[ab]*\r\n$1\r\na\r\n$5\r\nhello\r\n")
	three.want(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n")
	c.send(request("GET", "x") + request("PING") + request("PING", "y"))
	c.want("-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed " +
		"in this context\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n*2\r\n$4\r\npong\r\n$1\r\ny\r\n")
	three.send(request("GET", "x"))
	three.want("_\r\n")
	c.send(request("RESET") + request("PING"))
	c.want("+RESET\r\n+PONG\r\n")
	three.Close()
	eventually(t, "the hub forgets who is gone", func() bool {
		return s.hub.count(toChannels)+s.hub.count(toPatterns) == 0
	})
}

// A subscriber that reads nothing holds up nobody, and is disconnected once it is behind its limit.
func TestSlowSubscriberIsDropped(t *testing.T) {
	for _, limit := range []string{"pubsub 0 0 0 pubsub 20mb 0 0", "pubsub 0 2mb 0"} {
		s := startServer(t, Config{})
		c, admin := s.dial(t), s.dial(t)
		if got := admin.call("CONFIG", "SET", "client-output-buffer-limit", limit); got != "+OK\r\n" {
			t.Fatal(got)
		}
		c.send(request("SUBSCRIBE", "a"))
		c.want(subscribed("subscribe", "a", 1))
		text := strings.Repeat("x", 1<<20)
		eventually(t, "the subscriber is dropped", func() bool { return s.hub.publish("a", text) == 0 })
	}
}

func TestBufferLimits(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	get := func() string {
		parts := strings.Split(c.call("CONFIG", "GET", "client-output-buffer-limit"), "\r\n")
		return parts[len(parts)-2]
	}
	if got := get(); got != "normal 268435456 0 0 slave 0 0 0 pubsub 33554432 8388608 60" {
		t.Errorf("the limits are %q", got)
	}
	for value, want := range map[string]string{
		"PubSub 1mb 2k 3":                     "",
		"pubsub 1mb 2k 3 replica 0 0 0":       "",
		"pubsub 1 2":                          errLimitWords.Error(),
		"":                                    errLimitWords.Error(),
		"other 1 2 3":                         errLimitClass.Error(),
		"pubsub x 2 3":                        errLimitValue.Error(),
		"pubsub 1 2 -3":                       errLimitValue.Error(),
		"normal 1 0 0":                        errFixed.Error(),
		"normal 256mb 0 0 pubsub 32mb 8mb 60": "",
	} {
		got := c.call("CONFIG", "SET", "client-output-buffer-limit", value)
		if want == "" && got != "+OK\r\n" || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	c.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 2k 3")
	if got := get(); got != "normal 268435456 0 0 slave 0 0 0 pubsub 1048576 2000 3" {
		t.Errorf("the limits are %q", got)
	}
}

// What is published goes to the subscribers here and to the other nodes, and what comes from them to those here.
func TestPublish(t *testing.T) {
	s := startServer(t, Config{})
	c, sub := s.dial(t), s.dial(t)
	sub.send(request("SUBSCRIBE", "a") + request("SSUBSCRIBE", "a", "b") + request("PSUBSCRIBE", "*"))
	sub.want(subscribed("subscribe", "a", 1) + subscribed("ssubscribe", "a", 1) + subscribed("ssubscribe", "b", 2) +
		subscribed("psubscribe", "*", 2))
	pmessage := "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\n1\r\n"
	if got := c.call("PUBLISH", "a", "1"); got != ":2\r\n" {
		t.Errorf("PUBLISH answers %q", got)
	}
	sub.want(message("message", "a", "1") + pmessage)
	if got := c.call("SPUBLISH", "b", "2"); got != ":1\r\n" {
		t.Errorf("SPUBLISH answers %q", got)
	}
	sub.want(message("smessage", "b", "2"))
	var sent [][]byte
	var a command.Audience
	s.engine.set(func(*command.Status) { sent, a = s.engine.sent, s.engine.audience })
	if len(sent) != 2 {
		t.Fatalf("%d messages were broadcast", len(sent))
	}
	a.Heard(2, append(sent, nil, []byte{9}, []byte{1, 200}, []byte{1, 5, 'a'}))
	sub.want(message("message", "a", "1") + pmessage + message("smessage", "b", "2"))
	for call, want := range map[string]string{
		"PUBSUB CHANNELS": "*1\r\n$1\r\na\r\n", "PUBSUB CHANNELS x*": "*0\r\n", "PUBSUB NUMPAT": ":1\r\n",
		"PUBSUB NUMSUB": "*0\r\n", "PUBSUB NUMSUB a b": "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n",
		"PUBSUB SHARDCHANNELS b": "*1\r\n$1\r\nb\r\n", "PUBSUB SHARDNUMSUB a": "*2\r\n$1\r\na\r\n:1\r\n",
		"PUBSUB CHANNELS a b": "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.\r\n",
	} {
		if got := c.call(strings.Fields(call)...); got != want {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
	if list := c.call("CLIENT", "LIST", "TYPE", "pubsub"); !strings.Contains(list, "flags=P ") || !strings.Contains(list, "sub=1 psub=1 ssub=2 ") {
		t.Errorf("CLIENT LIST shows %q", list)
	}
	if info := c.call("INFO", "stats"); !strings.Contains(info, "pubsub_channels:1\r\npubsub_patterns:1\r\npubsubshard_channels:2\r\n") {
		t.Errorf("INFO shows %q", info)
	}
	sub.send(request("SUNSUBSCRIBE") + request("UNSUBSCRIBE", "a") + request("PUNSUBSCRIBE") + request("GET", "x"))
	sub.want(subscribed("sunsubscribe", "a", 1) + subscribed("sunsubscribe", "b", 0) + subscribed("unsubscribe", "a", 1) +
		subscribed("punsubscribe", "*", 0) + "$-1\r\n")
}

// Who may have missed a message is disconnected; who listens to the Sentinel face alone is not.
func TestCutOff(t *testing.T) {
	for name, lose := range map[string]func(s *testServer){
		"a gap":      func(s *testServer) { audience{s.Server}.Lost(2) },
		"a snapshot": func(s *testServer) { effects{s.Server}.Skipped() },
	} {
		s := startServer(t, Config{})
		sentinel, user, shard, other := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
		sentinel.send(request("SUBSCRIBE", "+switch-master") + request("PSUBSCRIBE", "[-+]sdown"))
		sentinel.want(subscribed("subscribe", "+switch-master", 1) + subscribed("psubscribe", "[-+]sdown", 2))
		user.send(request("SUBSCRIBE", "+switch-master", "a") + request("UNSUBSCRIBE", "+switch-master"))
		user.want(subscribed("subscribe", "+switch-master", 1) + subscribed("subscribe", "a", 2) +
			subscribed("unsubscribe", "+switch-master", 1))
		shard.send(request("SSUBSCRIBE", "+sdown"))
		shard.want(subscribed("ssubscribe", "+sdown", 1))
		other.send(request("SUBSCRIBE", "a") + request("UNSUBSCRIBE"))
		other.want(subscribed("subscribe", "a", 1) + subscribed("unsubscribe", "a", 0))
		lose(s)
		user.wantClosed()
		shard.wantClosed()
		sentinel.send(request("PING"))
		sentinel.want("*2\r\n$4\r\npong\r\n$0\r\n\r\n")
		if got := other.call("PING"); got != "+PONG\r\n" {
			t.Errorf("%s: who has no subscriptions any more gets %q", name, got)
		}
	}
}

// Without a leader nobody can subscribe but to the Sentinel face, or publish: this node may be cut off. Who wanted to
// subscribe is disconnected, too.
func TestPubSubWithoutLeader(t *testing.T) {
	s := startServer(t, Config{})
	s.engine.set(func(st *command.Status) { st.Leader = 0 })
	for _, call := range []string{"SUBSCRIBE a", "PSUBSCRIBE *", "SSUBSCRIBE +sdown", "SUBSCRIBE +sdown a", "PUBLISH a b", "SPUBLISH a b"} {
		c := s.dial(t)
		if got := c.call(strings.Fields(call)...); !strings.HasPrefix(got, "-CLUSTERDOWN ") {
			t.Errorf("%s: %q", call, got)
		}
		if strings.Contains(call, "SUBSCRIBE") {
			c.wantClosed()
		} else if got := c.call("PING"); got != "+PONG\r\n" {
			t.Errorf("after %s: %q", call, got)
		}
	}
	c := s.dial(t)
	c.send(request("SUBSCRIBE", "+sdown") + request("UNSUBSCRIBE", "a"))
	c.want(subscribed("subscribe", "+sdown", 1) + subscribed("unsubscribe", "a", 1))
	if len(s.engine.sent) > 0 {
		t.Error("something was broadcast")
	}
}

// While there is no leader, subscribing and publishing wait for one, as other commands do.
func TestPubSubWaitsForLeader(t *testing.T) {
	s := startServer(t, Config{})
	c, other := s.dial(t), s.dial(t)
	leader := s.engine.View().Leader
	s.engine.asked = func() { s.engine.set(func(st *command.Status) { st.Leader = leader }) }
	s.engine.set(func(st *command.Status) { st.Leader = 0 })
	c.send(request("SUBSCRIBE", "a"))
	c.want(subscribed("subscribe", "a", 1))
	s.engine.set(func(st *command.Status) { st.Leader = 0 })
	if got := other.call("PUBLISH", "a", "b"); got != ":1\r\n" {
		t.Errorf("PUBLISH: %q", got)
	}
	if s.engine.View().Leader != leader {
		t.Error("nobody asked for the leader")
	}
}

// What the log tells reaches subscribers, and nothing is collected when there are none.
func TestEffectsReachSubscribers(t *testing.T) {
	s := startServer(t, Config{})
	o := effects{s.Server}
	if o.Wants().Messages {
		t.Error("messages are wanted that nobody waits for")
	}
	c := s.dial(t)
	c.send(request("SUBSCRIBE", "__keyevent@0__:set"))
	c.want(subscribed("subscribe", "__keyevent@0__:set", 1))
	if !o.Wants().Messages {
		t.Error("no messages are wanted")
	}
	o.Applied(&fsm.Effects{Messages: []fsm.Message{{Channel: []byte("__keyevent@0__:set"), Text: []byte("k")}}})
	c.want(message("message", "__keyevent@0__:set", "k"))
	c.send(request("UNSUBSCRIBE") + request("SSUBSCRIBE", "ch"))
	c.want(subscribed("unsubscribe", "__keyevent@0__:set", 0) + subscribed("ssubscribe", "ch", 1))
	if !o.Wants().Messages {
		t.Error("no messages of shard channels are wanted")
	}
	o.Applied(&fsm.Effects{Messages: []fsm.Message{{Channel: []byte("ch"), Text: []byte("x")},
		{Channel: []byte("ch"), Text: []byte("y"), Shard: true}}})
	c.want(message("smessage", "ch", "y"))
}

// Messages that a subscriber's own calls cause come after the replies.
func TestOwnMessagesComeAfterReplies(t *testing.T) {
	s := startServer(t, Config{})
	c := s.dial(t)
	c.send(request("HELLO", "3"))
	c.reply()
	c.send(request("SUBSCRIBE", "ch"))
	c.want(">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
	message := func(text string) string { return ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\n" + text + "\r\n" }
	c.send(request("PUBLISH", "ch", "a"))
	c.want(":1\r\n" + message("a"))
	c.send(request("PING") + request("PUBLISH", "ch", "a") + request("PING"))
	c.want("+PONG\r\n:1\r\n+PONG\r\n" + message("a"))
	c.send(request("MULTI") + request("PUBLISH", "ch", "a") + request("PUBLISH", "ch", "b") + request("PING") + request("EXEC"))
	c.want("+OK\r\n" + strings.Repeat(queuedLine, 3) + "*3\r\n:1\r\n:1\r\n+PONG\r\n" + message("a") + message("b"))
	other := s.dial(t)
	other.call("PUBLISH", "ch", "c") // nothing is held any more
	c.want(message("c"))
	c.send(request("PUBLISH", "ch", "d") + request("QUIT"))
	c.want(":1\r\n+OK\r\n")
}
