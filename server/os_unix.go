//go:build unix

package server

import (
	"syscall"
	"time"
)

// writeOnce is called with a socket that does not block. It always says that it is done.
func (o *output) writeOnce(fd uintptr) bool {
	for o.written < len(o.piece) {
		n, err := syscall.Write(int(fd), o.piece[o.written:])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return true
		}
		o.written += n
	}
	return true
}

// cpuTimes returns what this process has used of the processors so far.
func cpuTimes() (user, system time.Duration) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, 0
	}
	return time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
}
