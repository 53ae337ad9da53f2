package load

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers each command on a new listener with what reply returns for its arguments.
func serve(t *testing.T, reply func(args []any) string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					command, err := read(r) // a request is an array of strings, as some replies are
					args, ok := command.([]any)
					if err != nil || !ok {
						return
					}
					if _, err := conn.Write([]byte(reply(args))); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func TestClosedLoopSendsEveryRequestOnce(t *testing.T) {
	const n = 1003
	var seen [n]atomic.Int64
	addr := serve(t, func(args []any) string {
		var key int
		if _, err := fmt.Sscanf(args[1].(string), "key:%d", &key); err != nil {
			return "-ERR " + err.Error() + "\r\n"
		}
		seen[key].Add(1)
		return "+OK\r\n"
	})
	result, err := Run(t.Context(), Load{Addr: addr, Conns: 7, Depth: 16, Requests: n, Request: Set(Every(n), 10)})
	if err != nil || result.Requests != n || result.Nils != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	for key := range seen {
		if count := seen[key].Load(); count != 1 {
			t.Errorf("key %d was written %d times", key, count)
		}
	}
}

func TestErrorRepliesFail(t *testing.T) {
	addr := serve(t, func([]any) string { return "-ERR no\r\n" })
	for _, rate := range []float64{0, 1000} {
		_, err := Run(t.Context(), Load{Addr: addr, Conns: 2, Requests: 10, Rate: rate, Request: Get(Random(5))})
		if !errors.Is(err, ReplyError("ERR no")) {
			t.Errorf("rate %v: %v", rate, err)
		}
	}
}

func TestNilsAreCounted(t *testing.T) {
	addr := serve(t, func([]any) string { return "$-1\r\n" })
	result, err := Run(t.Context(), Load{Addr: addr, Conns: 2, Requests: 10, Request: Get(Random(5))})
	if err != nil || result.Nils != 10 {
		t.Errorf("%+v, %v", result, err)
	}
}

// A server that stops once for a while is charged with every request that was due meanwhile, not with
// the one that it had.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	const stop = 200 * time.Millisecond
	var count atomic.Int64
	addr := serve(t, func([]any) string {
		if count.Add(1) == 100 {
			time.Sleep(stop)
		}
		return "+OK\r\n"
	})
	result, err := Run(t.Context(), Load{Addr: addr, Conns: 1, Rate: 1000, Requests: 500, Request: Set(Random(5), 10)})
	if err != nil || result.Requests != 500 {
		t.Fatalf("%+v, %v", result, err)
	}
	if result.Elapsed < 499*time.Millisecond {
		t.Errorf("500 requests at 1000/s took %v", result.Elapsed)
	}
	// About 200 of the 500 were due during the stop, half of them in its first half.
	if waited := time.Duration(result.Micros(85)) * time.Microsecond; waited < stop/4 {
		t.Errorf("15 %% waited for %v or longer, which is too little", waited)
	}
	if result.Max() < stop {
		t.Errorf("the longest is %v", result.Max())
	}
}

func TestDurationEndsALoad(t *testing.T) {
	addr := serve(t, func([]any) string { return "+OK\r\n" })
	for _, rate := range []float64{0, 1000} {
		result, err := Run(t.Context(), Load{Addr: addr, Conns: 3, Rate: rate, Duration: 50 * time.Millisecond, Request: Set(Random(5), 10)})
		if err != nil || result.Requests == 0 || rate > 0 && result.Requests != 50 {
			t.Errorf("rate %v: %+v, %v", rate, result, err)
		}
	}
}

func TestRequests(t *testing.T) {
	constant := func(i uint64) uint64 { return 10 + i }
	for name, request := range map[string]Request{
		"GET key:000000000013":  Get(constant),
		"SET key:000000000013 ": Set(constant, 5),
		"MSET key:000000000016": MSet(2, constant, 5),
	} {
		parsed, err := read(bufio.NewReader(strings.NewReader(string(request(nil, 3)))))
		args, _ := parsed.([]any)
		text := fmt.Sprintln(args...)
		if err != nil || !strings.HasPrefix(text, name) {
			t.Errorf("%q begins %q, %v", text, name, err)
		}
		if len(args) > 2 && len(args[2].(string)) != 5 {
			t.Errorf("a value of %d bytes", len(args[2].(string)))
		}
	}
	if a, b := Set(constant, 20)(nil, 1), Set(constant, 20)(nil, 2); string(a) == string(b) {
		t.Error("all values are equal")
	}
}

func TestReplies(t *testing.T) {
	for text, want := range map[string]any{
		"+OK\r\n": "OK", ":12\r\n": int64(12), "$-1\r\n": nil, "$3\r\na\nb\r\n": "a\nb", "$0\r\n\r\n": "",
		"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n": []any{int64(1), []any{"x"}},
	} {
		rest := "+next\r\n"
		got, err := read(bufio.NewReader(strings.NewReader(text)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %#v, %v", text, got, err)
		}
		r := bufio.NewReader(strings.NewReader(text + rest))
		if isNil, err := skip(r); err != nil || isNil != (want == nil) {
			t.Errorf("%q is skipped as %v, %v", text, isNil, err)
		}
		if next, err := read(r); next != "next" {
			t.Errorf("behind %q comes %v, %v", text, next, err)
		}
	}
	for _, bad := range []string{"\r\n", "?\r\n", "$x\r\n", "%1\r\n", "$5\r\nab"} {
		if got, err := read(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q is read as %#v", bad, got)
		}
		if _, err := skip(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q is skipped", bad)
		}
	}
}
