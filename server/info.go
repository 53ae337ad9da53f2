package server

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"redoubt/command"
	"redoubt/resp"
)

// section is a part of INFO.
type section struct {
	title string // its first line; the name is that in lower case
	// extra sections come with "all" and "everything" only.
	extra bool
	write func(t *infoText)
}

// infoText is what INFO writes to.
type infoText struct {
	server *Server
	status command.Status
	text   []byte
}

func (t *infoText) line(name string, value any) {
	t.text = fmt.Appendf(t.text, "%s:%v\r\n", name, value)
}

var sections = []section{
	{title: "Server", write: infoServer},
	{title: "Clients", write: infoClients},
	{title: "Memory", write: infoMemory},
	{title: "Persistence", write: infoPersistence},
	{title: "Stats", write: infoStats},
	{title: "Replication", write: infoReplication},
	{title: "Raft", write: infoRaft},
	{title: "CPU", write: infoCPU},
	{title: "Commandstats", extra: true, write: infoCommandStats},
	{title: "Errorstats", write: infoErrorStats},
	{title: "Cluster", write: infoCluster},
	{title: "Sentinel", extra: true, write: infoSentinel},
	{title: "Keyspace", write: infoKeyspace},
}

// info is INFO [section ...], where default, all and everything name several of them.
func info(s *session, args [][]byte) resp.Reply {
	wanted := map[string]bool{"default": len(args) == 1}
	for _, arg := range args[1:] {
		wanted[strings.ToLower(string(arg))] = true
	}
	all := wanted["all"] || wanted["everything"]
	t := infoText{server: s.server, status: s.server.engine.Status()}
	for _, sec := range sections {
		if !all && !wanted[strings.ToLower(sec.title)] && (sec.extra || !wanted["default"]) {
			continue
		}
		if len(t.text) > 0 {
			t.text = append(t.text, "\r\n"...)
		}
		t.text = fmt.Appendf(t.text, "# %s\r\n", sec.title)
		sec.write(&t)
	}
	return resp.NewVerbatim("txt", string(t.text))
}

func infoServer(t *infoText) {
	s := t.server
	uptime := int64(time.Since(s.started).Seconds())
	_, port := splitAddr(s.cfg.Listen)
	t.line("redis_version", redisVersion)
	t.line("redoubt_version", s.cfg.Version)
	t.line("redis_mode", s.mode())
	t.line("os", runtime.GOOS+" "+runtime.GOARCH)
	t.line("arch_bits", strconv.IntSize)
	t.line("go_version", runtime.Version())
	t.line("process_id", os.Getpid())
	t.line("run_id", s.runID)
	t.line("tcp_port", port)
	t.line("server_time_usec", time.Now().UnixMicro())
	t.line("uptime_in_seconds", uptime)
	t.line("uptime_in_days", uptime/(24*60*60))
}

func infoClients(t *infoText) {
	t.line("connected_clients", t.server.count())
	t.line("cluster_connections", 0)
	t.line("maxclients", t.server.maxClients.Load())
	t.line("blocked_clients", t.server.stats.blocked.Load())
	t.line("tracking_clients", t.server.tracking.on.Load())
	keys, ends := t.server.blocked.keys()
	t.line("total_blocking_keys", keys)
	t.line("total_blocking_keys_on_nokey", ends)
}

// infoPersistence describes snapshots by the names that Redis has for its RDB file, and the log
// by those for its append-only file.
func infoPersistence(t *infoText) {
	st := &t.status
	t.line("loading", 0)
	t.line("async_loading", 0)
	t.line("rdb_bgsave_in_progress", oneIf(st.SnapshotInProgress || t.server.saving.Load()))
	t.line("rdb_last_save_time", st.LastSave)
	t.line("rdb_last_bgsave_status", okOrErr(st.LastSnapshotOK || st.LastSave == 0))
	t.line("aof_enabled", 1)
	t.line("aof_rewrite_in_progress", 0)
	t.line("aof_last_bgrewrite_status", "ok")
	t.line("aof_last_write_status", "ok") // a node that fails to write its log stops
	t.line("aof_current_size", st.LogBytes)
}

func oneIf(on bool) int {
	if on {
		return 1
	}
	return 0
}

func okOrErr(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}

