package server

import (
	"fmt"
	"strconv"
	"time"

	"redoubt/command"
	"redoubt/resp"
)

// The Sentinel face: every node is a Sentinel that watches one master, the leader, and knows the other
// nodes as its replicas and as the other Sentinels.

// sentinelMasterDefault is the name of the master if none is configured.
const sentinelMasterDefault = "mymaster"

var sentinelHandlers = map[string]handler{
	"SENTINEL CKQUORUM": watched(sentinelQuorum), "SENTINEL FAILOVER": watched(sentinelFailover),
	"SENTINEL FLUSHCONFIG": asking, "SENTINEL GET-MASTER-ADDR-BY-NAME": sentinelAddr,
	"SENTINEL IS-MASTER-DOWN-BY-ADDR": sentinelIsDown, "SENTINEL MASTER": watched(sentinelMaster),
	"SENTINEL MASTERS": sentinelMasters, "SENTINEL MONITOR": sentinelRefused, "SENTINEL MYID": myID,
	"SENTINEL PENDING-SCRIPTS": sentinelScripts, "SENTINEL REMOVE": watched(sentinelRefused),
	"SENTINEL REPLICAS": watched(sentinelReplicas), "SENTINEL RESET": sentinelReset,
	"SENTINEL SENTINELS": watched(sentinelOthers), "SENTINEL SET": watched(sentinelRefused),
	"SENTINEL SLAVES": watched(sentinelReplicas),
}

// watched is a handler of calls that name the master, which can only be the one.
func watched(h handler) handler {
	return func(s *session, args [][]byte) resp.Reply {
		if string(args[2]) != s.server.cfg.SentinelMaster {
			return errNoMaster
		}
		return h(s, args)
	}
}

func sentinelRefused(_ *session, args [][]byte) resp.Reply {
	return errorf("SENTINEL %s is not supported: the only master is the leader of this cluster", args[1])
}

func sentinelScripts(*session, [][]byte) resp.Reply { return resp.NewArray(nil) }

// sentinelAddr returns the last known leader while there is none, as Sentinels do before a fail-over.
func sentinelAddr(s *session, args [][]byte) resp.Reply {
	nodes, _ := s.server.cluster()
	if string(args[2]) != s.server.cfg.SentinelMaster || len(nodes) == 0 {
		return resp.NilArray
	}
	return resp.BulkArray([]string{nodes[0].host, strconv.Itoa(nodes[0].port)})
}

// quorum counts the voters that are there, and how many elect a leader. Without a leader this node knows
// of nobody but itself.
func quorum(nodes []peer, view command.View) (usable, needed int) {
	voters := 0
	for _, p := range nodes {
		if !p.Voter {
			continue
		}
		voters++
		if p.Self || !p.down && view.Leader != 0 {
			usable++
		}
	}
	return usable, voters/2 + 1
}

func sentinelQuorum(s *session, _ [][]byte) resp.Reply {
	usable, needed := quorum(s.server.cluster())
	if usable < needed {
		return resp.NewError(fmt.Sprintf("NOQUORUM %d usable Sentinels. Not enough available Sentinels to reach "+
			"the specified quorum for this master. Not enough available Sentinels to reach the majority and "+
			"authorize a failover", usable))
	}
	return resp.NewSimple(fmt.Sprintf("OK %d usable Sentinels. Quorum and failover authorization can be reached",
		usable))
}

func sentinelFailover(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	able := false
	for _, p := range replicas(nodes) {
		able = able || p.Voter && !p.down
	}
	if view.Leader == 0 {
		return resp.NewError("INPROG Failover already in progress")
	}
	if !able || s.transfer().IsError() {
		return resp.NewError("NOGOODSLAVE No suitable replica to promote")
	}
	return resp.OK
}

// sentinelIsDown answers Sentinels that ask for agreement, and never gives them its vote.
func sentinelIsDown(s *session, args [][]byte) resp.Reply {
	port, ok := parseInt(args[3])
	if _, epochOK := parseInt(args[4]); !ok || !epochOK {
		return errNotInteger
	}
	nodes, view := s.server.cluster()
	down := false
	for _, p := range nodes {
		if p.host == string(args[2]) && int64(p.port) == port {
			down = p.master && view.Leader == 0
		}
	}
	return resp.ArrayOf(resp.NewInt(int64(oneIf(down))), resp.NewBulkString("*"), resp.NewInt(0))
}

func sentinelReset(s *session, args [][]byte) resp.Reply {
	return resp.NewInt(int64(oneIf(command.Match(args[2], []byte(s.server.cfg.SentinelMaster), true))))
}

func sentinelMasters(s *session, args [][]byte) resp.Reply {
	return resp.ArrayOf(sentinelMaster(s, args))
}

// fields collects names and values, all of them strings, as Sentinels send them.
type fields []resp.Reply

func (f *fields) add(name string, value any) {
	*f = append(*f, resp.NewBulkString(name), resp.NewBulkString(fmt.Sprint(value)))
}

