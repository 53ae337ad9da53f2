// Package server is the front end that Redis clients talk to. It speaks RESP2, RESP3 and the inline
// protocol, keeps what belongs to a connection or to the listener, and leaves everything that
// touches keys to an Engine. It never opens a file and knows nothing of raft.
//
// The way of a call: the socket, guard (Redis's protocol rules), redcon (parsing), session (one
// client, a whole pipeline at once), dispatch (lookup, arity, route), Engine.Do, and the replies in
// one write.
package server

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
	"go.uber.org/zap"

	"redoubt/command"
)

// Config is what a server is started with. Zero values stand for the defaults.
type Config struct {
	Listen    string // host:port, for CONFIG GET and INFO
	Advertise string // host:port that clients are told; Listen if empty

	MaxClients int // connections at once, 10000 if 0
	// ProtoMaxBulkLen is the most bytes of one argument: 64 MiB if 0, at least 1 MiB. A request may
	// have 1 MiB more than that in all.
	ProtoMaxBulkLen int64
	// MaxMemoryClients bounds the bytes of all large requests that are being received or executed at a
	// time: 512 MiB if 0.
	MaxMemoryClients int64

	ClusterFace    bool   // speak Redis Cluster; changed by CONFIG SET cluster-face
	SentinelMaster string // name of the leader in SENTINEL commands, mymaster if empty

	// TrackingMaxLag is how old this node's state may be, at most, while clients may keep what they have read in
	// their caches: 1.2 s if 0. It is changed by CONFIG SET tracking-max-lag.
	TrackingMaxLag time.Duration

	LogLevel zap.AtomicLevel // changed by CONFIG SET loglevel
	Logger   *zap.Logger
	DataDir  string
	Version  string // of Redoubt

	// Shutdown is called by SHUTDOWN, in a goroutine of its own. It should stop the process.
	Shutdown func()
}

const (
	maxClientsDefault = 10000
	bulkMaxDefault    = 64 << 20
	bulkMaxMin        = 1 << 20 // as in Redis
	keepAliveDefault  = 300     // seconds
	acceptRetryMax    = time.Second
)

// Server serves one listener.
type Server struct {
	cfg     Config
	table   *command.Table
	engine  Engine
	routes  map[*command.Spec]*route
	log     *zap.Logger
	started time.Time
	runID   string
	// clusterID and nodeID never change while the process runs.
	clusterID, nodeID uint64

	limits     limits
	maxClients atomic.Int64
	keepAlive  atomic.Int64 // seconds, 0 is off
	config     *parameters
	busyAfter  atomic.Int64 // milliseconds, see watchScripts
	stats      stats
	pause      pause
	saving     atomic.Bool // BGSAVE or SAVE is running

	clusterFace atomic.Bool
	hub         *hub
	blocked     *blocked
	missing     missing
	tracking    *tracking
	watch       watch

	ctx    context.Context // ends when the server closes
	cancel context.CancelFunc

	mu       sync.Mutex
	listener net.Listener
	sessions map[int64]*session
	lastID   int64
	idle     chan struct{} // closed when the last session has gone, once Shutdown waits for it
}

// New returns a server that is not listening yet.
func New(cfg Config, table *command.Table, engine Engine) *Server {
	if cfg.MaxClients == 0 {
		cfg.MaxClients = maxClientsDefault
	}
	if cfg.ProtoMaxBulkLen == 0 {
		cfg.ProtoMaxBulkLen = bulkMaxDefault
	}
	cfg.ProtoMaxBulkLen = max(cfg.ProtoMaxBulkLen, bulkMaxMin)
	if cfg.Advertise == "" {
		cfg.Advertise = cfg.Listen
	}
	cfg.SentinelMaster = cmp.Or(cfg.SentinelMaster, sentinelMasterDefault)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.LogLevel == (zap.AtomicLevel{}) {
		cfg.LogLevel = zap.NewAtomicLevel()
	}
	s := &Server{cfg: cfg, table: table, engine: engine, log: cfg.Logger.Named("server"),
		started: time.Now(), runID: newRunID(), sessions: map[int64]*session{}, hub: newHub()}
	st := engine.Status()
	s.clusterID, s.nodeID = st.ClusterID, st.NodeID
	s.clusterFace.Store(cfg.ClusterFace)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.limits.budget = newBudget(cmp.Or(cfg.MaxMemoryClients, memoryClientsDefault))
	s.limits.bulkMax.Store(cfg.ProtoMaxBulkLen)
	s.maxClients.Store(int64(cfg.MaxClients))
	s.keepAlive.Store(keepAliveDefault)
	s.limits.pushed.set(pushLimitDefault)
	s.stats.reset()
	s.tracking = newTracking(s, cmp.Or(cfg.TrackingMaxLag, maxLagDefault))
	s.config = newParameters(s)
	s.routes = newRoutes(table)
	s.blocked = newBlocked(s)
	s.watchScripts()
	engine.Observe(effects{s})
	engine.Listen(audience{s})
	return s
}

