package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DamageError says where a file is not as it was written.
type DamageError struct {
	Path   string
	Offset int64 // of the first byte that can't be trusted
	Detail string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s", e.Path, e.Offset, e.Detail)
}

// What this file knows of Pebble's write-ahead log: blocks of 32 KiB; in them chunks, each with a CRC
// (4 bytes), a length (2), a type (1), the log's number (4), with some types a sync offset (8), and
// data. Less than a header at the end of a block is left empty. A log that was closed ends with a
// header of its own.
const (
	walBlock        = 32 << 10
	walHeader       = 11 // of chunks of the types 5 to 8, which the first log of a directory has
	walSyncHeader   = 19 // of chunks of the types 9 to 12
	walTypeFirst    = 5
	walTypeSync     = 9
	walTypeLast     = 12
	walNumberOffset = 7
)

// checkWALs looks at the write-ahead logs before Pebble does. Pebble tells damage from a torn end only
// where a later block of the log proves that there must have been more, and takes some damage for an
// orderly end. What was acknowledged must be there: all of the log up to the place that was noted.
func checkWALs(fs vfs.FS, dir string, a acknowledgement) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		number := walNumber(name)
		if number == 0 || !strings.HasSuffix(name, ".log") {
			continue
		}
		synced := int64(0)
		if number == a.wal {
			synced = a.walBytes
		}
		if err := checkWAL(fs, fs.PathJoin(dir, name), uint32(number), synced); err != nil {
			return err
		}
	}
	return nil
}

// checkWAL reads a log up to its end, which must not come before synced.
func checkWAL(fs vfs.FS, path string, number uint32, synced int64) error {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, walBlock)
	for base := int64(0); ; base += walBlock {
		n, err := io.ReadFull(f, block)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read %s at offset %d: %w", path, base, err)
		}
		used, goesOn, detail := walkBlock(block[:n], number)
		if end := base + int64(used); detail != "" || !goesOn && end < synced {
			if detail == "" {
				detail = fmt.Sprintf("it ends here, but %d bytes of it were acknowledged", synced)
			}
			return &DamageError{Path: path, Offset: end, Detail: detail}
		}
		if !goesOn {
			return nil
		}
	}
}

// walkBlock returns how much of a block belongs to a log, whether the log goes on in the next one, and
// what is wrong if what follows is certainly not the end of the log.
func walkBlock(b []byte, number uint32) (used int, goesOn bool, damage string) {
	for len(b)-used >= walHeader {
		h := b[used:]
		found := binary.LittleEndian.Uint32(h[walNumberOffset:])
		if found == number+1 {
			if isTrailer(h) {
				return used + walHeader, false, ""
			}
			return used, false, "it has a chunk of a later log" // Pebble looks at the number only
		}
		size, ok := chunkSize(h)
		if !ok || found != number {
			break
		}
		used += size
	}
	if len(b) < walBlock || len(b)-used >= walSyncHeader {
		return used, false, ""
	}
	for _, c := range b[used:] {
		if c != 0 {
			return used, false, ""
		}
	}
	return walBlock, true, ""
}

// chunkSize returns the size of the chunk at the beginning of b, header included, or false when there
// is none.
func chunkSize(b []byte) (int, bool) {
	size, kind := int(binary.LittleEndian.Uint16(b[4:])), b[6]
	switch {
	case kind < walTypeFirst || kind > walTypeLast:
		return 0, false
	case kind < walTypeSync:
		size += walHeader
	default:
		size += walSyncHeader
	}
	return size, size <= len(b) && maskedCRC(b[6:size]) == binary.LittleEndian.Uint32(b)
}

// isTrailer says whether a header that has a later log's number is the end of a closed log.
func isTrailer(h []byte) bool {
	return binary.LittleEndian.Uint32(h) == 0 && binary.LittleEndian.Uint16(h[4:]) == 0 && h[6] == walTypeFirst
}

// maskedCRC is the checksum as LevelDB and its descendants store it.
func maskedCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// cut ends a log where its damage begins.
func cut(fs vfs.FS, path string, at int64) error {
	from, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := fs.Create(path+".cut", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.CopyN(to, from, at)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return fmt.Errorf("cut %s at offset %d: %w", path, at, err)
	}
	return fs.Rename(path+".cut", path)
}
