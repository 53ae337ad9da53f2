package main

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// quiet keeps what go-redis logs out of the results.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// patience is longer than a change of leader on a busy machine takes. The default of go-redis, 3 s, would make
// it repeat requests that are still on their way.
const patience = 15 * time.Second

// connect opens a client of the n-th part of the application. The plain one begins at the n-th node, so that
// the parts are connected to all nodes, and goes to the next one when a node is gone.
func (cfg config) connect(n int) redis.UniversalClient {
	switch cfg.face {
	case "sentinel":
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "mymaster", SentinelAddrs: cfg.addrs, ReadTimeout: patience})
	case "cluster":
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: cfg.addrs, ReadTimeout: patience, ClusterStateReloadInterval: time.Second})
	}
	return redis.NewClient(&redis.Options{
		Addr: cfg.addrs[n%len(cfg.addrs)], ReadTimeout: patience,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var conn net.Conn
			var err error
			for i := range cfg.addrs {
				dialer := net.Dialer{Timeout: time.Second}
				conn, err = dialer.DialContext(ctx, network, cfg.addrs[(n+i)%len(cfg.addrs)])
				if err == nil {
					break
				}
			}
			return conn, err
		},
	})
}
