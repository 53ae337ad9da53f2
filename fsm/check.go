package fsm

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// CorruptError says that rows are not those that the entries of the log have made: they do not add up
// to the sum that was kept while entries were applied.
type CorruptError struct {
	DB     int
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("database %d: %s", e.DB, e.Detail)
}

// checkChunk is how many bytes of rows are read before the caller of Check may pause.
const checkChunk = 1 << 20

// Check reads all rows and compares them with the sums that Apply keeps, while Apply and Read go on,
// and returns the position that it has checked. What does not fit is a *CorruptError. pause is called
// after every piece of work, and ends the check with the error that it returns.
func (m *Machine) Check(pause func() error) (Position, error) {
	if err := m.enter(); err != nil {
		return Position{}, err
	}
	defer m.leave()
	if err := m.settle(); err != nil {
		return Position{}, err
	}
	m.mu.RLock()
	if err := m.drain(); err != nil { // what was published since
		m.mu.RUnlock()
		return Position{}, err
	}
	snapshot, ks, at := m.db.NewSnapshot(), m.ks, m.applied
	m.mu.RUnlock()
	defer snapshot.Close()
	err := ks.check(snapshot, func() error {
		if m.isClosed() { // Close waits for this
			return ErrClosed
		}
		return pause()
	})
	return at, err
}

func (m *Machine) isClosed() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.closed
}

// verifyRows checks the rows of a state that no machine has open.
func verifyRows(fs vfs.FS, dir string) error {
	return withEngine(fs, dir, func(db *pebble.DB) error {
		ks, err := readKeyspace(db)
		if err != nil {
			return err
		}
		return ks.check(db, func() error { return nil })
	})
}

// check compares the rows that r holds with what is kept of them.
func (ks *keyspace) check(r pebble.Reader, pause func() error) error {
	for i := range ks.dbs { // those of programs.go, too
		c := checker{r: r, pause: pause, found: database{space: ks.dbs[i].space}}
		if err := c.rows(); err != nil {
			return fmt.Errorf("check of database %d: %w", i, located(err))
		}
		if err := c.pageRows(); err != nil {
			return fmt.Errorf("check of database %d: %w", i, located(err))
		}
		if err := c.expiries(); err != nil {
			return fmt.Errorf("check of database %d: %w", i, located(err))
		}
		if detail := c.differs(&ks.dbs[i]); detail != "" {
			return &CorruptError{i, detail}
		}
	}
	return nil
}

// checker counts and sums the rows of one database anew.
type checker struct {
	r       pebble.Reader
	pause   func() error
	read    int // bytes since the last pause
	found   database
	rowsDue uint64 // sum over the rows with an expiry time, and
	listed  uint64 // over the expiry table: the same
	owned   uint64 // sum of the pages as the rows of collections have it, and
	pages   uint64 // of the pages: the same
	stored  int64  // bytes of all tables
	strange string // what a row of these programs would never look like
}

// differs describes what is wrong, if anything.
func (c *checker) differs(kept *database) string {
	switch {
	case c.strange != "":
		return c.strange
	case c.found.keys != kept.keys || c.found.expires != kept.expires:
		return fmt.Sprintf("%d rows, %d of them with an expiry time, where there should be %d and %d",
			c.found.keys, c.found.expires, kept.keys, kept.expires)
	case c.found.sum != kept.sum:
		return fmt.Sprintf("the rows add up to %016x, not to %016x", c.found.sum, kept.sum)
	case c.rowsDue != c.listed:
		return "the expiry table does not list the expiry times of the rows"
	case c.owned != c.pages:
		return fmt.Sprintf("the pages of collections add up to %016x, not to %016x", c.pages, c.owned)
	case c.found.bytes != kept.bytes || c.stored != kept.bytes:
		return fmt.Sprintf("there are %d bytes, and %d by what the rows say, not %d", c.stored, c.found.bytes, kept.bytes)
	}
	return ""
}

func (c *checker) rows() error {
	return c.walk(tableRow, func(k, v []byte) {
		position, key, err := splitRowKey(k)
		row, rowErr := decodeRow(v)
		hash := keyHash(key)
		if err != nil || rowErr != nil || position != keyPosition(key, hash) {
			c.strange = fmt.Sprintf("malformed row %q", shorten(k))
			return
		}
		h := headerOf(c.found.space, hash, len(key), &row)
		c.found.count(h, +1)
		c.owned += row.pages()
		if h.expireAt != 0 {
			c.rowsDue += mix(hash + mix(uint64(h.expireAt)))
		}
	})
}

func (c *checker) pageRows() error {
	return c.walk(tablePage, func(k, v []byte) {
		row, err := decodeRow(v)
		if err != nil || row.Kind != Page || len(k) != spacePrefix+pageKeySize || !node(row.Value).valid() {
			c.strange = fmt.Sprintf("malformed page %q", shorten(k))
			return
		}
		root, id := binary.BigEndian.Uint64(k[spacePrefix:]), binary.BigEndian.Uint64(k[spacePrefix+8:])
		c.pages += rowSum(pageHash(root, id), &row)
	})
}

func (c *checker) expiries() error {
	return c.walk(tableExpiry, func(k, _ []byte) {
		at, key, err := splitExpiryKey(k)
		if err != nil {
			c.strange = fmt.Sprintf("malformed row %q of the expiry table", shorten(k))
			return
		}
		c.listed += mix(keyHash(key) + mix(uint64(at)))
	})
}

// walk calls fn with all rows of a table of the database.
func (c *checker) walk(table byte, fn func(k, v []byte)) error {
	it, err := c.r.NewIter(&pebble.IterOptions{
		LowerBound: appendSpace(nil, table, c.found.space), UpperBound: appendSpace(nil, table, c.found.space+1),
	})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok && c.strange == ""; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		fn(it.Key(), v)
		c.stored += int64(len(it.Key()) + len(v))
		if c.read += len(it.Key()) + len(v); c.read >= checkChunk {
			c.read = 0
			if err := c.pause(); err != nil {
				return err
			}
		}
	}
	return it.Error()
}
