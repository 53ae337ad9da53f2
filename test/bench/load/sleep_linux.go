package load

import (
	"syscall"
	"time"
)

// sleep is more exact than time.Sleep, which waits for whole milliseconds while nothing else happens.
// It may wake early.
func sleep(d time.Duration) {
	wait := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&wait, nil) // a signal only makes it shorter
}
