package raftnode_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"redoubt/raftnode"
)

var logSeed = flag.Uint64("log.seed", 0, "seed of TestLogCrashes; 0: a new one")

func openLog(fs vfs.FS) (*raftnode.Log, error) {
	return raftnode.OpenLog(raftnode.LogOptions{FS: fs, Dir: "log", TailBytes: 1 << 20, MemTableBytes: 256 << 10,
		Logger: silent{}})
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

var _ pebble.Logger = silent{}

// TestLogCrashes lets a log do what raft may ask of it, which includes to go back to an older end, and
// takes the power away at random: what was acknowledged is there, and the log is never refused.
func TestLogCrashes(t *testing.T) {
	s := *logSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test ./raftnode -run TestLogCrashes -log.seed %d", s)
	rng := rand.New(rand.NewPCG(s, 0))
	fs := vfs.NewCrashableMem()
	var term, vote uint64
	var terms []uint64 // of the entries from index 1 on
	for run := range 60 {
		log, err := openLog(fs)
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		if run == 0 {
			if err := log.Bootstrap(); err != nil {
				t.Fatal(err)
			}
			terms = make([]uint64, raftnode.InitialPosition.Index)
			terms[len(terms)-1], term = raftnode.InitialPosition.Term, raftnode.InitialPosition.Term
		}
		compareLog(t, log, terms, term, vote)
		for range rng.IntN(40) {
			first := uint64(len(terms)) + 1
			entryTerm := terms[len(terms)-1]
			switch rng.IntN(6) {
			case 0: // another leader replaces the end, with entries of an older term
				if oldest := raftnode.InitialPosition.Index + 1; first > oldest {
					first = oldest + rng.Uint64N(first-oldest)
				}
				entryTerm = terms[first-2]
				term, vote = term+1, 0
			case 1:
				term, vote = term+1, 1+rng.Uint64N(3)
				entryTerm = term
			}
			entries := make([]*pb.Entry, 1+rng.IntN(4))
			terms = terms[:first-1]
			for i := range entries {
				entries[i] = &pb.Entry{Index: new(first + uint64(i)), Term: new(entryTerm), Type: pb.EntryNormal.Enum(),
					Data: make([]byte, rng.IntN(3000))}
				terms = append(terms, entryTerm)
			}
			hard := &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(raftnode.InitialPosition.Index)}
			if err := log.Append(hard, entries, true); err != nil {
				t.Fatal(err)
			}
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 70, 100}[rng.IntN(4)], RNG: rng})
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(4) > 0 {
			fs = crashed
		}
	}
}

func compareLog(t *testing.T, log *raftnode.Log, terms []uint64, term, vote uint64) {
	t.Helper()
	hard, _, _ := log.InitialState()
	if hard.GetTerm() != term || hard.GetVote() != vote {
		t.Fatalf("term %d, vote %d; acknowledged were %d and %d", hard.GetTerm(), hard.GetVote(), term, vote)
	}
	if last, _ := log.LastIndex(); last != uint64(len(terms)) {
		t.Fatalf("last index %d, acknowledged was %d", last, len(terms))
	}
	for i := raftnode.InitialPosition.Index; i <= uint64(len(terms)); i++ {
		if got, err := log.Term(i); err != nil || got != terms[i-1] {
			t.Fatalf("entry %d has term %d, %v; acknowledged was %d", i, got, err, terms[i-1])
		}
	}
}
