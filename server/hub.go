package server

import (
	"strings"
	"sync"
	"sync/atomic"

	"redoubt/command"
	"redoubt/resp"
)

// The kinds of subscriptions. Shard channels are names of their own, and no pattern matches them.
const (
	toChannels = iota
	toPatterns
	toShards
	subscriptionKinds
)

// hub knows who wants which messages. A subscriber is a session whose replies and messages all go
// through the queue of its output, so that publishing waits for nobody.
type hub struct {
	mu    sync.Mutex
	names [subscriptionKinds]map[string]map[*session]bool
	sizes [subscriptionKinds]atomic.Int64 // of names
}

func newHub() *hub {
	h := &hub{}
	for kind := range h.names {
		h.names[kind] = map[string]map[*session]bool{}
	}
	return h
}

// publish sends a message to everyone here who wants it, and returns how many that are. As in Redis, who
// subscribed to the channel and to patterns that match it gets it several times.
func (h *hub) publish(channel, message string) (receivers int) {
	if h.sizes[toChannels].Load()+h.sizes[toPatterns].Load() == 0 {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	receivers = tell(h.names[toChannels][channel], "message", channel, message)
	for pattern, who := range h.names[toPatterns] {
		if command.Match([]byte(pattern), []byte(channel), false) {
			receivers += tell(who, "pmessage", pattern, channel, message)
		}
	}
	return receivers
}

// publishShard is publish for a shard channel.
func (h *hub) publishShard(channel, message string) (receivers int) {
	if h.sizes[toShards].Load() == 0 {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return tell(h.names[toShards][channel], "smessage", channel, message)
}

// tell pushes these words, whose bytes are made once for each protocol.
func tell(who map[*session]bool, words ...string) int {
	var push resp.Reply
	var encoded [2][]byte
	for s := range who {
		proto := s.proto.Load()
		bytes := &encoded[proto-2]
		if *bytes == nil {
			if push.Kind == resp.None {
				push = resp.NewPush(resp.BulkArray(words).Elems)
			}
			*bytes = push.Append(nil, int(proto))
		}
		s.guard.push(*bytes)
	}
	return len(who)
}

// add makes a subscription; mu is held. It is false when there was one.
func (h *hub) add(kind int, name string, s *session) bool {
	who := h.names[kind][name]
	switch {
	case who == nil:
		h.names[kind][name] = map[*session]bool{s: true}
		h.sizes[kind].Add(1)
	case who[s]:
		return false
	default:
		who[s] = true
	}
	return true
}

// remove ends one that there is; mu is held.
func (h *hub) remove(kind int, name string, s *session) {
	who := h.names[kind][name]
	if delete(who, s); len(who) == 0 {
		delete(h.names[kind], name)
		h.sizes[kind].Add(-1)
	}
}

// count returns how many names have subscribers.
func (h *hub) count(kind int) int64 { return h.sizes[kind].Load() }

// list returns the names that match a pattern and have subscribers.
func (h *hub) list(kind int, pattern []byte) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := []string{}
	for name := range h.names[kind] {
		if pattern == nil || command.Match(pattern, []byte(name), false) {
			found = append(found, name)
		}
	}
	return found
}

// subscribers counts those of a name.
func (h *hub) subscribers(kind int, name string) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(len(h.names[kind][name]))
}

// sentinelEvents are the channels of the Sentinel face, those included that other Sentinels have.
var sentinelEvents = []string{"+switch-master", "+slave", "-slave", "+sentinel", "-sentinel", "+sdown", "-sdown", "+odown", "-odown",
	"+slave-reconf-sent", "+slave-reconf-inprog", "+slave-reconf-done", "+convert-to-slave", "+role-change", "-role-change",
	"+failover-state-select-slave", "+failover-end", "+failover-end-for-timeout", "+try-failover", "+elected-leader",
	"+new-epoch", "+config-update-from", "+reset-master", "+reboot", "-failover-abort-no-good-slave", "+tilt", "-tilt",
	"+monitor", "-monitor", "fix-slave-config", "failover-end", "__sentinel__:hello"}

// isSentinelName says whether a subscription is to the Sentinel face and to nothing that clients publish: these tell of
// failures, and have to outlast them. A pattern has to begin as the events do.
func isSentinelName(kind int, name string) bool {
	if kind == toShards || name == "" || kind == toPatterns && !strings.ContainsRune("+-[", rune(name[0])) {
		return false
	}
	for _, event := range sentinelEvents {
		if name == event || kind == toPatterns && command.Match([]byte(name), []byte(event), false) {
			return true
		}
	}
	return false
}