func infoStats(t *infoText) {
	s := &t.server.stats
	total := int64(0)
	for _, n := range s.errorCounts() {
		total += n
	}
	t.line("total_connections_received", s.connections.Load())
	t.line("total_commands_processed", s.commands.Load())
	t.line("instantaneous_ops_per_sec", s.commandRate.Load())
	t.line("total_net_input_bytes", s.meter.in.Load())
	t.line("total_net_output_bytes", s.meter.out.Load())
	t.line("instantaneous_input_kbps", kib(s.inRate.Load()))
	t.line("instantaneous_output_kbps", kib(s.outRate.Load()))
	t.line("rejected_connections", s.rejected.Load())
	infoStoreStats(t)
	t.line("pubsub_channels", t.server.hub.count(toChannels))
	t.line("pubsub_patterns", t.server.hub.count(toPatterns))
	t.line("pubsubshard_channels", t.server.hub.count(toShards))
	keys, items, prefixes := t.server.tracking.counts()
	t.line("tracking_total_keys", keys)
	t.line("tracking_total_items", items)
	t.line("tracking_total_prefixes", prefixes)
	t.line("total_error_replies", total)
	t.line("total_reads_processed", s.meter.reads.Load())
	t.line("total_writes_processed", s.meter.writes.Load())
}

func kib(bytes int64) string { return fmt.Sprintf("%.2f", float64(bytes)/1024) }

// infoReplication shows the leader as the master of the other nodes. Offsets are log indexes.
func infoReplication(t *infoText) {
	st := &t.status
	nodes, view := t.server.cluster()
	if view.Role == roleLeader {
		infoReplicas(t, replicas(nodes))
	} else {
		infoMaster(t, view)
	}
	t.line("master_failover_state", "no-failover")
	t.line("master_replid", fmt.Sprintf("%040x", st.ClusterID))
	t.line("master_replid2", strings.Repeat("0", 40))
	t.line("master_repl_offset", st.Applied)
	t.line("second_repl_offset", -1)
	t.line("repl_backlog_active", 1) // the log
	t.line("repl_backlog_size", st.LogBytes)
	t.line("repl_backlog_first_byte_offset", st.FirstIndex)
	t.line("repl_backlog_histlen", max(st.LastIndex+1, st.FirstIndex)-st.FirstIndex)
}

// infoReplicas has lines for the followers that are there; the lag is in seconds.
func infoReplicas(t *infoText, followers []peer) {
	followers = slices.DeleteFunc(slices.Clone(followers), func(p peer) bool { return p.down })
	t.line("role", "master")
	t.line("connected_slaves", len(followers))
	for i, p := range followers {
		t.line("slave"+strconv.Itoa(i), fmt.Sprintf("ip=%s,port=%d,state=online,offset=%d,lag=%d",
			p.host, p.port, p.Match, int64(p.heard.Seconds())))
	}
}

func infoMaster(t *infoText, view command.View) {
	st := &t.status
	host, port := splitAddr(view.LeaderAddr)
	age := st.StalenessMS
	if age > 0 {
		age /= 1000
	}
	t.line("role", "slave")
	t.line("master_host", host)
	t.line("master_port", port)
	if view.Leader != 0 {
		t.line("master_link_status", "up")
	} else {
		t.line("master_link_status", "down")
	}
	t.line("master_last_io_seconds_ago", age)
	t.line("master_sync_in_progress", 0)
	t.line("slave_read_repl_offset", st.Commit)
	t.line("slave_repl_offset", st.Applied)
	if view.Leader == 0 {
		t.line("master_link_down_since_seconds", age)
	}
	t.line("slave_priority", 100)
	t.line("slave_read_only", 0) // writes are forwarded
	t.line("replica_announced", 1)
	t.line("connected_slaves", 0)
}

