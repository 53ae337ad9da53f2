package redoubt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/raftnode"
)

// TestManifestAfterCrash takes the power away while an engine flushes and compacts: what that leaves of
// a manifest is no damage. A bit that is changed in the synced part is.
func TestManifestAfterCrash(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	fs := vfs.NewCrashableMem()
	for run := range 30 {
		db, err := pebble.Open("db", &pebble.Options{FS: fs, DisableWAL: true, Logger: quietLogger{}})
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		var clones []*vfs.MemFS
		for range 12 {
			for range 20 {
				if err := db.Set(fmt.Append(nil, rng.Uint32()), make([]byte, 100), pebble.NoSync); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.AsyncFlush(); err != nil {
				t.Fatal(err)
			}
			clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for i, clone := range clones {
			if err := checkManifest(clone, "db"); err != nil {
				t.Fatalf("run %d, crash %d: %v", run, i, err)
			}
		}
		fs = clones[rng.IntN(len(clones))]
	}
	engine, err := pebble.Peek("db", fs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenReadWrite(engine.ManifestFilename, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	damage := (*raftnode.DamageError)(nil)
	if err := checkManifest(fs, "db"); !errors.As(err, &damage) || damage.Path != engine.ManifestFilename {
		t.Errorf("damage at offset 20: %v", err)
	}
}

type quietLogger struct{}

func (quietLogger) Infof(string, ...any)              {}
func (quietLogger) Errorf(string, ...any)             {}
func (quietLogger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
