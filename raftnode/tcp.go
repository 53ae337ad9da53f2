package raftnode

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// helloMax bounds what is read from somebody who has not been admitted.
	helloMax = 4 << 10
	// helloTimeout is for connecting, and again for the words that are exchanged before the first frame.
	helloTimeout = 2 * time.Second
	// streamIdle ends a stream that does not take what is sent, and one of a snapshot on which nothing moves.
	streamIdle = 30 * time.Second
	// verifyTimeout is for the receiver of a snapshot to verify all of the state, which takes time with its size.
	verifyTimeout = 10 * streamIdle
	streamBuffer  = 64 << 10
)

// keepAlive finds peers that went away without a word, after 15 seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 2}

// TCP is the Transport of real clusters. A node opens one connection a lane to each peer and sends on it; what
// it receives comes on the connections that the peers opened. All carry records: see record.go. The first one
// each way is a hello.
type TCP struct {
	ln      net.Listener
	handler Handler
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	peers map[uint64]*peer
}

// NewTCP returns a transport that listens on ln once it is started.
func NewTCP(ln net.Listener) *TCP {
	t := &TCP{ln: ln, peers: make(map[uint64]*peer)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start is part of Transport.
func (t *TCP) Start(handler Handler) error {
	t.handler = handler
	t.running.Add(1)
	go t.accept()
	return nil
}

// accept serves those who connect. A listener that fails for ever shows as peers that get lost.
func (t *TCP) accept() {
	defer t.running.Done()
	for {
		conn, err := t.ln.Accept()
		if errors.Is(err, net.ErrClosed) || t.ctx.Err() != nil {
			return
		}
		if err != nil { // no more files, say
			select {
			case <-time.After(linkRetryMin):
			case <-t.ctx.Done():
			}
			continue
		}
		t.running.Add(1)
		go func() {
			defer t.running.Done()
			s := newStream(t.ctx, conn)
			defer s.close()
			_ = t.serve(s) // the peer sees the end of its stream, and opens another
		}()
	}
}

// SetPeers is part of Transport.
func (t *TCP) SetPeers(addrs map[uint64]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return
	}
	for id, p := range t.peers {
		if addrs[id] != p.addr {
			p.cancel()
			delete(t.peers, id)
		}
	}
	for id, addr := range addrs {
		if t.peers[id] == nil {
			t.peers[id] = t.newPeer(id, addr)
		}
	}
}

func (t *TCP) peer(id uint64) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[id]
}

// Send is part of Transport.
func (t *TCP) Send(to uint64, lane Lane, frame []byte) {
	if p := t.peer(to); p != nil {
		p.links[lane].send(frame)
	}
}

// Close is part of Transport.
func (t *TCP) Close() error {
	t.mu.Lock() // SetPeers makes no more links
	t.cancel()
	t.mu.Unlock()
	err := t.ln.Close()
	t.running.Wait()
	return err
}

// A stream is a connection that carries records.
type stream struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	stop func() bool
}

// newStream makes a stream of conn, which it closes when ctx ends.
func newStream(ctx context.Context, conn net.Conn) *stream {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive) // it works without, only later
	}
	return &stream{conn: conn, r: bufio.NewReaderSize(conn, streamBuffer), w: bufio.NewWriterSize(conn, streamBuffer),
		stop: context.AfterFunc(ctx, func() { conn.Close() })}
}

func (s *stream) close() {
	s.stop()
	_ = s.conn.Close() // nothing is left to be lost
}

// limit bounds the time of what is read and written from now on; 0: not at all.
func (s *stream) limit(d time.Duration) error {
	if d == 0 {
		return s.conn.SetDeadline(time.Time{})
	}
	return s.conn.SetDeadline(time.Now().Add(d))
}

func (s *stream) send(body []byte) error {
	if err := writeRecord(s.w, body); err != nil {
		return err
	}
	return s.w.Flush()
}

// opening is the first record of a stream, by the node that opened it.
type opening struct {
	Hello    Hello
	Snapshot bool `json:",omitempty"` // the stream carries one, not frames
}

// greeting is the first record of the node that accepted. Refusals travel as data, so that their reason reaches the
// node that is refused.
type greeting struct {
	Hello   Hello
	Refused *RefusedError `json:",omitempty"`
}

