package redoubt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/raftnode"
)

// The format of a manifest, Pebble's list of tables: blocks of 32 KiB; in them chunks, each with a CRC
// (4 bytes), a length (2), a type (1) and data. Less than a header at the end of a block is left empty.
const (
	manifestBlock  = 32 << 10
	manifestHeader = 7
	sectorBytes    = 512 // what a disk writes as a whole or not at all
)

// checkManifest looks at the manifest of an engine before Pebble does, which takes damage anywhere in
// it for its end, goes back to an older list of tables, and removes those that are not in it.
//
// The last edit may be one that a crash cut off. Then it is cut short, or a sector of it is missing;
// other than that, a chunk with a wrong checksum is damage.
func checkManifest(fs vfs.FS, dir string) error {
	engine, err := pebble.Peek(dir, fs)
	if err != nil || !engine.Exists {
		return nil // whoever opens the directory judges that
	}
	f, err := fs.Open(engine.ManifestFilename)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", engine.ManifestFilename, err)
	}
	at := 0
	for {
		if left := manifestBlock - at%manifestBlock; left < manifestHeader {
			at += left
		}
		if at+manifestHeader > len(data) {
			break
		}
		size := manifestHeader + int(binary.LittleEndian.Uint16(data[at+4:]))
		if at+size > len(data) || at%manifestBlock+size > manifestBlock || !validChunk(data[at:at+size]) {
			break
		}
		at += size
	}
	if at == 0 || at < len(data) && !torn(data, at) {
		return &raftnode.DamageError{Path: engine.ManifestFilename, Offset: int64(at), Detail: "checksum mismatch"}
	}
	return nil
}

// validChunk checks a chunk as LevelDB and its descendants write it.
func validChunk(b []byte) bool {
	c := crc32.Checksum(b[6:], castagnoli)
	return (c>>15|c<<17)+0xa282ead8 == binary.LittleEndian.Uint32(b)
}

// torn says whether the end of data, which begins at a place within it, may be what a crash leaves of a
// write: it is cut short, or one of its sectors is empty.
func torn(data []byte, at int) bool {
	if len(data)-at < manifestHeader {
		return true
	}
	size := manifestHeader + int(binary.LittleEndian.Uint16(data[at+4:]))
	if at%manifestBlock+size > manifestBlock {
		return false // nobody wrote such a length
	}
	if at+size > len(data) {
		return true
	}
	for from := at; from < at+size; {
		to := min(from-from%sectorBytes+sectorBytes, at+size)
		if strings.Trim(string(data[from:to]), "\x00") == "" {
			return true
		}
		from = to
	}
	return false
}

// lineError is an error whose text is one line, for the log and the operator.
type lineError struct{ error }

func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return lineError{err}
}

// Unwrap lets errors.Is and errors.As see what is behind it.
func (e lineError) Unwrap() error { return e.error }

func (e lineError) Error() string {
	lines := strings.Split(e.error.Error(), "\n")
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.TrimSpace(line); line != "" && line != "<corruption detail carrier>" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "; ")
}
