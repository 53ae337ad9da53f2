package server

import (
	"bytes"
	"fmt"
	"strconv"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// The Cluster face: a Redis Cluster of one shard that has all the slots. Its master is the leader.

// clusterHandlers are the subcommands of CLUSTER that do something. HELP is with them, since Redis
// refuses it like the others where there is no cluster.
var clusterHandlers = map[string]handler{
	"CLUSTER COUNT-FAILURE-REPORTS": clusterFailureReports, "CLUSTER COUNTKEYSINSLOT": countKeysInSlot,
	"CLUSTER FAILOVER": clusterFailover, "CLUSTER GETKEYSINSLOT": getKeysInSlot, "CLUSTER HELP": help,
	"CLUSTER INFO": clusterInfo, "CLUSTER KEYSLOT": keySlot, "CLUSTER LINKS": clusterLinks,
	"CLUSTER MYID": myID, "CLUSTER MYSHARDID": myShardID, "CLUSTER NODES": clusterNodes,
	"CLUSTER REPLICAS": clusterReplicas, "CLUSTER SAVECONFIG": asking, "CLUSTER SHARDS": clusterShards,
	"CLUSTER SLAVES": clusterReplicas, "CLUSTER SLOTS": clusterSlots,
}

func clusterHandler(name string) handler {
	if h := clusterHandlers[name]; h != nil {
		return clustered(h)
	}
	return clustered(notForClusters)
}

// clustered is a handler that nodes without the face refuse.
func clustered(h handler) handler {
	return func(s *session, args [][]byte) resp.Reply {
		if !s.server.clusterFace.Load() {
			return errNoCluster
		}
		return h(s, args)
	}
}

func notForClusters(_ *session, args [][]byte) resp.Reply {
	return errorf("CLUSTER %s is not supported: all slots belong to one shard, and RAFT administers its nodes",
		bytes.ToUpper(args[1]))
}

func notInCluster(subject string) resp.Reply {
	return errorf("%s not allowed in cluster mode", subject)
}

// mode is what HELLO and INFO call the way in which clients are served.
func (s *Server) mode() string {
	if s.clusterFace.Load() {
		return "cluster"
	}
	return "standalone"
}

// asking would let a call into a slot that is being moved here; slots do not move.
func asking(*session, [][]byte) resp.Reply { return resp.OK }

func readOnly(s *session, _ [][]byte) resp.Reply {
	s.readOnly.Store(true)
	return resp.OK
}

func readWrite(s *session, _ [][]byte) resp.Reply {
	s.readOnly.Store(false)
	return resp.OK
}

// readsLocally says whether reads may be answered from what this node has. The leader has no need to.
func (s *session) readsLocally() bool {
	return s.readOnly.Load() && s.server.engine.View().Role != roleLeader
}

// redirect sends a client with a call on keys to the leader. While there is none, or it may be dead, the
// call stays here: the engine waits for the next leader, and the client sees no error.
func (s *session) redirect(r *route, args [][]byte) resp.Reply {
	slot, keyed, same := r.spec.CallSlot(args)
	if !same {
		return errCrossSlot
	}
	if keyed && (r.write || !s.readOnly.Load()) {
		view := s.server.engine.View()
		if view.Role != roleLeader && view.Leader != 0 && view.Live && view.LeaderAddr != "" {
			host, port := splitAddr(view.LeaderAddr)
			return resp.NewError(fmt.Sprintf("MOVED %d %s:%d", slot, host, port))
		}
	}
	return otherDatabase(r.spec.Name, args)
}

// otherDatabase refuses what would leave database 0.
func otherDatabase(name string, args [][]byte) resp.Reply {
	switch name {
	case "SWAPDB", "MOVE":
		return notInCluster(name + " is")
	case "COPY":
		for i := 3; i+1 < len(args); i++ {
			if db, ok := parseInt(args[i+1]); is(args[i], "DB") && ok && db > 0 && db < fsm.Databases {
				return notInCluster("Copying to another database is")
			}
		}
	}
	return resp.Reply{}
}

func keySlot(_ *session, args [][]byte) resp.Reply { return resp.NewInt(int64(fsm.Slot(args[2]))) }

// slotCall asks the engine about the keys of a slot in database 0.
func (s *session) slotCall(args ...[]byte) resp.Reply {
	req := fsm.Request{Calls: []fsm.Call{{Args: args, Read: true}}, Local: s.readsLocally()}
	if err := s.server.engine.Do(&req); err != nil {
		return s.server.engineError(err)
	}
	return req.Replies[0]
}

func countKeysInSlot(s *session, args [][]byte) resp.Reply {
	slot, ok := parseInt(args[2])
	switch {
	case !ok:
		return errNotInteger
	case slot < 0 || slot >= fsm.Slots:
		return errSlot
	}
	return s.slotCall([]byte("SLOTCOUNT"), args[2])
}

func getKeysInSlot(s *session, args [][]byte) resp.Reply {
	slot, ok := parseInt(args[2])
	count, countOK := parseInt(args[3])
	switch {
	case !ok || !countOK:
		return errNotInteger
	case slot < 0 || slot >= fsm.Slots || count < 0:
		return errSlotOrCount
	}
	return s.slotCall([]byte("SLOTKEYS"), args[2], args[3])
}

func myID(s *session, _ [][]byte) resp.Reply {
	return resp.NewBulkString(nodeName(s.server.clusterID, s.server.nodeID))
}

func myShardID(s *session, _ [][]byte) resp.Reply {
	return resp.NewBulkString(nodeName(s.server.clusterID, 0))
}

func clusterInfo(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	state, ok := "ok", fsm.Slots
	if view.Leader == 0 {
		state, ok = "fail", 0
	}
	var text []byte
	for _, line := range []struct {
		name  string
		value any
	}{
		{"cluster_state", state}, {"cluster_slots_assigned", fsm.Slots}, {"cluster_slots_ok", ok},
		{"cluster_slots_pfail", 0}, {"cluster_slots_fail", fsm.Slots - ok},
		{"cluster_known_nodes", len(nodes)}, {"cluster_size", 1},
		{"cluster_current_epoch", view.Term}, {"cluster_my_epoch", view.Term},
		{"cluster_stats_messages_sent", 0}, {"cluster_stats_messages_received", 0},
		{"total_cluster_links_buffer_limit_exceeded", 0},
	} {
		text = fmt.Appendf(text, "%s:%v\r\n", line.name, line.value)
	}
	return resp.NewVerbatim("txt", string(text))
}

// clusterSlots has one row, as all slots have the same nodes. Followers that are down are left out.
func clusterSlots(s *session, _ [][]byte) resp.Reply {
	nodes, _ := s.server.cluster()
	if len(nodes) == 0 {
		return resp.NewArray(nil)
	}
	row := []resp.Reply{resp.NewInt(0), resp.NewInt(fsm.Slots - 1)}
	for _, p := range nodes {
		if p.master || !p.down {
			row = append(row, resp.ArrayOf(resp.NewBulkString(p.host), resp.NewInt(int64(p.port)),
				resp.NewBulkString(p.id), resp.NewMap(nil)))
		}
	}
	return resp.ArrayOf(resp.NewArray(row))
}

func clusterShards(s *session, _ [][]byte) resp.Reply {
	nodes, _ := s.server.cluster()
	list := []resp.Reply{}
	for _, p := range nodes {
		role, health := "replica", "online"
		if p.master {
			role = "master"
		}
		if p.down {
			health = "failed"
		}
		list = append(list, resp.NewMap([]resp.Reply{
			resp.NewBulkString("id"), resp.NewBulkString(p.id),
			resp.NewBulkString("port"), resp.NewInt(int64(p.port)),
			resp.NewBulkString("ip"), resp.NewBulkString(p.host),
			resp.NewBulkString("endpoint"), resp.NewBulkString(p.host),
			resp.NewBulkString("role"), resp.NewBulkString(role),
			resp.NewBulkString("replication-offset"), resp.NewInt(int64(p.Match)),
			resp.NewBulkString("health"), resp.NewBulkString(health),
		}))
	}
	return resp.ArrayOf(resp.NewMap([]resp.Reply{
		resp.NewBulkString("slots"), resp.ArrayOf(resp.NewInt(0), resp.NewInt(fsm.Slots-1)),
		resp.NewBulkString("nodes"), resp.NewArray(list)}))
}

// nodeLine is the line of CLUSTER NODES for a node; the epoch is raft's term.
func nodeLine(p *peer, master *peer, view command.View) string {
	flags, of, slots, link := "master", "-", "", "connected"
	if p.master {
		slots = " 0-" + strconv.Itoa(fsm.Slots-1)
	} else {
		flags, of = "slave", master.id
	}
	if p.Self {
		flags = "myself," + flags
	}
	if p.down || p.master && view.Leader == 0 && !p.Self {
		flags, link = flags+",fail", "disconnected"
	}
	_, peerPort := splitAddr(p.RaftAddr)
	return fmt.Sprintf("%s %s@%d %s %s 0 0 %d %s%s", p.id, p.addr(), peerPort, flags, of, view.Term, link, slots)
}

func clusterNodes(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	var text bytes.Buffer
	for i := range nodes {
		text.WriteString(nodeLine(&nodes[i], &nodes[0], view) + "\n")
	}
	return resp.NewVerbatim("txt", text.String())
}

// named finds the node that a client names by its id.
func named(nodes []peer, id []byte) (*peer, resp.Reply) {
	for i := range nodes {
		if nodes[i].id == string(bytes.ToLower(id)) {
			return &nodes[i], resp.Reply{}
		}
	}
	return nil, errorf("Unknown node %s", id)
}

func clusterReplicas(s *session, args [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	p, refusal := named(nodes, args[2])
	switch {
	case p == nil:
		return refusal
	case !p.master:
		return errorf("The specified node is not a master")
	}
	lines := []string{}
	for _, r := range replicas(nodes) {
		lines = append(lines, nodeLine(&r, p, view))
	}
	return resp.BulkArray(lines)
}

func clusterFailureReports(s *session, args [][]byte) resp.Reply {
	nodes, _ := s.server.cluster()
	if p, refusal := named(nodes, args[2]); p == nil {
		return refusal
	}
	return resp.NewInt(0)
}

func clusterLinks(s *session, _ [][]byte) resp.Reply {
	nodes, _ := s.server.cluster()
	links := []resp.Reply{}
	for _, p := range nodes {
		if p.Self || p.down {
			continue
		}
		links = append(links, resp.NewMap([]resp.Reply{
			resp.NewBulkString("direction"), resp.NewBulkString("to"),
			resp.NewBulkString("node"), resp.NewBulkString(p.id),
			resp.NewBulkString("create-time"), resp.NewInt(s.server.started.UnixMilli()),
			resp.NewBulkString("events"), resp.NewBulkString("rw"),
			resp.NewBulkString("send-buffer-allocated"), resp.NewInt(0),
			resp.NewBulkString("send-buffer-used"), resp.NewInt(0),
		}))
	}
	return resp.NewArray(links)
}

// clusterFailover makes this node the leader.
func clusterFailover(s *session, args [][]byte) resp.Reply {
	switch {
	case len(args) > 3, len(args) == 3 && !is(args[2], "FORCE") && !is(args[2], "TAKEOVER"):
		return errSyntax
	case s.server.engine.View().Role == roleLeader:
		return errorf("You should send CLUSTER FAILOVER to a replica")
	}
	return s.transfer(strconv.FormatUint(s.server.nodeID, 10))
}

// transfer is RAFT TRANSFER.
func (s *session) transfer(to ...string) resp.Reply {
	args := [][]byte{[]byte("RAFT"), []byte("TRANSFER")}
	for _, id := range to {
		args = append(args, []byte(id))
	}
	return raft(s, args)
}
