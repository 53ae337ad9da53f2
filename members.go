package redoubt

import (
	"net"
	"strconv"
	"strings"

	"redoubt/raftnode"
	"redoubt/resp"
)

var (
	errNodeID = resp.NewError("ERR invalid node id")
	errSyntax = resp.NewError("ERR syntax error")
)

// RemovedError is what Open and Node.Err return, as the target of errors.As, for a node that was removed from its
// cluster.
type RemovedError = raftnode.RemovedError

// raftMembers runs the subcommands of RAFT that change the members.
func (n *Node) raftMembers(sub string, args [][]byte) resp.Reply {
	simple := map[string]raftnode.Op{"REMOVE": raftnode.OpRemove, "PROMOTE": raftnode.OpPromote, "DEMOTE": raftnode.OpDemote}
	switch op := simple[sub]; {
	case op != "" && len(args) == 1:
		id, ok := nodeID(args[0])
		if !ok {
			return errNodeID
		}
		return okOr(n.change(op, raftnode.Member{ID: id}))
	case sub == "REPLACE" && len(args) == 2:
		id, ok := nodeID(args[0])
		incarnation, valid := parseIncarnation(args[1])
		if !ok || !valid {
			return resp.NewError("ERR invalid node id or incarnation")
		}
		return okOr(n.change(raftnode.OpReplace, raftnode.Member{ID: id, Incarnation: incarnation}))
	case sub == "ADD" && len(args) >= 2:
		return n.raftAdd(args[0], args[1:])
	case sub == "JOIN" && len(args) == 4:
		return n.raftJoin(args)
	}
	return errSyntax // the table has checked the subcommand's name
}

func (n *Node) change(op raftnode.Op, m raftnode.Member) error {
	_, err := n.group.Change(raftnode.Change{Op: op, Member: m}, n.cfg.RequestTimeout)
	return err
}

// raftAdd is ADD id|* raft-address [client-address] [LEARNER|VOTER].
func (n *Node) raftAdd(id []byte, args [][]byte) resp.Reply {
	m := raftnode.Member{RaftAddr: string(args[0]), Promote: true}
	if string(id) != "*" {
		var ok bool
		if m.ID, ok = nodeID(id); !ok {
			return errNodeID
		}
	}
	rest := args[1:]
	if n := len(rest); n > 0 {
		switch kind := strings.ToUpper(string(rest[n-1])); kind {
		case "LEARNER", "VOTER":
			m.Promote = kind == "VOTER"
			rest = rest[:n-1]
		}
	}
	if len(rest) > 1 {
		return errSyntax
	}
	if len(rest) == 1 {
		m.ClientAddr = string(rest[0])
	}
	if !isAddress(m.RaftAddr) || m.ClientAddr != "" && !isAddress(m.ClientAddr) {
		return resp.NewError("ERR invalid address: it is host:port")
	}
	added, err := n.group.Change(raftnode.Change{Op: raftnode.OpAdd, Member: m}, n.cfg.RequestTimeout)
	if err != nil {
		return okOr(err)
	}
	return resp.NewInt(int64(added.ID))
}

// raftJoin is JOIN raft-address client-address incarnation version, which a node asks for that has yet to become a
// member. When it asks again it gets the same id.
func (n *Node) raftJoin(args [][]byte) resp.Reply {
	m := raftnode.Member{RaftAddr: string(args[0]), ClientAddr: string(args[1]), Promote: true}
	var ok bool
	if m.Incarnation, ok = parseIncarnation(args[2]); !ok || !isAddress(m.RaftAddr) || !isAddress(m.ClientAddr) {
		return resp.NewError("ERR invalid address or incarnation")
	}
	version, err := strconv.ParseUint(string(args[3]), 10, 32)
	if err != nil || version == 0 {
		return resp.NewError("ERR invalid version")
	}
	m.Version = uint32(version)
	if err := n.change(raftnode.OpAdd, m); err != nil {
		return okOr(err)
	}
	members, err := n.group.Membership()
	if err != nil {
		return okOr(err)
	}
	return resp.NewBulk(members)
}

func nodeID(arg []byte) (uint64, bool) {
	id, err := strconv.ParseUint(string(arg), 10, 64)
	return id, err == nil && id != 0
}

func parseIncarnation(arg []byte) (uint64, bool) {
	incarnation, err := strconv.ParseUint(string(arg), 16, 64)
	return incarnation, err == nil && incarnation != 0
}

func isAddress(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	_, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && bad == nil
}
