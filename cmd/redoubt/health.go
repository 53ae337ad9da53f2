package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// healthCmd asks a node whether it answers.
type healthCmd struct {
	Addr    string        `help:"Client address of the node." default:"127.0.0.1:6379"`
	Timeout time.Duration `help:"How long to wait." default:"3s"`
}

// Run is called by kong.
func (h *healthCmd) Run() error {
	conn, err := net.DialTimeout("tcp", h.Addr, h.Timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(h.Timeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "+PONG\r\n" {
		return fmt.Errorf("%s answered %q", h.Addr, strings.TrimSpace(answer))
	}
	fmt.Println("ok")
	return nil
}
