package main

import (
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger returns the process's logger and the function that writes out what is still queued.
func newLogger(format string, level zap.AtomicLevel) (*zap.Logger, func()) {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if format != "json" {
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	sink := newSink(os.Stderr)
	return zap.New(zapcore.NewCore(encoder, sink, level)), func() { _ = sink.Sync() }
}

const (
	sinkLines   = 4096
	sinkTimeout = time.Second
)

// sink writes log lines from a goroutine of its own. Whoever logs never waits: a pipe that nobody
// reads must not hold up the goroutine that answers heartbeats. Lines that find the queue full are
// dropped and counted.
type sink struct {
	lines   chan []byte
	flush   chan chan struct{}
	dropped atomic.Int64
}

func newSink(out *os.File) *sink {
	s := &sink{lines: make(chan []byte, sinkLines), flush: make(chan chan struct{})}
	go func() {
		for {
			select {
			case line := <-s.lines:
				_, _ = out.Write(line) // there is nowhere to tell it
			case done := <-s.flush:
				for len(s.lines) > 0 {
					_, _ = out.Write(<-s.lines)
				}
				close(done)
			}
			if n := s.dropped.Swap(0); n > 0 {
				_, _ = out.WriteString("log lines dropped because the log was not read in time\n")
			}
		}
	}()
	return s
}

// Write is part of zapcore.WriteSyncer.
func (s *sink) Write(line []byte) (int, error) {
	select {
	case s.lines <- append([]byte{}, line...):
	default:
		s.dropped.Add(1)
	}
	return len(line), nil
}

// Sync is part of zapcore.WriteSyncer. It gives up after a second.
func (s *sink) Sync() error {
	done := make(chan struct{})
	limit := time.After(sinkTimeout)
	select {
	case s.flush <- done:
	case <-limit:
		return nil
	}
	select {
	case <-done:
	case <-limit:
	}
	return nil
}
