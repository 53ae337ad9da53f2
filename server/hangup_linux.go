package server

import "golang.org/x/sys/unix"

// hungUp says whether the other end of a socket has closed it, or at least will send nothing more, even when there is
// something left to read.
func hungUp(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		n, err := unix.Poll(polled, 0)
		if err != unix.EINTR {
			return n > 0 && polled[0].Revents != 0
		}
	}
}
