package load

import (
	"io"
	"time"
)

// Listen reads so many messages of one size and notes how long each took, from the time that sentAt finds in it.
func (r *Result) Listen(in io.Reader, messages, size int, sentAt func(message []byte) time.Time) error {
	r.Latency = newHistogram()
	message := make([]byte, size)
	for range messages {
		if _, err := io.ReadFull(in, message); err != nil {
			return err
		}
		if err := record(r.Latency, time.Since(sentAt(message))); err != nil {
			return err
		}
		r.Requests++
	}
	return nil
}

// Merge puts results together that were gathered at the same time.
func Merge(results []Result) Result {
	all := Result{Latency: newHistogram()}
	for _, r := range results {
		all.Requests += r.Requests
		all.Latency.Merge(r.Latency)
	}
	return all
}
