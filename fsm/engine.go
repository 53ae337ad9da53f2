package fsm

import (
	"cmp"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	defaultMemTableBytes   = 64 << 20
	defaultBlockCacheBytes = 8 << 20

	memTablesMax     = 4  // more than one, so that writes go on while one is flushed
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
		MemTableStopWritesThreshold: memTablesMax,
		L0StopWritesThreshold:       l0StopSublevels,
		MaxManifestFileSize:         manifestBytesMax,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, compactionsMax },
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	return p
}

// located is err with the path of the damaged file, when damage is what it reports. Pebble hangs
// the path on its errors without printing it.
func located(err error) error {
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		return fmt.Errorf("%s: %w", info.Path, info.Details)
	}
	return err
}
