package raftnode_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"redoubt/raftnode"
)

var damageCount = flag.Int("log.damage", 5, "places that are damaged in each file of a log, for each kind of damage")

// TestLogDamage damages one file at a time of a log that has been through rotation, reuse and flushes,
// and was killed: it must be refused, or hold all that it acknowledged.
func TestLogDamage(t *testing.T) {
	s := *logSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test ./raftnode -run TestLogDamage -log.seed %d", s)
	rng := rand.New(rand.NewPCG(s, 0))
	fs := vfs.NewCrashableMem()
	var terms []uint64
	for run := range 3 {
		log, err := openLog(fs)
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			if err := log.Bootstrap(); err != nil {
				t.Fatal(err)
			}
			terms = make([]uint64, raftnode.InitialPosition.Index)
			terms[len(terms)-1] = raftnode.InitialPosition.Term
		}
		terms = fillLog(t, log, terms, rng)
		if run == 2 {
			damageLog(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}), terms, rng)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// fillLog appends entries of one term, one sync each, and notes other things in between.
func fillLog(t *testing.T, log *raftnode.Log, terms []uint64, rng *rand.Rand) []uint64 {
	t.Helper()
	for i := range 150 {
		data := make([]byte, rng.IntN(8000))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		e := &pb.Entry{Index: new(uint64(len(terms)) + 1), Term: new(uint64(7)), Type: pb.EntryNormal.Enum(), Data: data}
		hard := &pb.HardState{Term: new(uint64(7)), Vote: new(uint64(2)), Commit: new(raftnode.InitialPosition.Index)}
		if err := log.Append(hard, []*pb.Entry{e}, true); err != nil {
			t.Fatal(err)
		}
		terms = append(terms, 7)
		if i == 100 {
			_, err := log.AdmitPeer(2, 17)
			if err = errors.Join(err, log.BeginInstall(nil, raftnode.Position{Index: 1 << 40, Term: 7})); err != nil {
				t.Fatal(err)
			}
		}
	}
	return terms
}

func damageLog(t *testing.T, fs *vfs.MemFS, terms []uint64, rng *rand.Rand) {
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	refused, served := 0, 0
	for _, name := range names {
		path := fs.PathJoin("log", name)
		data := readAll(t, fs, path)
		for _, bad := range damages(data, rng) {
			// The clone is of a file system that nobody has written to since the kill.
			copied := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
			if bad.data == nil {
				err = copied.Remove(path)
			} else {
				err = overwrite(copied, path, bad.data)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Run(name+" "+bad.what, func(t *testing.T) {
				log, err := raftnode.OpenLog(raftnode.LogOptions{FS: copied, Dir: "log", TailBytes: 1 << 20,
					MemTableBytes: 256 << 10, Logger: silent{}, Expect: raftnode.ExpectNote})
				if err != nil {
					refused++
					return
				}
				served++
				compareLog(t, log, terms, 7, 2)
				if err := log.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	t.Logf("%d files: refused %d times, whole %d times", len(names), refused, served)
}

type badFile struct {
	what string
	data []byte // nil: missing
}

func damages(data []byte, rng *rand.Rand) []badFile {
	out := []badFile{{"missing", nil}, {"empty", []byte{}}}
	if len(data) == 0 {
		return out[:1]
	}
	out = append(out, badFile{"zeroes", make([]byte, len(data))})
	end := len(data)
	for end > 1 && data[end-1] == 0 {
		end--
	}
	for range *damageCount {
		for _, at := range []int{rng.IntN(end), max(0, end-1-rng.IntN(9000))} {
			flipped := append([]byte{}, data...)
			flipped[at] ^= 1 << rng.IntN(8)
			zeroed := append([]byte{}, data...)
			clear(zeroed[at:min(end, at+1+rng.IntN(4096))])
			out = append(out, badFile{fmt.Sprint("flipped ", at), flipped}, badFile{fmt.Sprint("cut ", at), data[:at:at]},
				badFile{fmt.Sprint("zeroed ", at), zeroed})
		}
	}
	return out
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func overwrite(fs vfs.FS, path string, data []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// TestOlderCopy starts a node on an older copy of its files, in which everything agrees: the node can't
// notice, but its leader knows better, as long as it is the same.
func TestOlderCopy(t *testing.T) {
	for seed := int64(12); seed < 22; seed++ {
		c := newCluster(t, 3, seed, nil)
		load(c.nodes, 1, 5, nil)
		c.agree()
		if c.leader() == 3 {
			if err := c.nodes[3].Transfer(1, timeout); err != nil {
				t.Fatal(err)
			}
		}
		older := c.fs[3].CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		load(c.nodes, 2, 10, nil)
		c.agree()
		leader := c.leader()
		before := c.nodes[leader].Status()
		c.stop(3)
		c.fs[3] = older
		n := c.start(3)
		failed := func() bool { return n.Err() != nil }
		c.eventually("the node stops or catches up", func() bool {
			return failed() || n.Status().Applied >= before.Applied
		})
		if failed() {
			t.Log(n.Err())
			if err := c.propose(leader, "the others go on"); err != nil {
				t.Fatal(err)
			}
			return
		}
		if after := c.nodes[leader].Status(); after.View == before.View {
			t.Fatal("the node goes on")
		}
	}
	t.Fatal("no leader stayed")
}