// serve talks to a node that has connected.
func (t *TCP) serve(s *stream) error {
	first, err := t.welcome(s)
	switch {
	case err != nil:
		return err
	case first.Snapshot:
		return t.serveSnapshot(s, first.Hello.From)
	}
	for {
		frame, err := readRecord(s.r, recordMax)
		if err != nil {
			return err
		}
		t.handler.Receive(first.Hello.From, frame)
	}
}

// welcome reads the hello of a peer and answers with our own, or with a refusal.
func (t *TCP) welcome(s *stream) (first opening, err error) {
	if err := s.limit(helloTimeout); err != nil {
		return first, err
	}
	msg, err := readRecord(s.r, helloMax)
	if err != nil {
		return first, err
	}
	if err := json.Unmarshal(msg, &first); err != nil {
		return first, fmt.Errorf("peer: malformed hello: %w", err)
	}
	reply := greeting{Hello: t.handler.Hello(first.Hello.From)}
	admitErr := t.handler.Admit(first.Hello)
	if refused := (*RefusedError)(nil); errors.As(admitErr, &refused) {
		reply = greeting{Refused: refused}
	} else if admitErr != nil {
		return first, admitErr
	}
	body, err := json.Marshal(reply)
	if err != nil {
		return first, err
	}
	return first, errors.Join(s.send(body), admitErr, s.limit(0))
}

// serveSnapshot receives chunks until an empty one, and answers with what is wrong, if anything is.
func (t *TCP) serveSnapshot(s *stream, from uint64) error {
	err := t.handler.ReceiveSnapshot(from, func() ([]byte, error) {
		if err := s.limit(streamIdle); err != nil {
			return nil, err
		}
		chunk, err := readRecord(s.r, recordMax)
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err == nil && len(chunk) == 0 {
			return nil, io.EOF
		}
		return chunk, err
	})
	var reply []byte
	if err != nil {
		reply = []byte(err.Error())
	}
	return errors.Join(s.limit(streamIdle), s.send(reply))
}

// SendSnapshot is part of Transport.
func (t *TCP) SendSnapshot(to uint64, write func(emit func([]byte) error) error) error {
	p := t.peer(to)
	if p == nil {
		return fmt.Errorf("node %d is not a peer", to)
	}
	s, err := p.open(p.ctx, true)
	if err != nil {
		return err
	}
	defer s.close()
	err = write(func(chunk []byte) error {
		if len(chunk) == 0 {
			return nil
		}
		return errors.Join(s.limit(streamIdle), writeRecord(s.w, chunk))
	})
	if err == nil {
		err = s.send(nil)
	}
	// A receiver that does not like what comes says why and closes: then writing fails, and the reason is there.
	if limitErr := s.limit(verifyTimeout); limitErr != nil {
		return errors.Join(err, limitErr)
	}
	if err != nil && !errors.As(err, new(*net.OpError)) {
		return err
	}
	reply, readErr := readRecord(s.r, helloMax)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case len(reply) > 0:
		return fmt.Errorf("refused by the receiver: %s", reply)
	}
	return err
}

// peer is one peer at one address.
type peer struct {
	t      *TCP
	id     uint64
	addr   string
	ctx    context.Context
	cancel context.CancelFunc
	links  [Lanes]*link
}

func (t *TCP) newPeer(id uint64, addr string) *peer {
	p := &peer{t: t, id: id, addr: addr}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	for lane := range p.links {
		p.links[lane] = newLink(p, Lane(lane))
	}
	return p
}

// open connects and says hello.
func (p *peer) open(ctx context.Context, snapshot bool) (*stream, error) {
	dialer := net.Dialer{Timeout: helloTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, err
	}
	s := newStream(ctx, conn)
	if err := p.greet(s, snapshot); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (p *peer) greet(s *stream, snapshot bool) error {
	hello, err := json.Marshal(opening{Hello: p.t.handler.Hello(p.id), Snapshot: snapshot})
	if err != nil {
		return err
	}
	if err := errors.Join(s.limit(helloTimeout), s.send(hello)); err != nil {
		return err
	}
	msg, err := readRecord(s.r, helloMax)
	if err != nil {
		return err
	}
	var reply greeting
	if err := json.Unmarshal(msg, &reply); err != nil {
		return fmt.Errorf("malformed answer of node %d: %w", p.id, err)
	}
	if reply.Refused != nil {
		return reply.Refused
	}
	if err := p.t.handler.Admit(reply.Hello); err != nil {
		return err
	}
	if reply.Hello.From != p.id {
		return refuse(RefusedNode, reply.Hello.From, "node %d answers at the address of node %d", reply.Hello.From, p.id)
	}
	return s.limit(0)
}
