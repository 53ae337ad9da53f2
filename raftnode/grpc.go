package raftnode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
)

const (
	peerService    = "redoubt.Peer"
	linkMethod     = "/" + peerService + "/Link"
	snapshotMethod = "/" + peerService + "/Snapshot"

	// messageMax bounds one gRPC message: the largest request (see the server's limits) in an entry,
	// with room to spare.
	messageMax = 512 << 20
	// windowBytes lets a large entry flow without waiting for window updates.
	windowBytes = 8 << 20
	// snapshotIdle ends a snapshot stream on which nothing moves.
	snapshotIdle = 30 * time.Second
)

// GRPC is the Transport of real clusters. A node opens one stream a lane to each peer and sends on
// it; what it receives comes on the streams that the peers opened. Messages are bytes of our own
// (see frame.go), so the service has no generated code: what gRPC gives is streams with flow control,
// keepalive and, later, TLS.
type GRPC struct {
	ln      net.Listener
	server  *grpc.Server
	handler Handler
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	peers map[uint64]*grpcPeer
}

// NewGRPC returns a transport that listens on ln once it is started.
func NewGRPC(ln net.Listener) *GRPC {
	t := &GRPC{ln: ln, peers: make(map[uint64]*grpcPeer)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}),
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(messageMax),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(2*windowBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
	stream := func(name string, h grpc.StreamHandler) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, Handler: h, ServerStreams: true, ClientStreams: true}
	}
	t.server.RegisterService(&grpc.ServiceDesc{ServiceName: peerService, HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{stream("Link", t.serveLink), stream("Snapshot", t.serveSnapshot)}}, nil)
	return t
}

// Start is part of Transport.
func (t *GRPC) Start(handler Handler) error {
	t.handler = handler
	t.running.Add(1)
	go func() {
		defer t.running.Done()
		// Serve ends when the server is stopped; a listener that fails shows as peers that get lost.
		_ = t.server.Serve(t.ln)
	}()
	return nil
}

// SetPeers is part of Transport.
func (t *GRPC) SetPeers(addrs map[uint64]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return
	}
	for id, p := range t.peers {
		if addrs[id] != p.addr {
			p.stop()
			delete(t.peers, id)
		}
	}
	for id, addr := range addrs {
		if t.peers[id] == nil {
			t.peers[id] = t.newPeer(id, addr)
		}
	}
}

func (t *GRPC) peer(id uint64) *grpcPeer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[id]
}

// Send is part of Transport.
func (t *GRPC) Send(to uint64, lane Lane, frame []byte) {
	if p := t.peer(to); p != nil {
		p.links[lane].send(frame)
	}
}

// Close is part of Transport.
func (t *GRPC) Close() error {
	t.mu.Lock()
	t.cancel()
	for id, p := range t.peers {
		p.stop()
		delete(t.peers, id)
	}
	t.mu.Unlock()
	_ = t.ln.Close() // the server knows of it only once it serves
	t.server.Stop()
	t.running.Wait()
	return nil
}

// serveLink receives the frames of one lane of a peer.
func (t *GRPC) serveLink(_ any, stream grpc.ServerStream) error {
	from, err := t.welcome(stream)
	if err != nil {
		return err
	}
	for {
		var msg []byte
		if err := stream.RecvMsg(&msg); err != nil {
			return nil // the peer sees the end of its stream, and opens another
		}
		for r := (reader{b: msg}); len(r.b) > 0 && !r.bad; {
			t.handler.Receive(from, r.bytes())
		}
	}
}

func (t *GRPC) serveSnapshot(_ any, stream grpc.ServerStream) error {
	from, err := t.welcome(stream)
	if err != nil {
		return err
	}
	err = t.handler.ReceiveSnapshot(from, func() ([]byte, error) {
		var chunk []byte
		err := stream.RecvMsg(&chunk)
		return chunk, err
	})
	reply := []byte{}
	if err != nil {
		reply = []byte(err.Error())
	}
	return stream.SendMsg(&reply)
}

