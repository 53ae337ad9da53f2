package server

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"redoubt/resp"
)

// nap is how a session waits inside of a command: until someone wakes it, a time has come, or its client has gone. It
// costs no goroutine and no timer of its own, since the goroutine of the session sits in the poller of its socket, and
// the deadline of the socket ends that. Nobody else may wait for the socket meanwhile.
type nap struct {
	session *session
	woken   chan struct{} // for connections without a socket below them; nil for the others

	mu     sync.Mutex
	asleep bool
	called bool // wake was called, and sleep has not returned since
}

// ending is why a sleep ended.
type ending int

const (
	wokenUp ending = iota
	timeIsUp
	clientLeft
)

func newNap(s *session) *nap {
	n := &nap{session: s}
	if s.guard.raw == nil {
		n.woken = make(chan struct{}, 1)
	}
	return n
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// wake ends the present sleep, or else the next one.
func (n *nap) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.called = true
	switch {
	case !n.asleep:
	case n.woken != nil:
		select {
		case n.woken <- struct{}{}:
		default:
		}
	default:
		_ = n.session.guard.SetReadDeadline(past)
	}
}

// sleep waits until then at the longest; the zero time is no end. Only the goroutine of the session calls it.
func (n *nap) sleep(until time.Time) ending {
	if n.lieDown(until) {
		return wokenUp
	}
	if n.woken != nil {
		n.await(until)
		return n.getUp(false)
	}
	err := n.session.guard.raw.Read(hungUp)
	return n.getUp(err == nil || !errors.Is(err, os.ErrDeadlineExceeded))
}

// lieDown begins a sleep, unless wake was called before.
func (n *nap) lieDown(until time.Time) (called bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.called {
		n.called = false
		return true
	}
	n.asleep = true
	if n.woken == nil {
		_ = n.session.guard.SetReadDeadline(until)
	}
	return false
}

// getUp ends a sleep; from then on wake leaves the deadline of the socket alone.
func (n *nap) getUp(gone bool) ending {
	n.mu.Lock()
	defer n.mu.Unlock()
	called := n.called
	n.asleep, n.called = false, false
	if n.woken == nil {
		_ = n.session.guard.SetReadDeadline(time.Time{})
	}
	switch {
	case gone, n.session.ctx.Err() != nil:
		return clientLeft
	case called:
		return wokenUp
	}
	return timeIsUp
}

// await is the sleep of a connection that has no socket.
func (n *nap) await(until time.Time) {
	var end <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		end = timer.C
	}
	select {
	case <-n.woken:
	case <-end:
	case <-n.session.ctx.Done():
	}
}

// whileWanted gives a command that waits a context that ends, too, when its client goes or CLIENT UNBLOCK names it. The
// command has to call end before it returns: that says whether it is to answer with an error.
func (s *session) whileWanted(ctx context.Context) (wanted context.Context, end func() resp.Reply) {
	wanted, cancel := context.WithCancelCause(ctx)
	n := newNap(s)
	left := make(chan bool)
	go func() {
		gone := n.sleep(time.Time{}) == clientLeft
		if gone {
			cancel(nil)
		}
		left <- gone
	}()
	s.setUnblock(func(reply resp.Reply) bool {
		cancel(unblocked{reply})
		return true
	})
	return wanted, func() resp.Reply {
		s.setUnblock(nil)
		n.wake()
		s.leaving = <-left || s.leaving
		if u := (unblocked{}); errors.As(context.Cause(wanted), &u) && u.reply.IsError() {
			return u.reply
		}
		cancel(nil)
		return resp.Reply{}
	}
}

// unblocked is why a context ended.
type unblocked struct{ reply resp.Reply }

func (unblocked) Error() string { return "unblocked by another client" }
