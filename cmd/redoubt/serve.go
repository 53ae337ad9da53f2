package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"redoubt"
	"redoubt/server"
)

// nodeFlags are the settings of a node.
type nodeFlags struct {
	ID            uint64   `name:"id" help:"This node's number in --cluster. Default: that of --raft-advertise."`
	Listen        string   `help:"Address for clients." default:"127.0.0.1:6379"`
	RaftListen    string   `help:"Address for the other nodes. Default: this node's address in --cluster, or the client port + 10000."`
	Advertise     string   `help:"Address that clients are told. Default: --listen."`
	RaftAdvertise string   `help:"Address that other nodes are told. Default: this node's address in --cluster, or --raft-listen."`
	DataDir       string   `help:"Directory for all data." default:"./redoubt-data"`
	Cluster       string   `help:"All nodes of a new cluster: 1=host:port,2=host:port,... (their addresses for each other)."`
	Join          []string `help:"Join the cluster that nodes at these client addresses belong to: host:port,... On the first start only, and not by the nodes in --cluster."`

	Reads             string        `help:"What reads wait for: linearizable, lease or local." default:"lease" enum:"linearizable,lease,local"`
	MaxStaleness      time.Duration `help:"How old what a local read returns may be; 0 is no bound." default:"10s"`
	ClusterFace       bool          `help:"Speak the Redis Cluster protocol: slots, MOVED, one shard with the leader as its master."`
	SentinelMaster    string        `help:"Name of the leader in SENTINEL commands." default:"mymaster"`
	SnapshotLogBytes  size          `help:"Make a snapshot and truncate the log when the log has grown by this much." default:"64mb"`
	CacheBytes        size          `help:"Memory for hot keys; the block cache gets as much again, 64mb at least." default:"256mb"`
	MinFreeDisk       size          `help:"Disk space to keep free: with less, writes that make the data grow are refused." default:"256mb"`
	ElectionTimeout   time.Duration `help:"A leader that is not heard of for this long is replaced." default:"600ms"`
	HeartbeatInterval time.Duration `help:"How often the leader tells that it is there." default:"100ms"`
	RequestTimeout    time.Duration `help:"How long a command waits for a leader." default:"5s"`
	Maxclients        int           `help:"Most client connections at a time." default:"10000"`
	Maxmemory         size          `help:"Bytes of data above which keys are evicted, or writes refused; 0: no limit. For a cluster that has none yet: CONFIG SET changes it." default:"0"`
	MaxmemoryPolicy   string        `help:"Which keys are evicted: allkeys-lru, volatile-ttl... or noeviction. As --maxmemory." default:"noeviction"`
	MaxmemorySamples  int64         `help:"How many keys are looked at for each that is evicted. As --maxmemory." default:"5"`
	MaxmemoryClients  size          `help:"Memory for the large requests of all clients together." default:"512mb"`
	ProtoMaxBulkLen   size          `help:"Largest value or argument." default:"64mb"`

	AcceptLoss bool `help:"Start a node that is alone although its log lost acknowledged writes, which are then gone for good."`

	LogLevel  string `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogFormat string `help:"console or json." default:"console" enum:"console,json"`
}

// serveCmd runs a node.
type serveCmd struct{}

// Run is called by kong. It returns when the node was told to stop, or can't go on.
func (*serveCmd) Run(s *nodeFlags) error {
	coarsenTimers()
	level := zap.NewAtomicLevel()
	if l, err := zapcore.ParseLevel(s.LogLevel); err == nil { // kong has checked it
		level.SetLevel(l)
	}
	logger, flush := newLogger(s.LogFormat, level)
	defer flush()
	cfg, err := s.config()
	if err != nil {
		return err
	}
	cfg.Logger = logger
	if len(s.Join) > 0 && !cfg.Founder() {
		cfg.Cluster = nil
		if err := s.join(cfg); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	limitMemory(cfg.MemoryBytes() + int64(s.MaxmemoryClients))
	go spendMemory(ctx, cfg.CacheBytes, cfg.MemoryBytes())
	node, err := redoubt.Open(cfg)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	srv := server.New(server.Config{Listen: s.Listen, Advertise: s.Advertise, MaxClients: s.Maxclients,
		ProtoMaxBulkLen: int64(s.ProtoMaxBulkLen), MaxMemoryClients: int64(s.MaxmemoryClients), LogLevel: level, Logger: logger, DataDir: s.DataDir,
		Version: version, ClusterFace: s.ClusterFace, SentinelMaster: s.SentinelMaster, TrackingMaxLag: 2 * s.ElectionTimeout, Shutdown: sync.OnceFunc(func() { close(stop) })}, node.Table(), node)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	logger.Info("ready", zap.Uint64("id", node.Status().NodeID), zap.String("clients", ln.Addr().String()),
		zap.String("peers", cfg.RaftListen), zap.String("data", s.DataDir), zap.String("version", version),
		zap.Int("pid", os.Getpid()))
	return s.wait(node, srv, served, stop, logger)
}

// join makes the data directory of a new member, or is told to stop before anybody has let it in.
func (s *nodeFlags) join(cfg redoubt.Config) error {
	if s.ID != 0 {
		return fmt.Errorf("--join and --id exclude each other: the cluster gives the id")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return redoubt.Join(ctx, cfg, s.Join)
}

// drainTimeout bounds how long clients are given to get the replies that are under way.
const drainTimeout = 3 * time.Second

// wait returns after an orderly stop, or with the reason for another.
func (s *nodeFlags) wait(node *redoubt.Node, srv *server.Server, served <-chan error, stop <-chan struct{},
	logger *zap.Logger) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	var failure error
	select {
	case sig := <-signals:
		logger.Info("stopping", zap.String("signal", sig.String()))
	case <-stop:
		logger.Info("stopping", zap.String("command", "SHUTDOWN"))
	case failure = <-served:
	case <-node.Failed():
		failure = node.Err()
		if removed := (*redoubt.RemovedError)(nil); !errors.As(failure, &removed) {
			return failure // what the disk holds is for the next start to judge
		}
	}
	signal.Stop(signals) // a second one ends the process at once
	node.HandOver()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		logger.Warn("clients did not finish in time", zap.Error(err))
	}
	if err := node.Close(); err != nil {
		return err
	}
	logger.Info("stopped")
	return failure
}

// config turns the flags into the node's configuration.
func (s *nodeFlags) config() (redoubt.Config, error) {
	cfg := redoubt.Config{ID: s.ID, DataDir: s.DataDir, RaftListen: s.RaftListen, RaftAdvertise: s.RaftAdvertise,
		ClientAdvertise: s.Advertise, Reads: redoubt.Reads(s.Reads), MaxStaleness: s.MaxStaleness, SnapshotLogBytes: int64(s.SnapshotLogBytes),
		CacheBytes: int64(s.CacheBytes), MinFreeDisk: int64(s.MinFreeDisk), HeartbeatInterval: s.HeartbeatInterval,
		ElectionTimeout: s.ElectionTimeout, RequestTimeout: s.RequestTimeout, AcceptLoss: s.AcceptLoss,
		MaxMemory: int64(s.Maxmemory), MaxMemoryPolicy: s.MaxmemoryPolicy, MaxMemorySamples: s.MaxmemorySamples}
	if s.MaxStaleness == 0 {
		cfg.MaxStaleness = -1 // none, where 0 stands for the default
	}
	if s.MinFreeDisk == 0 {
		cfg.MinFreeDisk = -1 // none, where 0 stands for the default
	}
	if s.Cluster != "" {
		var err error
		if cfg.Cluster, err = redoubt.ParseCluster(s.Cluster); err != nil {
			return cfg, fmt.Errorf("--cluster: %w", err)
		}
	}
	host, port, err := net.SplitHostPort(s.Listen)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		return cfg, fmt.Errorf("--listen: %q is not host:port", s.Listen)
	}
	if cfg.ClientAdvertise == "" {
		cfg.ClientAdvertise = s.Listen
	}
	if cfg.RaftListen == "" && cfg.Cluster[s.ID] == "" {
		cfg.RaftListen = net.JoinHostPort(host, strconv.FormatUint(n+10000, 10))
	}
	return cfg, nil
}
