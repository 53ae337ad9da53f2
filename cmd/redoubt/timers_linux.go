package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is by how many nanoseconds the kernel may prolong a sleep of one of our threads, so that
// it can wake several at once. Nothing here is timed in less than milliseconds.
const timerSlack = 500_000

// coarsenTimers raises the timer slack of all threads from the usual 50 microseconds. While a thread
// is inside a system call, as one mostly is when every write is synced, the monitor of the Go runtime
// sleeps for 20 microseconds at a time, and each of these sleeps costs a timer and two switches of the
// processor. A thread gets its slack from the one that started it, and the monitor runs before main,
// so the program starts itself anew, as the same process. Where that fails it is only slower.
func coarsenTimers() {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack >= timerSlack {
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	if slack, err = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || slack != timerSlack {
		return // or it would start itself for ever
	}
	if self, err := os.Executable(); err == nil {
		_ = syscall.Exec(self, os.Args, os.Environ())
	}
}
