package server

import (
	"redoubt/resp"
)

// notice is what clients are told: keys to drop, or everything.
type notice struct {
	keys []string
	all  bool

	push, message []byte // in RESP3, and for a subscriber with RESP2; made when they are first needed
}

func noticeOf(keys []touched, which func(touched) bool) *notice {
	n := &notice{}
	for _, k := range keys {
		if which(k) {
			n.keys = append(n.keys, k.key)
		}
	}
	return n
}

func (n *notice) body() resp.Reply {
	if n.all {
		return resp.Nil
	}
	return resp.BulkArray(n.keys)
}

func (n *notice) asPush() []byte {
	if n.push == nil {
		n.push = resp.NewPush([]resp.Reply{resp.NewBulkString("invalidate"), n.body()}).Append(nil, 3)
	}
	return n.push
}

// invalidateChannel is where subscribers with RESP2 get the notices of others.
const invalidateChannel = "__redis__:invalidate"

func (n *notice) asMessage() []byte {
	if n.message == nil {
		n.message = resp.NewPush([]resp.Reply{resp.NewBulkString("message"), resp.NewBulkString(invalidateChannel), n.body()}).Append(nil, 2)
	}
	return n.message
}

// noticesMax bounds what may wait for a client when a notice comes: its replies, and messages on top of them. Unlike one that is
// only told, a client that reads may have much on its way to it.
const noticesMax = queuedMax + 32<<20

// deliver sends a notice to a client, or to the one that gets its messages. As in Redis, there is no way to tell a client with
// RESP2 that is no subscriber.
func (t *tracking) deliver(tr *tracker, n *notice) {
	if len(n.keys) == 0 && !n.all {
		return
	}
	to := tr.session
	if tr.redirect != 0 {
		if to = t.receiver(tr); to == nil {
			return
		}
	}
	switch {
	case to.proto.Load() > 2:
		to.guard.pushWithin(n.asPush(), noticesMax, false)
	case tr.redirect != 0 && to.subs.subscribed():
		to.guard.pushWithin(n.asMessage(), noticesMax, false)
	}
}

// receiver finds the client that gets the messages of another. When it has gone, the other is told.
func (t *tracking) receiver(tr *tracker) *session {
	to := t.server.find(tr.redirect)
	if to != nil && !to.killed.Load() && !to.guard.closing.Load() && to.guard.phase.Load() != ended {
		return to
	}
	tr.broken = true
	if s := tr.session; s.proto.Load() > 2 {
		push := resp.NewPush([]resp.Reply{resp.NewBulkString("tracking-redir-broken"), resp.NewInt(tr.redirect)})
		s.guard.pushWithin(push.Append(nil, 3), noticesMax, false)
	}
	return nil
}

// holders are the clients that may have a key in their caches.
type holders struct {
	few  []int64
	many map[int64]struct{} // instead of few
	at   int                // the number at which those who have gone are looked for
}

// fewHolders is how many are looked through one by one.
const fewHolders = 16

func (h *holders) len() int { return len(h.few) + len(h.many) }

func (h *holders) each(f func(id int64)) {
	for _, id := range h.few {
		f(id)
	}
	for id := range h.many {
		f(id)
	}
}

// add notes one more client, and says whether it was new. When they become many, those that do not track any more are dropped.
func (h *holders) add(id int64, alive map[int64]*tracker) bool {
	if h.many == nil {
		for _, known := range h.few {
			if known == id {
				return false
			}
		}
		if len(h.few) < fewHolders {
			h.few = append(h.few, id)
			return true
		}
		h.many = make(map[int64]struct{}, 2*fewHolders)
		for _, known := range h.few {
			h.many[known] = struct{}{}
		}
		h.few, h.at = nil, fewHolders
	} else if _, known := h.many[id]; known {
		return false
	}
	if len(h.many) >= h.at {
		for known := range h.many {
			if alive[known] == nil {
				delete(h.many, known)
			}
		}
		h.at = 2*len(h.many) + fewHolders
	}
	h.many[id] = struct{}{}
	return true
}
