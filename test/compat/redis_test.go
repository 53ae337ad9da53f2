package compat

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"redoubt/command"
)

var redisPath = flag.String("redis", "redis-server", "the redis-server to compare with")

// startRedis starts a redis-server for the test and returns its address, or false if there
// is no such program.
func startRedis(t *testing.T) (addr string, ok bool) {
	t.Helper()
	path, err := exec.LookPath(*redisPath)
	if err != nil {
		return "", false
	}
	for range 5 { // another program may take the port before Redis does
		port := freePort(t)
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		server := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", t.TempDir(),
			"--proto-max-bulk-len", strconv.Itoa(command.MaxStringBytes))
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan error, 1)
		go func() { exited <- server.Wait() }()
		if awaitRedis(addr, exited) {
			t.Cleanup(func() {
				_ = server.Process.Kill()
				<-exited
			})
			return addr, true
		}
	}
	t.Fatal("redis-server does not start")
	return "", false
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// awaitRedis waits until the server answers; it is false when the server has exited instead.
func awaitRedis(addr string, exited <-chan error) bool {
	for {
		if conn, err := dial(addr); err == nil {
			reply, err := conn.call([]string{"PING"})
			_ = conn.close()
			if err == nil && string(reply) == "+PONG\r\n" {
				return true
			}
		}
		select {
		case <-exited:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// redisVersion asks a server for its version.
func redisVersion(t *testing.T, redis target) string {
	t.Helper()
	reply, err := redis.call([]string{"INFO", "server"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(reply), "\r\n") {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return version
		}
	}
	t.Fatalf("no version in %q", reply)
	return ""
}

// isOld tells whether a version is older than the one that Redoubt follows.
func isOld(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major < 7 || major == 7 && minor < 2
}

func dialRedis(t *testing.T, addr string) target {
	t.Helper()
	redis, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.close() })
	return redis
}

// openTarget returns what is tested: the server at REDOUBT_ADDR, or the stand-in for one.
func openTarget(t *testing.T) target {
	t.Helper()
	var tested target
	if addr := os.Getenv("REDOUBT_ADDR"); addr != "" {
		server, err := dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		tested = server
	} else {
		tested = newLocal(t)
	}
	t.Cleanup(func() {
		if err := start(tested, 2); err != nil { // so that no case leaves settings behind
			t.Error(err)
		}
		if err := tested.close(); err != nil {
			t.Error(err)
		}
	})
	return tested
}
