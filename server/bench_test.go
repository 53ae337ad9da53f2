package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// BenchmarkLoop is the whole way of a pipeline over loopback, with an engine that costs next to
// nothing.
func BenchmarkLoop(b *testing.B) {
	value := strings.Repeat("v", 64)
	for _, bench := range []struct{ name, request, reply string }{
		{"ping", request("PING"), "+PONG\r\n"},
		{"get", request("GET", "key:000000000001"), "$64\r\n" + value + "\r\n"},
		{"set", request("SET", "key:000000000001", value), "+OK\r\n"},
	} {
		for _, depth := range []int{1, 32, 1000} {
			b.Run(fmt.Sprintf("%s-%d", bench.name, depth), func(b *testing.B) {
				s := startServer(b, Config{})
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				s.engine.dbs[0]["key:000000000001"] = []byte(value)
				out := []byte(strings.Repeat(bench.request, depth))
				in := make([]byte, len(bench.reply)*depth)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := conn.Write(out); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(conn, in); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/command")
			})
		}
	}
}
