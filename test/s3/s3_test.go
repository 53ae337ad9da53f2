// Package s3_test backs a node up to an S3-compatible server, and restores it from there. It is a module of
// its own because of the libraries of that server.
package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const (
	bucket   = "backups"
	patience = time.Minute
)

// storage is an S3-compatible server in this process.
type storage struct {
	*s3mem.Backend
	url string
}

func startStorage(t *testing.T) storage {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return storage{backend, server.URL}
}

// object returns the content of an object, or false if there is none.
func (s storage) object(t *testing.T, key string) ([]byte, bool) {
	t.Helper()
	o, err := s.GetObject(bucket, key, nil)
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(o.Contents)
	if err = errors.Join(err, o.Contents.Close()); err != nil {
		t.Fatal(err)
	}
	return data, true
}

// program is the binary, with the storage in its environment.
type program struct {
	path string
	env  []string
}

func build(t *testing.T, s storage) program {
	t.Helper()
	p := program{path: filepath.Join(t.TempDir(), "redoubt"), env: append(os.Environ(), "AWS_ACCESS_KEY_ID=key",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3="+s.url)}
	command := exec.Command("go", "build", "-o", p.path, "./cmd/redoubt")
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return p
}

func (p program) command(args ...string) *exec.Cmd {
	c := exec.Command(p.path, args...)
	c.Env = p.env
	return c
}

func (p program) run(args ...string) (string, error) {
	out, err := p.command(args...).CombinedOutput()
	return string(out), err
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// node starts a node on a directory, and returns its address and what kills it.
func (p program) node(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	addr = freeAddr(t)
	node := p.command("--listen", addr, "--raft-listen", freeAddr(t), "--data-dir", dir)
	var out bytes.Buffer
	node.Stderr = &out
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = node.Process.Kill()
			_ = node.Wait()
		}
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := p.run("health", "--addr", addr); err == nil {
			return addr, kill
		}
		if time.Now().After(deadline) {
			t.Fatal("the node does not answer")
		}
	}
}

// fill writes values that can't be compressed, more than one part of an upload has.
func fill(t *testing.T, addr string, keys int) {
	t.Helper()
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 1<<20)
	for k := range keys {
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		if _, err := conn.Do("SET", fmt.Sprint("key", k), value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupToS3 takes a backup to the storage and back, once it is whole and once it is damaged.
func TestBackupToS3(t *testing.T) {
	s := startStorage(t)
	p := build(t, s)
	addr, kill := p.node(t, filepath.Join(t.TempDir(), "data"))
	fill(t, addr, 40)
	const name = "s3://" + bucket + "/nightly/one"
	if out, err := p.run("backup", "--addr", addr, "--out", name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kill()
	if out, err := p.run("backup", "verify", name); err != nil || !strings.Contains(out, "is whole") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	if out, err := p.run("restore", "--from", name, "--data-dir", restored); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	addr, _ = p.node(t, restored)
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := redis.Int(conn.Do("DBSIZE")); n != 40 || err != nil {
		t.Errorf("%d keys were restored, %v", n, err)
	}
	data, _ := s.object(t, "nightly/one")
	data = bytes.Clone(data)
	data[len(data)/2] ^= 1
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	if _, err := s.PutObject(bucket, "damaged", meta, bytes.NewReader(data), int64(len(data)), nil); err != nil {
		t.Fatal(err)
	}
	refused := filepath.Join(t.TempDir(), "refused")
	out, err := p.run("restore", "--from", "s3://"+bucket+"/damaged", "--data-dir", refused)
	if err == nil || !strings.Contains(out, "at offset ") {
		t.Errorf("a damaged object: %v, %s", err, out)
	}
	if _, err := os.Stat(refused); err == nil {
		t.Error("a refused restore left its directory")
	}
	if out, err := p.run("restore", "--from", "s3://"+bucket+"/none", "--data-dir", refused); err == nil {
		t.Errorf("an object that is not there is restored: %s", out)
	}
}

// TestBackupToS3Interrupted: nothing appears of a backup whose node dies.
func TestBackupToS3Interrupted(t *testing.T) {
	s := startStorage(t)
	p := build(t, s)
	addr, kill := p.node(t, filepath.Join(t.TempDir(), "data"))
	fill(t, addr, 40)
	proxy := cutAfter(t, addr, 24<<20)
	out, err := p.run("backup", "--addr", proxy, "--out", "s3://"+bucket+"/cut")
	if err == nil {
		t.Errorf("a backup that was cut off ended well: %s", out)
	}
	if _, there := s.object(t, "cut"); there {
		t.Error("there is an object of a backup that was cut off")
	}
	kill()
	if out, err := p.run("backup", "--addr", addr, "--out", "s3://"+bucket+"/cut"); err == nil {
		t.Errorf("a backup without a node ended well: %s", out)
	}
}

// cutAfter passes a connection on until so many bytes were answered.
func cutAfter(t *testing.T, addr string, bytes int64) (proxy string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			node, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(node, client) }()
			_, _ = io.CopyN(client, node, bytes)
			_ = errors.Join(client.Close(), node.Close())
		}
	}()
	return ln.Addr().String()
}
