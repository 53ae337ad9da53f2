package raftnode_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"redoubt/raftnode"
)

// TestCrashBeforeInstall stops between the note that a snapshot is about to be installed and the
// switch to it: the old log goes on, with the vote and without the commit index of the snapshot.
func TestCrashBeforeInstall(t *testing.T) {
	fs := vfs.NewMem()
	open := func() *raftnode.Log {
		log, err := raftnode.OpenLog(raftnode.LogOptions{FS: fs, Dir: "/log", TailBytes: 1 << 20, MemTableBytes: 1 << 20,
			Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	log := open()
	if err := log.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	hard := func(term, commit uint64) *pb.HardState {
		return &pb.HardState{Term: new(term), Vote: new(uint64(3)), Commit: new(commit)}
	}
	entry := &pb.Entry{Index: new(uint64(2)), Term: new(uint64(2)), Type: pb.EntryNormal.Enum()}
	if err := log.Append(hard(2, 1), []*pb.Entry{entry}, true); err != nil {
		t.Fatal(err)
	}
	if err := log.BeginInstall(hard(7, 100), raftnode.Position{Index: 100, Term: 6}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = open()
	defer log.Close()
	if err := log.Recover(raftnode.InitialPosition); err != nil {
		t.Fatal(err)
	}
	got, _, err := log.InitialState()
	if err != nil || got.GetTerm() != 7 || got.GetVote() != 3 || got.GetCommit() != 1 {
		t.Errorf("hard state %v, %v", got, err)
	}
	if last, _ := log.LastIndex(); last != 2 {
		t.Errorf("the log ends at %d", last)
	}
}

// TestImpossibleHardState starts on a log that is shorter than what is known to be committed: that is
// refused in words, not by a panic.
func TestImpossibleHardState(t *testing.T) {
	fs := vfs.NewMem()
	log, err := raftnode.OpenLog(raftnode.LogOptions{FS: fs, Dir: "/log", TailBytes: 1 << 20, MemTableBytes: 1 << 20,
		Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	hard := &pb.HardState{Term: new(uint64(2)), Vote: new(uint64(1)), Commit: new(uint64(100))}
	if err := errors.Join(log.Bootstrap(), log.Append(hard, nil, true)); err != nil {
		t.Fatal(err)
	}
	meta, err := raftnode.InitialMembership(77, []raftnode.Member{{ID: 1, RaftAddr: "raft-1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = raftnode.Open(raftnode.Config{NodeID: 1, ClusterID: 77, Log: log, Machine: openMachine(t, fs, raftnode.InitialPosition, meta),
		IncomingDir: "/incoming", FS: fs, Logger: zap.NewNop(), HeartbeatTicks: 2, ElectionTicks: 12})
	if err == nil || !strings.Contains(err.Error(), "commit 100 is out of range") {
		t.Errorf("Open: %v", err)
	}
}