// welcome reads the hello of a peer and answers with our own, or with a refusal.
func (t *GRPC) welcome(stream grpc.ServerStream) (from uint64, err error) {
	var msg []byte
	if err := stream.RecvMsg(&msg); err != nil {
		return 0, err
	}
	var h Hello
	if err := json.Unmarshal(msg, &h); err != nil {
		return 0, fmt.Errorf("peer: malformed hello: %w", err)
	}
	answer := helloAnswer{Hello: t.handler.Hello(h.From)}
	admitErr := t.handler.Admit(h)
	if refused := (*RefusedError)(nil); errors.As(admitErr, &refused) {
		answer = helloAnswer{Refused: refused}
	} else if admitErr != nil {
		return 0, admitErr
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return 0, err
	}
	if err := stream.SendMsg(&body); err != nil {
		return 0, err
	}
	return h.From, admitErr
}

// helloAnswer is what the accepting node says. Refusals travel as data, not as gRPC status, so that
// their reason reaches the node that is refused.
type helloAnswer struct {
	Hello   Hello
	Refused *RefusedError `json:",omitempty"`
}

// SendSnapshot is part of Transport.
func (t *GRPC) SendSnapshot(to uint64, write func(emit func([]byte) error) error) error {
	p := t.peer(to)
	if p == nil {
		return fmt.Errorf("node %d is not a peer", to)
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	// The receiver verifies all of the state before it answers, which takes time with its size.
	idle := time.AfterFunc(snapshotIdle, cancel)
	defer idle.Stop()
	stream, err := p.open(ctx, snapshotMethod)
	if err != nil {
		return err
	}
	err = write(func(chunk []byte) error {
		idle.Reset(snapshotIdle)
		msg := bytes.Clone(chunk) // gRPC still holds it after SendMsg has returned
		return stream.SendMsg(&msg)
	})
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the receiver ended it, and says why
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	idle.Reset(10 * snapshotIdle)
	var reply []byte
	if err := stream.RecvMsg(&reply); err != nil {
		return err
	}
	if len(reply) > 0 {
		return fmt.Errorf("refused by the receiver: %s", reply)
	}
	return nil
}

// grpcPeer is one peer at one address.
type grpcPeer struct {
	t      *GRPC
	id     uint64
	addr   string
	conn   *grpc.ClientConn
	ctx    context.Context
	cancel context.CancelFunc
	links  [Lanes]*link
}

func (t *GRPC) newPeer(id uint64, addr string) *grpcPeer {
	p := &grpcPeer{t: t, id: id, addr: addr}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	// NewClient only fails for an address that can't be parsed, which passthrough does not do.
	p.conn, _ = grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(2*windowBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.WaitForReady(true),
			grpc.MaxCallRecvMsgSize(messageMax), grpc.MaxCallSendMsgSize(messageMax)))
	for lane := range p.links {
		p.links[lane] = newLink(p, Lane(lane))
	}
	return p
}

func (p *grpcPeer) stop() {
	p.cancel()
	_ = p.conn.Close() // the links see it
}

// open begins a stream and says hello on it.
func (p *grpcPeer) open(ctx context.Context, method string) (grpc.ClientStream, error) {
	stream, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return nil, err
	}
	hello, err := json.Marshal(p.t.handler.Hello(p.id))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&hello); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var msg []byte
	if err := stream.RecvMsg(&msg); err != nil {
		return nil, err
	}
	var answer helloAnswer
	if err := json.Unmarshal(msg, &answer); err != nil {
		return nil, fmt.Errorf("malformed answer of node %d: %w", p.id, err)
	}
	if answer.Refused != nil {
		return nil, answer.Refused
	}
	if err := p.t.handler.Admit(answer.Hello); err != nil {
		return nil, err
	}
	if answer.Hello.From != p.id {
		return nil, refuse(RefusedNode, answer.Hello.From, "node %d answers at the address of node %d", answer.Hello.From, p.id)
	}
	return stream, nil
}

// rawCodec passes messages through: they are bytes already.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
