package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	defaultMemTableBytes   = 64 << 20
	defaultBlockCacheBytes = 8 << 20

	// MemTables is how many of MemTableBytes there are at most: more than one, so that writes go on while
	// one is flushed.
	MemTables = 4

	l0StopSublevels  = 32 // writes wait for compactions above it
	compactionsMax   = 2  // at once: nodes are small and share their cores with clients' work
	bloomBitsPerKey  = 10 // one false hit in a hundred: absent keys are asked for all the time
	manifestBytesMax = 16 << 20
)

// engineOptions are Pebble's options for the state: no log of its own (the raft log is its log),
// bloom filters on whole keys, a fixed on-disk format.
func engineOptions(o Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          o.FS,
		Logger:                      o.Logger,
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		Comparer:                    pebble.DefaultComparer,
		CacheSize:                   cmp.Or(o.BlockCacheBytes, defaultBlockCacheBytes),
		MemTableSize:                cmp.Or(o.MemTableBytes, defaultMemTableBytes),
		MemTableStopWritesThreshold: MemTables,
		L0StopWritesThreshold:       l0StopSublevels,
		MaxManifestFileSize:         manifestBytesMax,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, compactionsMax },
	}
	if o.Still {
		p.DisableAutomaticCompactions = true
		p.L0StopWritesThreshold = math.MaxInt
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	return p
}

// openEngine opens Pebble's files. Where they are expected and not there it leaves the directory as it
// is; Pebble would begin anew.
func openEngine(dir string, options *pebble.Options, expect bool) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil { // some damage is a panic to Pebble
			err = fmt.Errorf("the engine's files are damaged: %v", p)
		}
	}()
	if expect {
		engine, err := pebble.Peek(dir, options.FS)
		if err != nil {
			return nil, err
		}
		if !engine.Exists {
			return nil, errors.New("the files of the state are missing or damaged: there is no marker of a manifest")
		}
	}
	return pebble.Open(dir, options)
}

// located is err with the path of the damaged file, when damage is what it reports. Pebble hangs
// the path on its errors without printing it.
func located(err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%s: %w", info.Path, info.Details)
	}
	return err
}
