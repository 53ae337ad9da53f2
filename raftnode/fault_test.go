package raftnode_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"redoubt/raftnode"
)

// faultyLogger takes Fatalf, after which the process ends, as the end of the goroutine.
type faultyLogger struct {
	once  sync.Once
	fatal chan struct{}
}

func (*faultyLogger) Infof(string, ...any)  {}
func (*faultyLogger) Errorf(string, ...any) {}
func (l *faultyLogger) Fatalf(string, ...any) {
	l.once.Do(func() { close(l.fatal) })
	runtime.Goexit()
}

// TestLogFaults has an operation on a file of the log fail once. The log must not acknowledge anything
// from then on, even though the disk works again: after an fsync that failed nobody knows what is on it.
func TestLogFaults(t *testing.T) {
	for name, op := range map[string]errorfs.Op{
		"log write":   {Path: ".log", Kind: errorfs.OpFileWrite},
		"log fill":    {Path: ".log", Kind: errorfs.OpFileWriteAt},
		"log sync":    {Path: ".log", Kind: errorfs.OpFileSyncData},
		"ACKED write": {Path: "ACKED", Kind: errorfs.OpFileWriteAt},
		"ACKED sync":  {Path: "ACKED", Kind: errorfs.OpFileSyncData},
	} {
		t.Run(name, func(t *testing.T) { logFault(t, op.Path, op.Kind) })
	}
}

func logFault(t *testing.T, suffix string, kind errorfs.OpKind) {
	mem := vfs.NewCrashableMem()
	var armed, fired errorfs.Toggle
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != kind || !strings.HasSuffix(op.Path, suffix) || armed.MaybeError(op) == nil {
			return nil
		}
		armed.Off()
		fired.On()
		return errors.New("injected")
	})
	armed.Injector, fired.Injector = always, always
	logger := &faultyLogger{fatal: make(chan struct{})}
	log, err := raftnode.OpenLog(raftnode.LogOptions{FS: errorfs.Wrap(mem, inject), Dir: "log", TailBytes: 1 << 20,
		MemTableBytes: 8 << 20, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	index := raftnode.InitialPosition.Index
	appendOne := func() (acknowledged bool) {
		e := &pb.Entry{Index: new(index + 1), Term: new(uint64(1)), Type: pb.EntryNormal.Enum(), Data: make([]byte, 20000)}
		done := make(chan error, 1)
		go func() {
			defer close(done)
			done <- log.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(1)), Commit: new(index)}, []*pb.Entry{e}, true)
		}()
		select {
		case err, returned := <-done:
			acknowledged = returned && err == nil
		case <-logger.fatal:
		}
		if acknowledged {
			index++
		}
		return acknowledged
	}
	for range 3 {
		if !appendOne() {
			t.Fatal("not acknowledged without a fault")
		}
	}
	armed.On()
	for deadline := time.Now().Add(timeout); fired.MaybeError(errorfs.Op{}) == nil; appendOne() {
		if time.Now().After(deadline) {
			t.Fatal("the log never does that to the file")
		}
	}
	background := suffix == "ACKED" && kind == errorfs.OpFileSyncData // a later acknowledgement tells
	for deadline := time.Now().Add(timeout); appendOne(); {
		if !background || time.Now().After(deadline) {
			t.Fatal("acknowledged after a fault")
		}
	}
	reopened, err := openLog(mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))}))
	if err != nil {
		t.Fatal(err)
	}
	defer reopened.Close()
	if last, _ := reopened.LastIndex(); last < index {
		t.Errorf("the log ends at index %d, acknowledged was %d", last, index)
	}
}

var always = errorfs.InjectorFunc(func(errorfs.Op) error { return errors.New("on") })
