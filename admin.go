package redoubt

import (
	"context"
	"strconv"
	"strings"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/raftnode"
	"redoubt/resp"
)

// Version is the version of the cluster, from 1 on: what all nodes know.
func (n *Node) Version() uint32 { return n.group.Version() }

// Status describes the node for INFO, ROLE and RAFT STATUS. How far the members are only the leader
// knows, so on other nodes these fields are zero.
func (n *Node) Status() command.Status {
	s := n.status()
	if n.Leading() {
		_ = n.addProgress(&s, progressTimeout)
	}
	return s
}

func (n *Node) status() command.Status {
	g := n.group.Status()
	s := command.Status{
		ClusterID: n.dir.id.ClusterID, NodeID: n.dir.id.NodeID, Incarnation: n.dir.id.Incarnation,
		Version: n.Version(), VersionMax: raftnode.VersionMax, Role: g.Role, Term: g.Term, Leader: g.Leader,
		Commit: g.Commit, Applied: g.Applied, FirstIndex: g.FirstIndex, LastIndex: g.LastIndex,
		SnapshotIndex: g.Snapshot.Index, LogBytes: g.LogBytes, SnapshotInProgress: g.MakingSnapshot,
		CheckedIndex: g.Checked, Corrupt: g.Corrupt, LastSnapshotOK: true, Elections: g.Stats.Elections.Load(), LeaseReads: g.Stats.LeaseReads.Load(),
		RoundReads: g.Stats.RoundReads.Load(), FSM: n.state.Stats()}
	pos, _ := n.state.State()
	s.AppliedTerm = pos.Term
	if last := g.LastSnapshot; last != nil {
		s.LastSave, s.LastSnapshotOK = last.At.Unix(), last.Err == nil
	}
	s.Members = n.members(g.Leader)
	for _, m := range s.Members {
		if m.Leader {
			s.LeaderClientAddr = m.ClientAddr
		}
		if m.Self && !m.Voter {
			s.Role = "learner"
		}
	}
	s.StalenessMS = -1
	if age := n.staleness(n.freshAt.Load()); age >= 0 {
		s.StalenessMS = age.Milliseconds()
	}
	s.MaxStalenessMS = time.Duration(n.maxStaleness.Load()).Milliseconds()
	s.Space, s.NodeSpace = n.group.Space().String(), n.space.Level().String()
	s.FreeDisk, s.MinFreeDisk = n.space.free.Load(), n.space.reserve
	s.DurableIndex = n.state.Durable().Index
	return s
}

// members lists the members, one of which leads.
func (n *Node) members(leader uint64) []command.Member {
	self := n.dir.id.NodeID
	var all []command.Member
	for _, m := range n.group.Members() {
		all = append(all, command.Member{ID: m.ID, RaftAddr: m.RaftAddr, ClientAddr: m.ClientAddr,
			Voter: !m.Learner, Leader: m.ID == leader, Self: m.ID == self, Incarnation: m.Incarnation, Version: m.Version,
			Corrupt: m.ID == self && n.group.Corrupt() != ""})
	}
	return all
}

// progressTimeout bounds how long a description waits for the leader.
const progressTimeout = time.Second

// addProgress asks the leader how far each member is. Without an answer they are shown as not active.
func (n *Node) addProgress(s *command.Status, timeout time.Duration) error {
	commit, progress, err := n.group.Progress(timeout)
	if err != nil {
		return err
	}
	for i := range s.Members {
		m := &s.Members[i]
		p := progress[m.ID]
		m.Active, m.Match, m.Space = p.Active, p.Match, p.Space
		m.Corrupt = m.Corrupt || p.Corrupt
		m.Lag = max(commit, p.Match) - p.Match
	}
	return nil
}

// Raft runs a subcommand of RAFT; args[0] is RAFT itself.
func (n *Node) Raft(ctx context.Context, args [][]byte) resp.Reply {
	sub := strings.ToUpper(string(args[1]))
	switch {
	case sub == "STATUS" && len(args) == 2:
		return n.raftStatus()
	case sub == "NODES" && len(args) == 2:
		return n.raftNodes()
	case sub == "TRANSFER" && len(args) <= 3:
		return n.raftTransfer(args[2:])
	case sub == "SNAPSHOT" && len(args) == 2:
		pos, err := n.group.MakeSnapshot()
		if err != nil {
			return resp.NewError("ERR snapshot failed: " + err.Error())
		}
		return resp.NewInt(int64(pos.Index))
	case sub == "BACKUP" && len(args) >= 3:
		return n.raftBackup(args[2:])
	case sub == "VERIFY" && len(args) == 2:
		return n.raftVerify(ctx)
	case sub == "LOG" && len(args) == 4:
		return n.raftLog(args[2], args[3])
	}
	return n.raftMembers(sub, args[2:])
}