// begin adds what descriptions of all kinds of nodes start with.
func (f *fields) begin(name string, p *peer, flags string) {
	ago := p.heard.Milliseconds()
	f.add("name", name)
	f.add("ip", p.host)
	f.add("port", p.port)
	f.add("runid", p.id)
	f.add("flags", flags)
	f.add("link-pending-commands", 0)
	f.add("link-refcount", 1)
	f.add("last-ping-sent", 0)
	f.add("last-ok-ping-reply", ago)
	f.add("last-ping-reply", ago)
	if p.down {
		f.add("s-down-time", max(0, ago-downAfter.Milliseconds()))
	}
	f.add("down-after-milliseconds", downAfter.Milliseconds())
}

// reported adds what masters and replicas have in common.
func (f *fields) reported(s *Server, p *peer, role string) {
	f.add("info-refresh", p.heard.Milliseconds())
	f.add("role-reported", role)
	f.add("role-reported-time", s.clock().Milliseconds())
}

func sentinelMaster(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	if len(nodes) == 0 {
		return errNoMaster
	}
	flags := "master"
	if view.Leader == 0 {
		flags = "s_down,o_down,master"
	}
	_, needed := quorum(nodes, view)
	var f fields
	f.begin(s.server.cfg.SentinelMaster, &nodes[0], flags)
	f.reported(s.server, &nodes[0], "master")
	f.add("config-epoch", view.Term)
	f.add("num-slaves", len(replicas(nodes)))
	f.add("num-other-sentinels", len(nodes)-1)
	f.add("quorum", needed)
	f.add("failover-timeout", (10 * time.Second).Milliseconds())
	f.add("parallel-syncs", 1)
	return resp.NewMap(f)
}

// downFlags are the flags of a node that is no master.
func downFlags(p *peer, kind string) string {
	if p.down {
		return "s_down," + kind + ",disconnected"
	}
	return kind
}

func sentinelReplicas(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	list := []resp.Reply{}
	for _, p := range replicas(nodes) {
		link := "ok"
		if p.down || view.Leader == 0 {
			link = "err"
		}
		var f fields
		f.begin(p.addr(), &p, downFlags(&p, "slave"))
		f.reported(s.server, &p, "slave")
		f.add("master-link-down-time", 0)
		f.add("master-link-status", link)
		f.add("master-host", nodes[0].host)
		f.add("master-port", nodes[0].port)
		f.add("slave-priority", 100)
		f.add("slave-repl-offset", p.Match)
		f.add("replica-announced", 1)
		list = append(list, resp.NewMap(f))
	}
	return resp.NewArray(list)
}

func sentinelOthers(s *session, _ [][]byte) resp.Reply {
	nodes, view := s.server.cluster()
	list := []resp.Reply{}
	for _, p := range nodes {
		if p.Self {
			continue
		}
		var f fields
		f.begin(p.id, &p, downFlags(&p, "sentinel"))
		f.add("last-hello-message", p.heard.Milliseconds())
		f.add("voted-leader", "?")
		f.add("voted-leader-epoch", view.Term)
		list = append(list, resp.NewMap(f))
	}
	return resp.NewArray(list)
}

// The messages of Sentinels. The watch's lock is held, so that they come in the order of the events.

func (s *Server) tellSwitch(from, to *peer) {
	s.hub.publish("+switch-master", fmt.Sprintf("%s %s %d %s %d", s.cfg.SentinelMaster, from.host, from.port,
		to.host, to.port))
	s.tellSlave("+slave", from)
}

func (s *Server) tellMaster(event string, p *peer) {
	s.hub.publish(event, fmt.Sprintf("master %s %s %d", s.cfg.SentinelMaster, p.host, p.port))
}

func (s *Server) tellSlave(event string, p *peer) { s.tellOf(event, "slave "+p.addr(), p) }

func (s *Server) tellSentinel(event string, p *peer) { s.tellOf(event, "sentinel "+p.id, p) }

func (s *Server) tellOf(event, who string, p *peer) {
	master := &s.watch.leader
	s.hub.publish(event, fmt.Sprintf("%s %s %d @ %s %s %d", who, p.host, p.port, s.cfg.SentinelMaster,
		master.host, master.port))
}

// infoSentinel is the section that a Sentinel's INFO has.
func infoSentinel(t *infoText) {
	nodes, view := t.server.cluster()
	status := "ok"
	if view.Leader == 0 {
		status = "odown"
	}
	t.line("sentinel_masters", 1)
	t.line("sentinel_tilt", 0)
	t.line("sentinel_running_scripts", 0)
	t.line("sentinel_scripts_queue_length", 0)
	t.line("sentinel_simulate_failure_flags", 0)
	if len(nodes) > 0 {
		t.line("master0", fmt.Sprintf("name=%s,status=%s,address=%s,slaves=%d,sentinels=%d",
			t.server.cfg.SentinelMaster, status, nodes[0].addr(), len(nodes)-1, len(nodes)))
	}
}
