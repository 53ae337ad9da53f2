package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/gomodule/redigo/redis"

	"redoubt/rdb"
)

// importCmd writes the keys of an RDB file of Redis into a running cluster.
type importCmd struct {
	nodeAddr    `embed:""`
	SkipUnknown bool   `help:"Leave keys of types that are not known here out, and exit with 0."`
	File        string `arg:"" help:"The RDB file." type:"existingfile"`
}

// Bounds of what is sent before the answers are read.
const (
	pipelineCommands = 1000
	pipelineBytes    = 4 << 20
)

// importPayload is how large a value may be that is restored as a whole, which holds all nodes up meanwhile. One that is
// larger is put together piece by piece.
const importPayload = 1 << 20

// Run is called by kong.
func (i *importCmd) Run() error {
	f, err := os.Open(i.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	databases, err := checkRDB(f)
	if err != nil {
		return fmt.Errorf("%s: %w: nothing was written", i.File, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	conn, err := i.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Do("SELECT", databases-1); err != nil {
		return fmt.Errorf("%s has keys in database %d: %w: nothing was written", i.File, databases-1, err)
	}
	im := importer{conn: conn, db: databases - 1, left: make(map[string]int)}
	bar := newProgress(info.Size(), "import")
	if err = im.file(io.TeeReader(f, bar)); err == nil {
		err = im.flush()
	}
	if err != nil {
		return fmt.Errorf("%s: %w (up to %d keys were written)", i.File, err, im.written)
	}
	_ = bar.Finish()
	fmt.Printf("%d keys written\n", im.written)
	return im.verdict(i.SkipUnknown)
}

// checkRDB reads a file to its end and compares its checksum, so that nothing is imported of one that is damaged. It
// returns how many databases the file takes.
func checkRDB(r io.Reader) (databases int, err error) {
	f, err := rdb.NewFile(r)
	if err != nil {
		return 0, err
	}
	for databases = 1; ; {
		e, err := f.Next()
		if err == io.EOF {
			return databases, nil
		}
		if err != nil {
			return 0, err
		}
		databases = max(databases, e.DB+1)
	}
}

// importer turns the keys of a file into commands.
type importer struct {
	conn    redis.Conn
	db      int
	pending int // commands that were sent and not answered
	bytes   int
	written int
	left    map[string]int // what was left out, by what it is
	failed  int            // values of known types among that
}

// file imports the keys of a file.
func (i *importer) file(in io.Reader) error {
	f, err := rdb.NewFile(in)
	for err == nil {
		var e *rdb.Entry
		if e, err = f.Next(); err == nil {
			err = i.add(e)
		}
	}
	if err != io.EOF {
		return err
	}
	if f.Functions > 0 {
		i.left["libraries of functions"] = f.Functions
	}
	if f.Modules > 0 {
		i.left["pieces of data of modules"] = f.Modules
	}
	return nil
}

func (i *importer) add(e *rdb.Entry) error {
	if e.Unknown != "" {
		i.left["keys of type "+e.Unknown]++
		return nil
	}
	v, err := rdb.Parse(e.Value)
	if err != nil {
		fmt.Fprintf(os.Stderr, "key %.100q of database %d is damaged or too large\n", e.Key, e.DB)
		i.left["keys that are damaged or too large"]++
		i.failed++
		return nil
	}
	if e.DB != i.db {
		i.db = e.DB
		if err := i.send([]byte("SELECT"), decimal(int64(e.DB))); err != nil {
			return err
		}
	}
	i.written++
	if len(e.Value) <= importPayload {
		return i.send([]byte("RESTORE"), e.Key, decimal(e.ExpireAt), rdb.Seal(e.Value), []byte("REPLACE"), []byte("ABSTTL"))
	}
	return writeValue(i.send, e.Key, v, e.ExpireAt)
}

// send sends a command, and waits for the answers when there are enough.
func (i *importer) send(args ...[]byte) error {
	list := make([]any, len(args)-1)
	for k, arg := range args[1:] {
		list[k] = arg
		i.bytes += len(arg)
	}
	if err := i.conn.Send(string(args[0]), list...); err != nil {
		return err
	}
	if i.pending++; i.pending >= pipelineCommands || i.bytes >= pipelineBytes {
		return i.flush()
	}
	return nil
}

// flush waits for the answers.
func (i *importer) flush() error {
	if err := i.conn.Flush(); err != nil {
		return err
	}
	for ; i.pending > 0; i.pending-- {
		if _, err := i.conn.Receive(); err != nil {
			return err
		}
	}
	i.bytes = 0
	return nil
}

// verdict tells of what was left out.
func (i *importer) verdict(skip bool) error {
	total := 0
	for _, what := range slices.Sorted(maps.Keys(i.left)) {
		fmt.Fprintf(os.Stderr, "%d %s were left out\n", i.left[what], what)
		total += i.left[what]
	}
	switch {
	case i.failed > 0:
		return fmt.Errorf("%d keys could not be imported", i.failed)
	case total == 0 || skip:
		return nil
	}
	return fmt.Errorf("%d keys and others that are not known here were left out; --skip-unknown accepts that", total)
}
