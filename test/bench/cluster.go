package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"redoubt/test/bench/load"
)

// cluster is a number of Redoubt nodes, of which some may not run.
type cluster struct {
	b     *bench
	dir   string
	nodes []*node
	flags []string
}

// node is a member of a cluster; it keeps its place and its data when its process ends.
type node struct {
	*process
	id       int
	addr     string
	raftAddr string
	dir      string
}

// startCluster starts n nodes and returns when each of them takes a write.
func (b *bench) startCluster(n int, flags ...string) (*cluster, error) {
	dir, err := os.MkdirTemp(b.dir, "nodes.")
	if err != nil {
		return nil, err
	}
	c := &cluster{b: b, dir: dir, flags: append(flags, b.nodeFlags...)}
	for id := 1; id <= n; id++ {
		c.nodes = append(c.nodes, &node{id: id, addr: b.freeAddr(), raftAddr: b.freeAddr(),
			dir: filepath.Join(dir, strconv.Itoa(id))})
	}
	for _, nd := range c.nodes {
		err = errors.Join(err, c.startNode(nd))
	}
	for _, nd := range c.nodes {
		if err == nil {
			err = c.ready(nd)
		}
	}
	if err != nil {
		c.close()
	}
	return c, err
}

// addrs are where clients reach the nodes.
func (c *cluster) addrs() (list []string) {
	for _, nd := range c.nodes {
		list = append(list, nd.addr)
	}
	return list
}

// startNode starts the process of a node and does not wait for it.
func (c *cluster) startNode(nd *node) (err error) {
	var members []string
	for _, member := range c.nodes {
		members = append(members, fmt.Sprintf("%d=%s", member.id, member.raftAddr))
	}
	args := append([]string{"--id", strconv.Itoa(nd.id), "--listen", nd.addr, "--raft-listen", nd.raftAddr,
		"--data-dir", nd.dir, "--cluster", strings.Join(members, ",")}, c.flags...)
	nd.process, err = c.b.spawn("node "+strconv.Itoa(nd.id), nd.dir+".out", c.b.bin, args...)
	return err
}

// ready waits until a node takes a write.
func (c *cluster) ready(nd *node) error {
	return until(c.b.ctx, readyTimeout, "write taken", func() error {
		_, err := load.Do(nd.addr, askTimeout, "SET", "bench:ready", "1")
		return errors.Join(err, nd.failure())
	})
}

// close ends the nodes and removes their data.
func (c *cluster) close() {
	for _, nd := range c.nodes {
		if nd.process != nil {
			nd.kill()
		}
	}
	_ = os.RemoveAll(c.dir) // it lies in the directory of the run, which is removed again
}

// leader finds the node whose role is master.
func (c *cluster) leader() (leader *node, err error) {
	err = until(c.b.ctx, readyTimeout, "leader", func() error {
		for _, nd := range c.nodes {
			reply, err := load.Do(nd.addr, askTimeout, "ROLE")
			if role, ok := reply.([]any); err == nil && ok && len(role) > 0 && role[0] == "master" {
				leader = nd
				return nil
			}
		}
		return errors.New("no node is master")
	})
	return leader, err
}

// followers are the nodes that do not lead.
func (c *cluster) followers() (list []*node, err error) {
	leader, err := c.leader()
	for _, nd := range c.nodes {
		if nd != leader {
			list = append(list, nd)
		}
	}
	return list, err
}

// fields turns a flat list of names and values into a map.
func fields(reply any) map[string]any {
	list, _ := reply.([]any)
	m := map[string]any{}
	for i := 0; i+1 < len(list); i += 2 {
		if name, ok := list[i].(string); ok {
			m[name] = list[i+1]
		}
	}
	return m
}

// status is a node's answer to RAFT STATUS.
func (nd *node) status() (map[string]any, error) {
	reply, err := load.Do(nd.addr, askTimeout, "RAFT", "STATUS")
	return fields(reply), err
}

// number is a field that is an integer; it is 0 where there is none.
func number(m map[string]any, name string) int64 {
	n, _ := m[name].(int64)
	return n
}

// term counts elections: each of them begins a new one.
func (c *cluster) term() (int64, error) {
	leader, err := c.leader()
	if err != nil {
		return 0, err
	}
	status, err := leader.status()
	return number(status, "term"), err
}

// members is what the leader knows of each node, by id.
func (c *cluster) members() (map[int]map[string]any, error) {
	leader, err := c.leader()
	if err != nil {
		return nil, err
	}
	reply, err := load.Do(leader.addr, askTimeout, "RAFT", "NODES")
	list, _ := reply.([]any)
	members := map[int]map[string]any{}
	for _, member := range list {
		m := fields(member)
		members[int(number(m, "id"))] = m
	}
	return members, err
}

// level waits until the leader knows every node to have all entries.
func (c *cluster) level(limit time.Duration) error {
	return until(c.b.ctx, limit, "level cluster", func() error {
		members, err := c.members()
		for _, nd := range c.nodes {
			m := members[nd.id]
			if err == nil && (number(m, "active") != 1 || number(m, "lag") != 0) {
				err = fmt.Errorf("node %d has lag %d", nd.id, number(m, "lag"))
			}
			err = errors.Join(err, nd.failure())
		}
		return err
	})
}

// snapshotTimeout is for writing out the whole state.
const snapshotTimeout = 5 * time.Minute

// snapshot makes a node write its state out and truncate its log.
func (nd *node) snapshot() error {
	_, err := load.Do(nd.addr, snapshotTimeout, "RAFT", "SNAPSHOT")
	return err
}

// snapshot does so on every node.
func (c *cluster) snapshot() error {
	for _, nd := range c.nodes {
		if err := nd.snapshot(); err != nil {
			return fmt.Errorf("snapshot of node %d: %w", nd.id, err)
		}
	}
	return nil
}

// run sends a load to the leader.
func (c *cluster) run(l load.Load) (load.Result, error) {
	leader, err := c.leader()
	if err != nil {
		return load.Result{}, err
	}
	l.Addr = leader.addr
	return load.Run(c.b.ctx, l)
}

// fill writes the keys below n, in no order, with many to a command, and returns how long it took.
func (c *cluster) fill(n, size int) (time.Duration, error) {
	leader, err := c.leader()
	if err != nil {
		return 0, err
	}
	return c.b.fill(leader.addr, n, size)
}

const (
	// Each command of fill writes this many keys of small values, and fewer of large ones.
	fillKeys  = 32
	fillBytes = 8 << 10
	// fillPart is how many keys are written between two lines about it.
	fillPart = 1_000_000
)

func (b *bench) fill(addr string, n, size int) (took time.Duration, err error) {
	keys := max(1, min(fillKeys, fillBytes/size))
	mset := load.MSet(keys, load.Every(uint64(n)), size)
	requests := (n + keys - 1) / keys
	for first, part := 0, fillPart/keys; first < requests; first += part {
		result, err := load.Run(b.ctx, load.Load{Addr: addr, Conns: 16, Depth: 4, Requests: min(part, requests-first),
			Request: func(dst []byte, i uint64) []byte { return mset(dst, uint64(first)+i) }})
		if err != nil {
			return 0, err
		}
		took += result.Elapsed
		b.say("filled with %s keys of %s, %s/s, longest request %v", whole(min(n, (first+part)*keys)), whole(n),
			whole(result.PerSecond()*float64(keys)), result.Max())
	}
	return took, nil
}
