package redoubt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"redoubt/raftnode"
	"redoubt/resp"
)

const (
	// joinRetryMin and joinRetryMax bound the time between two attempts to join, which doubles.
	joinRetryMin, joinRetryMax = 100 * time.Millisecond, 3 * time.Second
	// joinDial bounds the wait for a connection to one address.
	joinDial = 2 * time.Second
	// joinReplyMax bounds a reply, in bytes: a list of members.
	joinReplyMax = 1 << 20
)

// Join makes the data directory of a new member of a running cluster, for Open: it asks the nodes at seeds,
// client addresses of any members, for an id until one gives it, or ctx ends. A host name may stand for
// several addresses. A directory that belongs to a node already is left as it is.
//
// The directory has its incarnation before anybody is asked, so that a node that is stopped before it has
// noted the answer gets the same one the next time.
func Join(ctx context.Context, cfg Config, seeds []string) error {
	cfg.ID, cfg.joining = 0, true
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	dir, err := openDataDir(system.fs, system.rand, cfg)
	if err != nil {
		return err
	}
	if dir.id.NodeID == 0 {
		err = dir.join(ctx, cfg, seeds)
	}
	return errors.Join(err, dir.lock.Close())
}

func (d *dataDir) join(ctx context.Context, cfg Config, seeds []string) error {
	ask := resp.BulkArray([]string{"RAFT", "JOIN", cfg.RaftAdvertise, cfg.ClientAdvertise, hex(d.id.Incarnation),
		strconv.Itoa(raftnode.VersionMax)})
	for wait := joinRetryMin; ; wait = min(2*wait, joinRetryMax) {
		members, err := askSeeds(ctx, seeds, ask.Append(nil, 2), cfg.ElectionTimeout+cfg.RequestTimeout)
		if err == nil {
			if err = d.adopt(members); err == nil {
				cfg.Logger.Info("joined", zap.Uint64("id", d.id.NodeID), zap.String("cluster", hex(d.id.ClusterID)))
				return nil
			}
		}
		if ctx.Err() == nil {
			cfg.Logger.Warn("not joined yet", zap.Error(err), zap.Duration("retry in", wait))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("not joined: %w", err)
		}
	}
}

// adopt gives the directory the identity that it has among the members.
func (d *dataDir) adopt(members []byte) (err error) {
	if d.id.ClusterID, d.id.NodeID, err = raftnode.Locate(members, d.id.Incarnation); err != nil {
		return err
	}
	d.id.Members, d.id.Others = members, true
	return d.saveIdentity()
}

// askSeeds sends a request to each address that the seeds stand for, until one answers with a string.
func askSeeds(ctx context.Context, seeds []string, request []byte, timeout time.Duration) ([]byte, error) {
	var errs []error
	for _, seed := range seeds {
		host, port, err := net.SplitHostPort(seed)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		addrs, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			errs = append(errs, err)
		}
		for _, addr := range addrs {
			answer, err := askNode(ctx, net.JoinHostPort(addr, port), request, timeout)
			if err == nil {
				return answer, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", net.JoinHostPort(addr, port), err))
		}
	}
	return nil, oneLine(errors.Join(errs...))
}

func askNode(ctx context.Context, addr string, request []byte, timeout time.Duration) ([]byte, error) {
	dialer := net.Dialer{Timeout: joinDial}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, joinReplyMax))
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSpace(line)
	size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if !strings.HasPrefix(line, "$") || err != nil || size < 0 || size > joinReplyMax {
		return nil, fmt.Errorf("it says: %.200s", strings.TrimPrefix(line, "-"))
	}
	answer := make([]byte, size)
	_, err = io.ReadFull(r, answer)
	return answer, err
}
