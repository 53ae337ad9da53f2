package redoubt

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/fsm"
)

// Reads says what a read on this node waits for. In all modes but ReadsLocal reads are linearizable.
type Reads string

// The modes of reading.
const (
	// ReadsLease lets the leader answer at once while it holds a lease, which rests on clocks of
	// different nodes running at rates that differ by less than a tenth. Followers ask the leader.
	ReadsLease Reads = "lease"
	// ReadsLinearizable confirms the leader by a round of messages for every group of reads, and
	// rests on no clock.
	ReadsLinearizable Reads = "linearizable"
	// ReadsLocal answers from what this node has applied, which may be as old as Config.MaxStaleness.
	ReadsLocal Reads = "local"
)

// Config configures a Node. Zero values mean the defaults named at each field.
type Config struct {
	// ID is the node's number in Cluster. Default: that of RaftAdvertise in it; 1 for a node that is alone.
	ID uint64
	// DataDir holds everything durable. Default: redoubt-data in the working directory.
	DataDir string
	// Cluster maps the id of every node of a new cluster to its peer address. Empty: the node is
	// alone. It is used on the first start only; later the stored membership counts, but a Cluster of
	// other nodes is refused.
	Cluster map[uint64]string
	// RaftListen is the address that peers connect to. Default: this node's address in Cluster, or
	// 127.0.0.1:16379.
	RaftListen string
	// RaftAdvertise is the address that is told to peers. Default: this node's address in Cluster, or
	// RaftListen.
	RaftAdvertise string
	// ClientAdvertise is the address that is told to clients. Default: 127.0.0.1:6379.
	ClientAdvertise string

	// Reads is what reads wait for. Default: ReadsLease.
	Reads Reads
	// MaxStaleness bounds how old the answer to a local read may be: it shows every write that was
	// acknowledged longer ago than that, or it is command.ErrStale. Default: 10 s; negative: no bound.
	MaxStaleness time.Duration
	// SnapshotLogBytes is the growth of the log, in bytes, after which a snapshot is made and the log
	// truncated. Default: 64 MiB.
	SnapshotLogBytes int64
	// CacheBytes bounds the cache of hot keys; Pebble's block cache gets as much again, or 64 MiB if that is
	// more. Default: 256 MiB. See MemoryBytes for the whole.
	CacheBytes int64
	// HeartbeatInterval and ElectionTimeout are raft's; the timeout is at least four intervals, and
	// each node adds a random part of up to as much again. Defaults: 100 ms and 600 ms.
	HeartbeatInterval, ElectionTimeout time.Duration
	// RequestTimeout is how long a request waits while there is no leader. Default: 5 s.
	RequestTimeout time.Duration
	// MinFreeDisk is how many bytes of the data directory's file system are kept free: with less, writes
	// that make the data grow are refused. Default: 256 MiB; negative: none.
	MinFreeDisk int64
	// MaxMemory, MaxMemoryPolicy and MaxMemorySamples bound the data set: see fsm.Limit. They count if the cluster was never
	// given a limit, by CONFIG SET or by the Config of one that led it; its leader then gives it this one. Defaults: 0
	// (no limit), noeviction, 5.
	MaxMemory        int64
	MaxMemoryPolicy  string
	MaxMemorySamples int64
	// DiskUsage measures the free space. Default: asks the operating system.
	DiskUsage DiskUsage
	// AcceptLoss lets a node that is alone start although its log has lost acknowledged writes, which are
	// then gone for good. Without it such a node is refused; one that has others always is.
	AcceptLoss bool
	// Commands are added to the built-in ones. They must be the same on all nodes.
	Commands []command.Spec
	// Logger gets the node's log. Default: none.
	Logger *zap.Logger

	joining bool // the data directory is made for a node that has yet to be given an id
}

// MemoryBytes is how much memory a node holds on to at most, in bytes: rows in the cache, blocks of the
// state, tables and buffers that wait to be written, and the newest part of the log. What clients have
// sent and have not taken yet comes on top, and what garbage collection has not found yet.
func (c Config) MemoryBytes() int64 {
	return c.CacheBytes + c.blockCacheBytes() + 2*bufferBytes + fsm.MemTables*stateMemTable +
		2*c.logMemTableBytes() + c.logTailBytes()
}

// blockCacheBytes is for the blocks of the state. With less than 64 MB the indexes and filters of a few
// hundred megabytes of rows push each other out: then a read, and a write that has to know what was there
// before, cost twice as much.
func (c Config) blockCacheBytes() int64 { return max(c.CacheBytes, 64<<20) }

// logTailBytes is how much of the log is kept in memory for followers and for the applier.
func (c Config) logTailBytes() int64 { return min(max(c.CacheBytes/4, 8<<20), 64<<20) }

// logMemTableBytes mostly exceeds what is kept of the log, so that truncation meets most entries in memory
// and they are never written to a table.
func (c Config) logMemTableBytes() int64 { return min(max(c.CacheBytes/2, 32<<20), 128<<20) }

// ticksPerHeartbeat is the resolution of raft's clock.
const ticksPerHeartbeat = 2

