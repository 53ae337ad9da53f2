// Package ports gives the processes that tests start addresses of their own.
package ports

import (
	"fmt"
	"math/rand"
	"net"
	"sync/atomic"
	"testing"
)

// Range is where the ports of one package of tests are, since packages are tested at the same time. All are below those
// that the system gives to whoever asks for any, so that a node that is down for a while finds its port free; and
// below those of test/lib.sh.
type Range struct {
	first int
	given atomic.Int32
}

const (
	lowest = 10_000
	width  = 3_000
)

// The ranges.
var (
	Cluster    = newRange(0)
	Failpoints = newRange(1)
	Torture    = newRange(2)
)

func newRange(i int) *Range {
	r := &Range{first: lowest + i*width}
	r.given.Store(rand.Int31n(width)) // another run of the same tests may be going on
	return r
}

// Free returns a loopback address that nobody listens on and that was not returned before.
func (r *Range) Free(t testing.TB) string {
	t.Helper()
	for range width {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", r.first+int(r.given.Add(1))%width))
		if err == nil {
			defer ln.Close()
			return ln.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