// Serve accepts clients until Close or Shutdown. It may be called once.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.listener != nil || s.ctx.Err() != nil {
		s.mu.Unlock()
		return errors.New("the server was started or closed before")
	}
	s.listener = ln
	s.mu.Unlock()
	go s.stats.sampleUntil(s.ctx, func() int64 { return s.engine.Memory().DataBytes })
	go s.watchCluster()
	go s.watchProgress()
	go s.tracking.watch(s.ctx)
	return redcon.Serve(&guardListener{Listener: ln, server: s}, serveCommands, s.accept, s.closed)
}

// Close ends all connections at once.
func (s *Server) Close() error {
	err := s.stopListening()
	for _, c := range s.all() {
		c.kill()
	}
	return err
}

// Shutdown accepts nobody any more and ends the connections, the busy ones when what they execute
// was answered. When the context ends first, it ends them all and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	idle := make(chan struct{})
	s.mu.Lock()
	s.idle = idle
	if len(s.sessions) == 0 {
		close(idle)
		s.idle = nil
	}
	s.mu.Unlock()
	err := s.stopListening()
	for _, c := range s.all() {
		_ = c.guard.Close()
	}
	select {
	case <-idle:
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

func (s *Server) stopListening() error {
	s.cancel()
	s.mu.Lock()
	ln := s.listener
	s.mu.Unlock()
	if ln == nil {
		return nil
	}
	if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// accept gives a new connection its session, or refuses it.
func (s *Server) accept(conn redcon.Conn) bool {
	g := conn.NetConn().(*guard)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.connections.Add(1)
	if int64(len(s.sessions)) >= s.maxClients.Load() {
		s.stats.rejected.Add(1)
		g.send([]byte("-ERR max number of clients reached\r\n"))
		g.phase.Store(ended)
		return false
	}
	s.lastID++
	c := newSession(s, g, s.lastID)
	s.sessions[c.id] = c
	conn.SetContext(c)
	return true
}

// closed forgets a connection; redcon calls it when the connection's goroutine ends.
func (s *Server) closed(conn redcon.Conn, _ error) {
	c, ok := conn.Context().(*session)
	if !ok {
		return
	}
	c.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c.id)
	if len(s.sessions) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// clock is the time since the start of the server. It costs half of what time.Now does.
func (s *Server) clock() time.Duration { return time.Since(s.started) }

// all returns the sessions of this moment in no order.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*session, 0, len(s.sessions))
	for _, c := range s.sessions {
		all = append(all, c)
	}
	return all
}

// find returns the session with this id, or nil.
func (s *Server) find(id int64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// guardListener puts a guard around each connection.
type guardListener struct {
	net.Listener
	server *Server
}

// Accept waits a little after errors such as "too many open files": redcon tries again at once.
func (l *guardListener) Accept() (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, acceptRetryMax) {
		conn, err := l.Listener.Accept()
		if err == nil {
			l.server.setKeepAlive(conn)
			g := newGuard(conn, &l.server.limits, &l.server.stats.meter)
			g.refuse = func(string) { l.server.stats.countError("ERR") }
			return g, nil
		}
		if errors.Is(err, net.ErrClosed) || l.server.ctx.Err() != nil {
			return nil, net.ErrClosed
		}
		l.server.log.Warn("a client could not be accepted", zap.Error(err))
		select {
		case <-time.After(wait):
		case <-l.server.ctx.Done():
		}
	}
}

func (s *Server) setKeepAlive(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	seconds := s.keepAlive.Load()
	if seconds == 0 {
		_ = tcp.SetKeepAlive(false)
		return
	}
	_ = tcp.SetKeepAlivePeriod(time.Duration(seconds) * time.Second)
}
