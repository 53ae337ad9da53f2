package main

import (
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

// healthCmd asks a node whether it answers, and whether its answers count.
type healthCmd struct {
	Addr    string        `help:"Client address of the node." default:"127.0.0.1:6379"`
	Timeout time.Duration `help:"How long to wait." default:"3s"`
}

// Run is called by kong.
func (h *healthCmd) Run() error {
	conn, err := nodeAddr(*h).dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := redis.String(conn.Do("PING"))
	if err != nil {
		return err
	}
	if answer != "PONG" {
		return fmt.Errorf("%s answered %q", h.Addr, answer)
	}
	status, err := askFields(conn, "RAFT", "STATUS")
	if err != nil {
		return err
	}
	if why := status.text("corrupt"); why != "" {
		return fmt.Errorf("%s is corrupt: %s", h.Addr, why)
	}
	fmt.Println("ok")
	return nil
}
