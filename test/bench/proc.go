package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// memory is what the kernel says of the memory of a process, in bytes: now, and at most so far.
func (p *process) memory() (now, most int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, 0, err
	}
	return procField(string(text), "VmRSS:") << 10, procField(string(text), "VmHWM:") << 10, nil
}

// procField is the number behind a name in a file of /proc, 0 if there is none.
func procField(text, name string) int64 {
	_, rest, _ := strings.Cut(text, name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(words[0], 10, 64) // 0 is what the caller gets for nonsense, too
	return n
}

const (
	settleTimeout  = 2 * time.Minute
	settleInterval = 200 * time.Millisecond
	settleShare    = 0.1 // of a processor
)

// settle waits until the nodes have done what a load left for later, or at least for a while.
func (c *cluster) settle() error {
	start := time.Now()
	for time.Since(start) < settleTimeout {
		before, err := c.processorTime()
		if err != nil {
			return err
		}
		time.Sleep(settleInterval)
		after, err := c.processorTime()
		if err != nil || c.b.ctx.Err() != nil {
			return errors.Join(err, context.Cause(c.b.ctx))
		}
		if (after - before).Seconds() < settleShare*settleInterval.Seconds()*float64(len(c.nodes)) {
			break
		}
	}
	return nil
}

// clockTick is the unit of times in /proc, on all machines that Go runs on.
const clockTick = 10 * time.Millisecond

// processorTime is what all nodes together have used.
func (c *cluster) processorTime() (sum time.Duration, err error) {
	for _, nd := range c.nodes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", nd.pid()))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may hold anything; user and system time are 11 and 12 fields behind it.
		_, rest, _ := strings.Cut(string(text), ") ")
		words := strings.Fields(rest)
		if len(words) < 13 {
			return 0, fmt.Errorf("the kernel says %q of a process", text)
		}
		for _, word := range words[11:13] {
			ticks, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum, nil
}

// busyShare is the part of all processors' time that anything used during a time.
func busyShare(during time.Duration) (float64, error) {
	idle1, total1, err := processors()
	if err != nil {
		return 0, err
	}
	time.Sleep(during)
	idle2, total2, err := processors()
	if err != nil || total2 == total1 {
		return 0, err
	}
	return 1 - float64(idle2-idle1)/float64(total2-total1), nil
}

// processors returns how long all processors together had nothing to do, and how long they have been
// there, in clock ticks.
func processors() (idle, total int64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	for i, word := range strings.Fields(first)[1:] { // user, nice, system, idle, waiting for disks, ...
		ticks, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		total += ticks
		if i == 3 || i == 4 {
			idle += ticks
		}
	}
	return idle, total, nil
}