func (n *Node) raftStatus() resp.Reply {
	s := n.Status()
	var m []resp.Reply
	text := func(name, value string) { m = append(m, resp.NewBulkString(name), resp.NewBulkString(value)) }
	num := func(name string, value uint64) { m = append(m, resp.NewBulkString(name), resp.NewInt(int64(value))) }
	num("id", s.NodeID)
	text("cluster", hex(s.ClusterID))
	text("incarnation", hex(s.Incarnation))
	text("role", s.Role)
	num("version", uint64(s.Version))
	num("version_max", uint64(s.VersionMax))
	num("term", s.Term)
	num("leader", s.Leader)
	text("leader_address", s.LeaderClientAddr)
	num("commit", s.Commit)
	num("applied", s.Applied)
	num("first", s.FirstIndex)
	num("last", s.LastIndex)
	num("log_bytes", uint64(s.LogBytes))
	num("snapshot", s.SnapshotIndex)
	text("reads", string(n.cfg.Reads))
	num("max_staleness_ms", uint64(s.MaxStalenessMS))
	num("checked", s.CheckedIndex)
	text("corrupt", s.Corrupt)
	text("space", s.Space)
	text("node_space", s.NodeSpace)
	num("free_disk", s.FreeDisk)
	return resp.NewMap(m)
}

func (n *Node) raftNodes() resp.Reply {
	s := n.status()
	_ = n.addProgress(&s, progressTimeout)
	out := make([]resp.Reply, 0, len(s.Members))
	for _, m := range s.Members {
		role := "voter"
		switch {
		case m.Leader:
			role = "leader"
		case !m.Voter:
			role = "learner"
		}
		out = append(out, resp.NewMap([]resp.Reply{
			resp.NewBulkString("id"), resp.NewInt(int64(m.ID)),
			resp.NewBulkString("role"), resp.NewBulkString(role),
			resp.NewBulkString("address"), resp.NewBulkString(m.ClientAddr),
			resp.NewBulkString("raft_address"), resp.NewBulkString(m.RaftAddr),
			resp.NewBulkString("active"), resp.NewInt(boolInt(m.Active)),
			resp.NewBulkString("match"), resp.NewInt(int64(m.Match)),
			resp.NewBulkString("lag"), resp.NewInt(int64(m.Lag)),
			resp.NewBulkString("self"), resp.NewInt(boolInt(m.Self)),
			resp.NewBulkString("incarnation"), resp.NewBulkString(hex(m.Incarnation)),
			resp.NewBulkString("version"), resp.NewInt(int64(m.Version)),
			resp.NewBulkString("corrupt"), resp.NewInt(boolInt(m.Corrupt)),
			resp.NewBulkString("space"), resp.NewBulkString(m.Space),
		}))
	}
	return resp.NewArray(out)
}

func (n *Node) raftTransfer(args [][]byte) resp.Reply {
	to := uint64(0)
	if len(args) == 1 {
		var ok bool
		if to, ok = nodeID(args[0]); !ok {
			return errNodeID
		}
	}
	return okOr(n.group.Transfer(to, n.cfg.RequestTimeout))
}

func okOr(err error) resp.Reply {
	switch known := engineError(err); {
	case err == nil:
		return resp.OK
	case known != err:
		return command.ErrorReply(known)
	}
	return resp.NewError("ERR " + err.Error())
}

// logReplyMax bounds the entries that one RAFT LOG reads, in bytes.
const logReplyMax = 16 << 20

func (n *Node) raftLog(start, end []byte) resp.Reply {
	lo, err1 := strconv.ParseUint(string(start), 10, 64)
	hi, err2 := strconv.ParseUint(string(end), 10, 64)
	if err1 != nil || err2 != nil {
		return resp.NewError("ERR value is not an integer or out of range")
	}
	entries, err := n.group.LogEntries(lo, hi, logReplyMax)
	if err != nil {
		return resp.NewError("ERR " + err.Error())
	}
	out := make([]resp.Reply, 0, len(entries))
	for _, e := range entries {
		var calls []resp.Reply
		for _, payload := range e.Proposals {
			list, err := fsm.DecodeCalls(payload)
			if err != nil {
				return resp.NewError("ERR log entry " + strconv.FormatUint(e.Index, 10) + ": " + err.Error())
			}
			for _, c := range list {
				args := []resp.Reply{resp.NewInt(int64(c.DB))}
				for _, a := range c.Args {
					args = append(args, resp.NewBulk(a))
				}
				calls = append(calls, resp.NewArray(args))
			}
		}
		out = append(out, resp.ArrayOf(resp.NewInt(int64(e.Index)), resp.NewInt(int64(e.Term)),
			resp.NewInt(e.Time), resp.NewBulkString(e.Kind), resp.NewArray(calls)))
	}
	return resp.NewArray(out)
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func hex(v uint64) string {
	s := strconv.FormatUint(v, 16)
	return strings.Repeat("0", 16-len(s)) + s
}
