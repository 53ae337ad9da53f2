package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gomodule/redigo/redis"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// statusCmd shows the nodes of a cluster, each by its own word.
type statusCmd struct {
	Addr    string        `help:"Client address of any node." default:"127.0.0.1:6379"`
	Timeout time.Duration `help:"How long to wait for each node." default:"2s"`
	JSON    bool          `name:"json" help:"Print JSON."`
}

// clusterStatus is what status --json prints.
type clusterStatus struct {
	Cluster string       `json:"cluster"`
	Leader  int64        `json:"leader"` // 0: there is none
	Term    int64        `json:"term"`
	Nodes   []nodeStatus `json:"nodes"`
}

// nodeStatus is one node. Without an answer of its own, what the asked node knows of it is all there is.
type nodeStatus struct {
	ID          int64  `json:"id"`
	Address     string `json:"address"`
	RaftAddress string `json:"raft_address"`
	Role        string `json:"role"`   // leader, follower, candidate, learner, or down
	Active      bool   `json:"active"` // the leader hears from it
	Term        int64  `json:"term"`
	Index       int64  `json:"index"` // applied
	Lag         int64  `json:"lag"`   // log entries that the leader has and it does not, by the leader's word
	DiskBytes   int64  `json:"disk_bytes"`
	Uptime      int64  `json:"uptime_seconds"`
	Version     string `json:"version"`
	Corrupt     string `json:"corrupt,omitempty"`
	Error       string `json:"error,omitempty"` // why it did not answer
}

const roleDown = "down"

// Run is called by kong.
func (s *statusCmd) Run() error {
	cluster, err := s.ask()
	if err != nil {
		return err
	}
	if s.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(cluster)
	} else {
		err = cluster.print(os.Stdout, term.IsTerminal(int(os.Stdout.Fd())))
	}
	if err == nil && cluster.Leader == 0 {
		err = errors.New("the cluster has no leader")
	}
	return err
}

// ask gets the members from one node and then asks each of them.
func (s *statusCmd) ask() (*clusterStatus, error) {
	conn, err := nodeAddr{s.Addr, s.Timeout}.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	members, err := redis.Values(conn.Do("RAFT", "NODES"))
	if err != nil {
		return nil, fmt.Errorf("RAFT NODES: %w", err)
	}
	c := &clusterStatus{Nodes: make([]nodeStatus, len(members))}
	var asked sync.WaitGroup
	for i := range members {
		values, err := redis.Values(members[i], nil)
		if err != nil {
			return nil, fmt.Errorf("RAFT NODES: %w", err)
		}
		m, err := toFields(values)
		if err != nil {
			return nil, fmt.Errorf("RAFT NODES: %w", err)
		}
		n := &c.Nodes[i]
		*n = nodeStatus{ID: m.number("id"), Address: m.text("address"), RaftAddress: m.text("raft_address"),
			Role: roleDown, Active: m.number("active") == 1, Lag: m.number("lag")}
		addr := n.Address
		if m.number("self") == 1 {
			addr = s.Addr // which works from here, wherever that is
		}
		asked.Go(func() {
			if err := n.ask(nodeAddr{addr, s.Timeout}); err != nil {
				n.Error = err.Error()
			}
		})
	}
	asked.Wait()
	for _, n := range c.Nodes {
		if n.Role == "leader" && n.Term >= c.Term { // an older one does not know yet that it was replaced
			c.Leader, c.Term = n.ID, n.Term
		}
	}
	status, err := askFields(conn, "RAFT", "STATUS")
	c.Cluster = status.text("cluster")
	return c, err
}

// ask gets a node's own figures.
func (n *nodeStatus) ask(addr nodeAddr) error {
	conn, err := addr.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	raft, err := askFields(conn, "RAFT", "STATUS")
	if err != nil {
		return err
	}
	if id := raft.number("id"); id != n.ID {
		return fmt.Errorf("node %d answers at this address", id)
	}
	info, err := redis.String(conn.Do("INFO", "server", "stats"))
	if err != nil {
		return err
	}
	n.Role, n.Term, n.Index = raft.text("role"), raft.number("term"), raft.number("applied")
	n.Corrupt = raft.text("corrupt")
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redoubt_version":
			n.Version = value
		case "uptime_in_seconds":
			n.Uptime, _ = strconv.ParseInt(value, 10, 64)
		case "disk_bytes":
			n.DiskBytes, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return nil
}

var roleColors = map[string]text.Colors{"leader": {text.FgGreen, text.Bold}, "candidate": {text.FgYellow}}

// state sums a node up for people.
func (n *nodeStatus) state() (string, text.Colors) {
	switch {
	case n.Corrupt != "":
		return "corrupt", text.Colors{text.FgRed, text.Bold}
	case n.Role == roleDown && n.Active:
		return "down, but the leader hears it", text.Colors{text.FgYellow}
	case n.Role == roleDown:
		return "down", text.Colors{text.FgRed}
	case !n.Active:
		return "not active", text.Colors{text.FgYellow}
	}
	return "active", text.Colors{text.FgGreen}
}

// print writes the table.
func (c *clusterStatus) print(w io.Writer, colour bool) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	paint := func(_ text.Colors, s string) string { return s }
	if colour {
		paint = func(colors text.Colors, s string) string { return colors.Sprint(s) }
	}
	t.AppendHeader(table.Row{"id", "address", "raft address", "role", "term", "index", "lag", "data", "uptime", "version", "state"})
	for _, n := range c.Nodes {
		row := table.Row{n.ID, n.Address, n.RaftAddress}
		if n.Role == roleDown {
			row = append(row, "", "", "", n.Lag, "", "", "")
		} else {
			row = append(row, paint(roleColors[n.Role], n.Role), n.Term, n.Index, n.Lag, humanize.IBytes(uint64(n.DiskBytes)),
				(time.Duration(n.Uptime) * time.Second).String(), n.Version)
		}
		state, colors := n.state()
		t.AppendRow(append(row, paint(colors, state)))
	}
	leader := "no leader"
	if c.Leader != 0 {
		leader = fmt.Sprintf("led by node %d in term %d", c.Leader, c.Term)
	}
	_, err := fmt.Fprintf(w, "cluster %s, %s\n%s\n", c.Cluster, leader, t.Render())
	return err
}
