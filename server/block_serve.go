package server

import (
	"errors"
	"slices"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// serve tries those who wait as long as there are keys that have changed. One goroutine does it: while a request of it
// is under way, what changes meanwhile is collected for the next.
func (b *blocked) serve() {
	for {
		b.server.pause.awaitEnd(b.server.ctx)
		queues := b.changedQueues()
		if queues == nil {
			return
		}
		found, err := b.peek(queues)
		var batch []*waiter
		if err == nil {
			if batch = b.pick(queues, found); len(batch) == 0 {
				continue
			}
			err = b.tryAgain(batch)
		}
		if err != nil { // certainly nothing was executed
			b.lookAgain(queues, err)
		}
	}
}

// mayPass says whether an error is one of those that end by themselves, without anything having been done.
func mayPass(err error) bool {
	return errors.Is(err, command.ErrNoLeader) || errors.Is(err, command.ErrStale)
}

// lookAgain has queues looked at once more, a little later, or ends the waits in them when that can't help.
func (b *blocked) lookAgain(queues []*queue, err error) {
	b.mu.Lock()
	for _, q := range queues {
		if mayPass(err) {
			b.mark(q)
		} else {
			b.endAll(q, b.server.engineError(err))
		}
	}
	b.mu.Unlock()
	b.rest()
}

// rest waits before the next try, after one that could not be executed.
func (b *blocked) rest() {
	select {
	case <-time.After(retryEvery):
	case <-b.server.ctx.Done():
	}
}

// changedQueues takes the queues that are to be looked at; nil ends serve.
func (b *blocked) changedQueues() []*queue {
	b.mu.Lock()
	defer b.mu.Unlock()
	queues := b.ready
	b.ready = nil
	for _, q := range queues {
		q.ready = false
	}
	done := len(queues) == 0 || b.closed
	for id, turns := range b.pushers {
		if b.pushers[id] = turns - 1; turns == 1 || done {
			delete(b.pushers, id)
		}
	}
	b.pushed.Store(int64(len(b.pushers)))
	close(b.turned)
	b.turned = make(chan struct{})
	if done {
		b.serving = false
		return nil
	}
	return queues
}

// letServe holds the next call of a session for a moment when its last ones were what others waited for. With Redis they
// have it before any other call is executed; here at least before another one of the same client, as a rule.
func (s *session) letServe() {
	b := s.server.blocked
	var end <-chan time.Time
	for {
		b.mu.Lock()
		_, pushed := b.pushers[uint64(s.id)]
		turned := b.turned
		b.mu.Unlock()
		if !pushed {
			return
		}
		if end == nil {
			s.flush()
			timer := time.NewTimer(courtesyMax)
			defer timer.Stop()
			end = timer.C
		}
		select {
		case <-turned:
		case <-end:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// found is what there is at a key for those who wait for it.
type found struct {
	kind  fsm.Kind
	count int64
	group map[string]bool // whose readers would be answered
}

// peek asks this node what there is at the keys of queues: it has at least what has brought them here. Whether that is
// still there is for the log to say.
func (b *blocked) peek(queues []*queue) ([]found, error) {
	req := &fsm.Request{Local: true, NoTouch: true}
	names := b.groups(queues)
	for i, q := range queues {
		req.Calls = append(req.Calls, command.PeekCall(q.db, q.key, nil))
		for _, name := range names[i] {
			req.Calls = append(req.Calls, command.PeekCall(q.db, q.key, []byte(name)))
		}
	}
	replies, err := b.server.try(req)
	if err != nil {
		return nil, err
	}
	all := make([]found, len(queues))
	for i := range queues {
		elems := replies[0].Elems
		all[i] = found{kind: fsm.Kind(elems[0].Int), count: elems[1].Int}
		replies = replies[1:]
		if len(names[i]) > 0 {
			all[i].group = map[string]bool{}
		}
		for _, name := range names[i] {
			all[i].group[name] = replies[0].Elems[1].Int > 0
			replies = replies[1:]
		}
	}
	return all, nil
}

// groups are the groups that somebody in each queue reads in.
func (b *blocked) groups(queues []*queue) [][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([][]string, len(queues))
	for i, q := range queues {
		if q.groups == 0 {
			continue
		}
		seen := map[string]bool{}
		for at := q.waiters.Front(); at != nil; at = at.Next() {
			if group := at.Value.(*waiter).what.Group; group != nil && !seen[string(group)] {
				seen[string(group)] = true
				all[i] = append(all[i], string(group))
			}
		}
	}
	return all
}

// pick chooses who is tried again, in the order of the queues and in that within each. Readers without a group do that
// by themselves: they leave for the others what they read.
func (b *blocked) pick(queues []*queue, all []found) (batch []*waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	bytes := 0
	for i, q := range queues {
		left := all[i].count
		shared := q.groups > 0 || all[i].kind == fsm.Stream // more than `left` may get something
		for at := q.waiters.Front(); at != nil && (left > 0 || shared); at = at.Next() {
			w := at.Value.(*waiter)
			switch {
			case w.state == trying:
			case w.what.Takes == 0:
				if all[i].kind == w.what.Kind {
					w.changed = true
					w.nap.wake()
				}
			case w.what.Group != nil && !all[i].group[string(w.what.Group)]:
			case w.what.Group == nil && (all[i].kind != w.what.Kind || left <= 0):
			case w.state == firstTry:
				w.missed = true
				left = 0 // those behind it have to wait for what it does
			case len(batch) == requestCallsMax || bytes > requestBytesMax:
				b.mark(q)
			default:
				left -= w.what.Takes
				w.state = trying
				batch = append(batch, w)
				bytes += sizeOf(&w.call)
			}
		}
	}
	return batch
}

func sizeOf(c *fsm.Call) (bytes int) {
	for _, arg := range c.Args {
		bytes += len(arg)
	}
	return bytes
}

// tryAgain tries some together. An error means that nothing was executed, and that it may be tried once more.
func (b *blocked) tryAgain(batch []*waiter) error {
	req := &fsm.Request{Calls: make([]fsm.Call, len(batch))}
	for i, w := range batch {
		req.Calls[i] = w.call
	}
	if len(batch) == 1 {
		req.Client, req.NoTouch = uint64(batch[0].session.id), batch[0].session.doesNotTouch()
	}
	replies, err := b.server.try(req)
	again := err != nil && mayPass(err)
	if again {
		replies = slices.Repeat([]resp.Reply{resp.Nil}, len(batch))
	} else if err != nil {
		replies = slices.Repeat([]resp.Reply{b.server.engineError(err)}, len(batch))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range batch {
		switch {
		case w.state == over: // its client has gone meanwhile
		case !isNothing(&replies[i]):
			b.end(w, replies[i])
		case w.late:
			b.end(w, w.reply)
		case b.closed:
			b.end(w, command.ErrorReply(command.ErrClosed))
		default:
			w.state = waiting
		}
	}
	if again {
		return err
	}
	return nil
}
