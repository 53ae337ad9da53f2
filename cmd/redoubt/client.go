package main

import (
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

// nodeAddr says which node a command asks.
type nodeAddr struct {
	Addr    string        `help:"Client address of a node." default:"127.0.0.1:6379"`
	Timeout time.Duration `help:"How long to wait for each answer." default:"30s"`
}

// dial connects to the node.
func (a nodeAddr) dial() (redis.Conn, error) {
	return redis.Dial("tcp", a.Addr, redis.DialConnectTimeout(a.Timeout), redis.DialReadTimeout(a.Timeout),
		redis.DialWriteTimeout(a.Timeout))
}

// fields are a reply of names and values.
type fields map[string]any

// askFields sends a command whose reply is a list of names and values.
func askFields(conn redis.Conn, command string, args ...any) (fields, error) {
	values, err := redis.Values(conn.Do(command, args...))
	if err != nil {
		return nil, err
	}
	return toFields(values)
}

func toFields(values []any) (fields, error) {
	if len(values)%2 != 0 {
		return nil, fmt.Errorf("unexpected answer of %d values", len(values))
	}
	f := make(fields)
	for i := 0; i < len(values); i += 2 {
		name, err := redis.String(values[i], nil)
		if err != nil {
			return nil, fmt.Errorf("unexpected answer: %w", err)
		}
		f[name] = values[i+1]
	}
	return f, nil
}

// text returns a field as text, "" if it is missing.
func (f fields) text(name string) string {
	s, _ := redis.String(f[name], nil)
	return s
}

// number returns a field as a number, 0 if it is missing.
func (f fields) number(name string) int64 {
	n, _ := redis.Int64(f[name], nil)
	return n
}
