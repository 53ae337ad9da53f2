package fsm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/failpoint"
)

// Flush makes everything that is applied at the call durable.
func (m *Machine) Flush() error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	if err := m.settle(); err != nil {
		return err
	}
	return m.flush()
}

// flush makes what is in the engine durable. It does not wait for ever: a flush that fails is tried again and again by Pebble, and the
// first failure is the last for a machine.
func (m *Machine) flush() error {
	if err := m.failure(); err != nil {
		return err
	}
	if err := failpoint.StateFlushBefore.Err(); err != nil {
		return m.fail(fmt.Errorf("flush state: %w", err))
	}
	flushed, err := m.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush state: %w", err)
	}
	select {
	case <-flushed:
		return failpoint.StateFlushAfter.Err()
	case <-m.failed:
		return m.failErr
	}
}

// Durable is a position whose effects, with all before it, a crash cannot take away.
func (m *Machine) Durable() (Position, error) {
	if err := m.enter(); err != nil {
		return Position{}, err
	}
	defer m.leave()
	it, err := m.db.NewIter(&pebble.IterOptions{
		LowerBound:                metaApplied,
		UpperBound:                append(metaApplied[:len(metaApplied):len(metaApplied)], 0),
		OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return Position{}, fmt.Errorf("read durable position: %w", err)
	}
	var at Position
	if it.First() {
		at, _, err = decodeApplied(it.Value())
	}
	return at, errors.Join(err, it.Close())
}

// Checkpoint writes a copy of the state to dir, which must not exist, as hard links where the file
// system can. Apply and Read go on meanwhile. The copy holds the state of one position, which is
// not before the one at the call; Inspect tells which.
func (m *Machine) Checkpoint(dir string) error {
	if err := m.Flush(); err != nil { // without a log, what is in memory would be missing
		return err
	}
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	if err := failpoint.CheckpointBefore.Err(); err != nil {
		return err
	}
	if err := failpoint.CheckpointAfter.After(m.checkpoint(dir)); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, err)
	}
	return nil
}

// checkpoint is Pebble's, which panics when a directory can't be synced: the machine stops then, as
// after every sync that fails.
func (m *Machine) checkpoint(dir string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = m.fail(fmt.Errorf("checkpoint to %s: %v", dir, p))
		}
	}()
	return m.db.Checkpoint(dir)
}

// Inspect returns the position and the meta of the state in a directory that no machine has open.
func Inspect(fs vfs.FS, dir string) (pos Position, meta []byte, err error) {
	err = withEngine(fs, dir, func(db *pebble.DB) error {
		if pos, _, err = readApplied(db); err != nil {
			return err
		}
		meta, err = readMeta(db, metaMember)
		return err
	})
	if err != nil {
		return Position{}, nil, err
	}
	return pos, meta, nil
}

// Verify reads every table of the state in a directory that no machine has open, and returns an
// error that names the first file that is damaged or missing. What is in the files but not what was
// applied is a *CorruptError: see Check.
func Verify(fs vfs.FS, dir string) error {
	if err := withEngine(fs, dir, func(*pebble.DB) error { return nil }); err != nil {
		return err
	}
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("verify state: %w", err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		if err := verifyTable(fs, fs.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("verify %s: %w", fs.PathJoin(dir, name), err)
		}
	}
	return verifyRows(fs, dir)
}

func verifyTable(fs vfs.FS, path string) error {
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	options := engineOptions(Options{FS: fs, Logger: quiet{}})
	options.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, options.MakeReaderOptions())
	if err != nil {
		return err // NewReader has closed the file
	}
	return errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// withEngine opens a state for reading only.
func withEngine(fs vfs.FS, dir string, fn func(*pebble.DB) error) error {
	options := engineOptions(Options{FS: fs, Logger: quiet{}})
	options.ReadOnly = true
	options.EventListener = &pebble.EventListener{
		DataCorruption: func(pebble.DataCorruptionInfo) {}, // comes back as an error, too
	}
	db, err := openEngine(dir, options, true)
	if err != nil {
		return fmt.Errorf("open state in %s: %w", dir, located(err))
	}
	if err = checkFormat(db); err == nil {
		err = fn(db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("read state in %s: %w", dir, err)
	}
	return nil
}

// quiet is a logger for looking into a directory: everything that matters comes back as an error.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
