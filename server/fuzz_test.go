package server

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzDispatch: whatever a client sends, the whole way from socket to replies does not panic, the
// connection ends in bounded time once the client has, and others are none the wiser.
func FuzzDispatch(f *testing.F) {
	f.Add([]byte(request("SET", "a", "1") + request("GET", "a") + "PING\r\nget a\r\n"))
	f.Add([]byte(request("HELLO", "3") + request("CLIENT", "LIST") + request("COMMAND", "DOCS", "get")))
	f.Add([]byte(request("CLIENT", "REPLY", "SKIP") + request("CONFIG", "GET", "*") + request("RAFT", "STATUS")))
	f.Add([]byte("*3\r\n$3\r\nSET\r\n$-1\r\n"))
	f.Add([]byte("*1\r\n$99999999999999999999\r\n"))
	f.Add([]byte(request("OBJECT", "HELP") + request("COMMAND", "GETKEYS", "LCS") + request("INFO", "everything")))
	f.Add([]byte(request("SELECT", "99") + request("DEBUG", "ERROR", "ERR x") + request("RESET") + request("QUIT")))
	f.Add([]byte("\"\\x\" 'a\r\n" + request("") + request("CLIENT", "LIST", "ID", "-1")))
	f.Fuzz(func(t *testing.T, input []byte) {
		if stops := strings.ToUpper(string(input)); strings.Contains(stops, "PAUSE") || strings.Contains(stops, "KILL") ||
			strings.Contains(stops, "SLEEP") || strings.Contains(stops, "WAIT") {
			t.Skip("commands that hold up or end other connections on purpose")
		}
		s := startServer(t, Config{Shutdown: func() {}})
		other, c := s.dial(t), s.dial(t)
		for _, conn := range []*client{other, c} { // no ports in TIME_WAIT, of which there are few
			_ = conn.Conn.(*net.TCPConn).SetLinger(0)
		}
		if got := other.call("SET", "other", "1"); got != "+OK\r\n" {
			t.Fatal(got)
		}
		go func() {
			_, _ = c.Write(input)
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		}()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c.in); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("the connection goes on after its client has ended it:", err)
		}
		if got := other.call("PING"); got != "+PONG\r\n" {
			t.Fatalf("another connection got %q", got)
		}
	})
}
