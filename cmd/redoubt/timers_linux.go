package main

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// By how many nanoseconds the kernel may prolong a sleep of a thread, so that it can wake several at once.
const (
	monitorSlack = 500_000
	workerSlack  = 50_000 // the kernel's own default
)

// coarsenTimers raises the timer slack of the Go runtime's monitor. While a thread is inside a system call,
// as one mostly is when every write is synced, the monitor sleeps for 20 microseconds at a time, and each
// of these sleeps costs a timer and two switches of the processor.
//
// A thread gets its slack from the one that started it, and the monitor runs before main, so the program
// starts itself anew, as the same process, and then gives all other threads the usual slack again: they
// sleep for 3 microseconds when they look for work at each other's, with a processor in their hands. Where
// that fails it is only slower.
func coarsenTimers() {
	switch slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); {
	case err != nil:
	case slack == monitorSlack:
		sharpenWorkers()
	case slack < monitorSlack && setSlack(monitorSlack) == nil:
		if self, err := os.Executable(); err == nil {
			_ = syscall.Exec(self, os.Args, os.Environ())
		}
	}
}

// setSlack is for the calling thread and for those that it will start.
func setSlack(nanoseconds uintptr) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0)
}

// sharpenWorkers has each thread that runs goroutines set its own slack: as many goroutines as there are
// threads, each on a thread of its own until all are done.
func sharpenWorkers() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	_ = setSlack(workerSlack)
	runtime.LockOSThread() // the first one makes the runtime start a thread to start others from
	runtime.UnlockOSThread()
	var all, done sync.WaitGroup
	all.Add(len(threads))
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			_ = setSlack(workerSlack)
			all.Done()
			all.Wait()
		})
	}
	done.Wait()
}