func infoRaft(t *infoText) {
	st := &t.status
	t.line("raft_cluster_id", fmt.Sprintf("%016x", st.ClusterID))
	t.line("raft_node_id", st.NodeID)
	t.line("raft_incarnation", fmt.Sprintf("%016x", st.Incarnation))
	t.line("raft_role", st.Role)
	t.line("raft_term", st.Term)
	t.line("raft_leader_id", st.Leader)
	t.line("raft_leader_addr", st.LeaderClientAddr)
	t.line("raft_commit_index", st.Commit)
	t.line("raft_applied_index", st.Applied)
	t.line("raft_applied_term", st.AppliedTerm)
	t.line("raft_first_index", st.FirstIndex)
	t.line("raft_last_index", st.LastIndex)
	t.line("raft_snapshot_index", st.SnapshotIndex)
	t.line("raft_durable_index", st.DurableIndex)
	t.line("raft_checked_index", st.CheckedIndex)
	t.line("raft_version", st.Version)
	t.line("raft_version_max", st.VersionMax)
	t.line("raft_corrupt", oneIf(st.Corrupt != ""))
	t.line("raft_corrupt_reason", st.Corrupt)
	t.line("raft_log_bytes", st.LogBytes)
	t.line("raft_snapshot_in_progress", oneIf(st.SnapshotInProgress))
	t.line("raft_elections", st.Elections)
	t.line("raft_lease_reads", st.LeaseReads)
	t.line("raft_round_reads", st.RoundReads)
	t.line("raft_staleness_ms", st.StalenessMS)
	t.line("raft_max_staleness_ms", st.MaxStalenessMS)
	t.line("raft_space", st.Space)
	t.line("raft_node_space", st.NodeSpace)
	t.line("raft_free_disk_bytes", st.FreeDisk)
	t.line("raft_min_free_disk_bytes", st.MinFreeDisk)
	t.line("raft_members", len(st.Members))
	for i, m := range st.Members {
		t.line("raft_member"+strconv.Itoa(i), fmt.Sprintf(
			"id=%d,raft_addr=%s,client_addr=%s,voter=%d,leader=%d,self=%d,active=%d,match=%d,lag=%d,corrupt=%d,space=%s",
			m.ID, m.RaftAddr, m.ClientAddr, oneIf(m.Voter), oneIf(m.Leader), oneIf(m.Self),
			oneIf(m.Active), m.Match, m.Lag, oneIf(m.Corrupt), m.Space))
	}
}

func infoCPU(t *infoText) {
	user, system := cpuTimes()
	t.line("used_cpu_sys", fmt.Sprintf("%.6f", system.Seconds()))
	t.line("used_cpu_user", fmt.Sprintf("%.6f", user.Seconds()))
}

func infoCommandStats(t *infoText) {
	for _, spec := range t.server.table.All() {
		t.commandLine(spec)
		for i := range spec.Sub {
			t.commandLine(&spec.Sub[i])
		}
	}
}

func (t *infoText) commandLine(spec *command.Spec) {
	c := &t.server.routes[spec].stats
	calls, rejected, failed := c.calls.Load(), c.rejected.Load(), c.failed.Load()
	if calls == 0 && rejected == 0 && failed == 0 {
		return
	}
	micros := float64(c.nanoseconds.Load()) / 1e3
	t.line("cmdstat_"+spec.FullName(), fmt.Sprintf(
		"calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
		calls, int64(micros), micros/float64(max(calls, 1)), rejected, failed))
}

func infoErrorStats(t *infoText) {
	counts := t.server.stats.errorCounts()
	for _, code := range slices.Sorted(maps.Keys(counts)) {
		// Custom commands choose the codes; a colon in one would break the line's format.
		t.line("errorstat_"+strings.ReplaceAll(code, ":", "_"), fmt.Sprintf("count=%d", counts[code]))
	}
}

func infoCluster(t *infoText) { t.line("cluster_enabled", oneIf(t.server.clusterFace.Load())) }

// infoStoreStats are the lines of Stats that the store counts.
func infoStoreStats(t *infoText) {
	st := &t.status.FSM
	t.line("expired_keys", st.ExpiredKeys)
	t.line("evicted_keys", st.EvictedKeys)
	t.line("total_eviction_exceeded_time", 0)
	t.line("current_eviction_exceeded_time", 0)
	t.line("cache_keys", st.CacheKeys)
	t.line("cache_bytes", st.CacheBytes)
	t.line("cache_capacity_bytes", st.CacheCapacity)
	t.line("cache_hits", st.CacheHits)
	t.line("cache_misses", st.CacheMisses)
	t.line("disk_bytes", st.DiskBytes)
	t.line("memtable_bytes", st.MemTableBytes)
	t.line("block_cache_bytes", st.BlockCacheBytes)
	t.line("flushes", st.Flushes)
	t.line("compactions", st.Compactions)
	t.line("compaction_debt_bytes", st.CompactionDebtBytes)
	t.line("read_amplification", st.ReadAmp)
}

// infoKeyspace has no average times to live: nobody keeps them.
func infoKeyspace(t *infoText) {
	for db, count := range t.status.FSM.DB {
		if count.Keys > 0 {
			t.line("db"+strconv.Itoa(db),
				fmt.Sprintf("keys=%d,expires=%d,avg_ttl=0", count.Keys, count.Expires))
		}
	}
}