// withDefaults returns the configuration that c stands for, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	switch {
	case c.ID != 0:
	case len(c.Cluster) == 0:
		c.ID = 1
	default:
		c.ID = c.founderID()
	}
	if len(c.Cluster) > 0 && c.ID == 0 {
		return c, fmt.Errorf("the node has no id (--id), and its address for other nodes (%q) is not in the cluster %s", c.RaftAdvertise, FormatCluster(c.Cluster))
	}
	if len(c.Cluster) > 0 && c.Cluster[c.ID] == "" {
		return c, fmt.Errorf("node id %d is not in the cluster %s", c.ID, FormatCluster(c.Cluster))
	}
	def(&c.DataDir, "redoubt-data")
	def(&c.RaftListen, c.Cluster[c.ID])
	def(&c.RaftListen, "127.0.0.1:16379")
	def(&c.RaftAdvertise, c.Cluster[c.ID])
	def(&c.RaftAdvertise, c.RaftListen)
	def(&c.ClientAdvertise, "127.0.0.1:6379")
	def((*string)(&c.Reads), string(ReadsLease))
	c.RaftAdvertise = reachable(c.RaftAdvertise)
	c.ClientAdvertise = reachable(c.ClientAdvertise)
	if c.MaxStaleness == 0 {
		c.MaxStaleness = 10 * time.Second
	}
	if c.SnapshotLogBytes == 0 {
		c.SnapshotLogBytes = 64 << 20
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 256 << 20
	}
	if c.MinFreeDisk == 0 {
		c.MinFreeDisk = 256 << 20
	}
	if c.DiskUsage == nil {
		c.DiskUsage = freeBytes
	}
	if c.HeartbeatInterval == 0 {
		c.HeartbeatInterval = 100 * time.Millisecond
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = 600 * time.Millisecond
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c, c.validate()
}

// Founder says whether the node is one of Cluster, and not one that has to join it.
func (c Config) Founder() bool { return len(c.Cluster) > 0 && (c.ID != 0 || c.founderID() != 0) }

// founderID finds the node's number in Cluster by its address; 0: it is not there.
func (c Config) founderID() uint64 {
	for id, addr := range c.Cluster {
		if addr == c.RaftAdvertise {
			return id
		}
	}
	return 0
}

func (c Config) validate() error {
	switch {
	case !slices.Contains([]Reads{ReadsLease, ReadsLinearizable, ReadsLocal}, c.Reads):
		return fmt.Errorf("reads must be linearizable, lease or local, not %q", c.Reads)
	case c.SnapshotLogBytes < 64<<10:
		return fmt.Errorf("snapshot log size must be at least 64 KiB, not %d bytes", c.SnapshotLogBytes)
	case c.CacheBytes < 1<<20:
		return fmt.Errorf("cache must be at least 1 MiB, not %d bytes", c.CacheBytes)
	case !c.limit().Valid() || c.MaxMemoryPolicy != "" && c.limit().Policy.String() != c.MaxMemoryPolicy:
		return fmt.Errorf("maxmemory %d, maxmemory-policy %q or maxmemory-samples %d is not valid", c.MaxMemory,
			c.MaxMemoryPolicy, c.MaxMemorySamples)
	case c.HeartbeatInterval < 10*time.Millisecond:
		return fmt.Errorf("heartbeat interval must be at least 10 ms, not %v", c.HeartbeatInterval)
	case c.ElectionTimeout < 4*c.HeartbeatInterval:
		return fmt.Errorf("election timeout must be at least four heartbeat intervals (%v), not %v",
			4*c.HeartbeatInterval, c.ElectionTimeout)
	case c.MaxStaleness > 0 && c.MaxStaleness < liveHeartbeats*c.HeartbeatInterval:
		return fmt.Errorf("max staleness must be at least %d heartbeat intervals (%v), not %v", liveHeartbeats,
			liveHeartbeats*c.HeartbeatInterval, c.MaxStaleness)
	case c.RequestTimeout < c.ElectionTimeout:
		return fmt.Errorf("request timeout %v is shorter than the election timeout %v",
			c.RequestTimeout, c.ElectionTimeout)
	}
	for id, addr := range c.Cluster {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("address of node %d: %w", id, err)
		}
	}
	return nil
}

// limit is that of the data set as configured.
func (c Config) limit() fsm.Limit {
	l := fsm.DefaultLimit
	l.MaxMemory = c.MaxMemory
	l.Policy, _ = fsm.ParsePolicy(c.MaxMemoryPolicy)
	l.Samples = cmp.Or(c.MaxMemorySamples, l.Samples)
	return l
}

// reachable replaces the host of an address that means every interface by this machine's name: others
// could not connect to it.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return addr
	}
	if name, err := os.Hostname(); err == nil {
		return net.JoinHostPort(name, port)
	}
	return addr
}

// ParseCluster reads a list of nodes in the form 1=host:port,2=host:port.
func ParseCluster(s string) (map[uint64]string, error) {
	cluster := make(map[uint64]string)
	for part := range strings.SplitSeq(s, ",") {
		id, addr, ok := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.ParseUint(id, 10, 64)
		if !ok || err != nil || n == 0 {
			return nil, fmt.Errorf("%q is not of the form id=host:port, with an id from 1 on", part)
		}
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return nil, fmt.Errorf("%q has no valid host:port", part)
		}
		if cluster[n] != "" {
			return nil, fmt.Errorf("node id %d is there twice", n)
		}
		for other, a := range cluster {
			if a == addr {
				return nil, fmt.Errorf("nodes %d and %d have the same address %s", other, n, addr)
			}
		}
		cluster[n] = addr
	}
	if len(cluster) == 0 {
		return nil, errors.New("it names no node")
	}
	return cluster, nil
}

// FormatCluster is the inverse of ParseCluster, with ids ascending.
func FormatCluster(cluster map[uint64]string) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(cluster)) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d=%s", id, cluster[id])
	}
	return b.String()
}

// clusterID derives the id of a new cluster from its nodes, so that all of them come to the same
// without talking to each other.
func clusterID(cluster map[uint64]string) uint64 {
	sum := sha256.Sum256([]byte(FormatCluster(cluster)))
	return binary.BigEndian.Uint64(sum[:]) | 1 // never 0
}
