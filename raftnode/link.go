package raftnode

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	// linkQueueMax bounds what waits to be sent on a lane, in bytes; what exceeds it is dropped. One
	// frame is always taken, however large.
	linkQueueMax = 64 << 20
	// linkMessageMax bounds the frames that are packed into one message.
	linkMessageMax = 1 << 20
	linkRetryMin   = 50 * time.Millisecond
	linkRetryMax   = time.Second
)

// link sends the frames of one lane to one peer. Frames that wait while one is being sent go out
// together. While there is no stream, frames are dropped: raft and the callers repeat what matters,
// and old messages would only be in the way.
type link struct {
	peer *grpcPeer
	lane Lane

	mu     sync.Mutex
	up     bool
	queue  [][]byte
	bytes  int
	wakeup chan struct{}
}

func newLink(p *grpcPeer, lane Lane) *link {
	l := &link{peer: p, lane: lane, wakeup: make(chan struct{}, 1)}
	p.t.running.Add(1)
	go l.run()
	return l
}

func (l *link) send(frame []byte) {
	l.mu.Lock()
	if !l.up || l.bytes > 0 && l.bytes+len(frame) > linkQueueMax {
		l.mu.Unlock()
		return
	}
	l.queue = append(l.queue, frame)
	l.bytes += len(frame)
	l.mu.Unlock()
	select {
	case l.wakeup <- struct{}{}:
	default:
	}
}

// run keeps a stream open until the peer is stopped.
func (l *link) run() {
	defer l.peer.t.running.Done()
	handler := l.peer.t.handler
	for retry := linkRetryMin; ; retry = min(2*retry, linkRetryMax) {
		began := time.Now()
		err := l.serve(func() {
			if l.lane == LaneControl {
				handler.PeerUp(l.peer.id)
			}
		})
		if l.peer.ctx.Err() != nil {
			return
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			if l.lane == LaneControl {
				handler.Refused(l.peer.id, refused)
			}
		} else if l.setUp(false) && l.lane == LaneControl {
			handler.PeerDown(l.peer.id, err)
		}
		if time.Since(began) > linkRetryMax {
			retry = linkRetryMin
		}
		select {
		case <-time.After(retry):
		case <-l.peer.ctx.Done():
			return
		}
	}
}

// setUp opens or shuts the queue and returns whether it was open.
func (l *link) setUp(up bool) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.up = l.up, up
	l.queue, l.bytes = nil, 0
	return was
}

// serve opens a stream and sends on it until it breaks.
func (l *link) serve(opened func()) error {
	ctx, cancel := context.WithCancel(l.peer.ctx)
	defer cancel()
	stream, err := l.peer.open(ctx, linkMethod)
	if err != nil {
		return err
	}
	opened()
	l.setUp(true)
	broken := make(chan error, 1)
	go func() { // the peer says nothing more on this stream, so that a return means its end
		var msg []byte
		err := stream.RecvMsg(&msg)
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the peer closed the stream")
		}
		broken <- err
	}()
	for {
		select {
		case err := <-broken:
			return err
		case <-l.wakeup:
		}
		if err := l.flush(stream); err != nil {
			return <-broken // the reason is on the receiving side of the stream
		}
	}
}

// flush sends all that is queued, as few messages.
func (l *link) flush(stream grpc.ClientStream) error {
	for {
		l.mu.Lock()
		queue := l.queue
		l.queue, l.bytes = nil, 0
		l.mu.Unlock()
		if len(queue) == 0 {
			return nil
		}
		for len(queue) > 0 {
			size, n := 0, 0
			for n < len(queue) && (n == 0 || size+len(queue[n]) <= linkMessageMax) {
				size += len(queue[n]) + binary.MaxVarintLen64
				n++
			}
			msg := make([]byte, 0, size)
			for _, frame := range queue[:n] {
				msg = binary.AppendUvarint(msg, uint64(len(frame)))
				msg = append(msg, frame...)
			}
			if err := stream.SendMsg(&msg); err != nil {
				return err
			}
			queue = queue[n:]
		}
	}
}
