package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/gomodule/redigo/redis"
	"github.com/hdt3213/rdb/core"
	"github.com/hdt3213/rdb/crc64jones"
	"github.com/hdt3213/rdb/model"
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
	if err := checkRDB(f, info.Size()); err != nil {
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
	im := importer{conn: conn, unknown: make(map[string]int)}
	bar := newProgress(info.Size(), "import")
	err = core.NewDecoder(io.TeeReader(f, bar)).Parse(im.take)
	if err = errors.Join(err, im.err); err == nil {
		err = im.flush()
	}
	if err != nil {
		return fmt.Errorf("%s: %w (up to %d keys were written)", i.File, err, im.written)
	}
	_ = bar.Finish()
	fmt.Printf("%d keys written\n", im.written)
	return im.verdict(i.SkipUnknown)
}

// rdbTrailer is the CRC-64 that files have since version 5, in bytes.
const rdbTrailer = 8

// checkRDB reads a file and compares its checksum, so that nothing is imported of one that is damaged. A
// checksum of 0 means that there is none.
func checkRDB(r io.Reader, size int64) error {
	head := make([]byte, 9)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:5]) != "REDIS" {
		return errors.New("it is not an RDB file")
	}
	if version, err := strconv.Atoi(string(head[5:])); err != nil || version < 5 {
		return nil // the decoder judges that
	}
	in := bufio.NewReaderSize(r, 1<<20)
	sum := crc64jones.New()
	sum.Write(head)
	if _, err := io.CopyN(sum, in, size-int64(len(head))-rdbTrailer); err != nil {
		return errors.New("it ends early")
	}
	trailer := make([]byte, rdbTrailer)
	if _, err := io.ReadFull(in, trailer); err != nil {
		return errors.New("it ends early")
	}
	if want := binary.LittleEndian.Uint64(trailer); want != 0 && want != sum.Sum64() {
		return errors.New("it is damaged: checksum mismatch")
	}
	return nil
}

// importer turns the objects of a file into commands.
type importer struct {
	conn    redis.Conn
	db      int
	pending int // commands that were sent and not answered
	bytes   int
	written int
	unknown map[string]int // keys by their types
	err     error
}

// take is called for each object, and returns false to stop.
func (i *importer) take(o model.RedisObject) bool {
	i.err = i.add(o)
	return i.err == nil
}

// importBatch is how many fields one command sets.
const importBatch = 100

func (i *importer) hash(o *model.HashObject) (commands []redis.Args) {
	commands = append(commands, redis.Args{"DEL", o.Key})
	var c redis.Args
	for _, field := range slices.Sorted(maps.Keys(o.Hash)) {
		if len(c) == 0 {
			c = redis.Args{"HSET", o.Key}
		}
		c = c.Add(field, o.Hash[field])
		i.bytes += len(field) + len(o.Hash[field])
		if len(c) >= 2+2*importBatch {
			commands, c = append(commands, c), nil
		}
	}
	if len(c) > 0 {
		commands = append(commands, c)
	}
	if o.Expiration != nil {
		commands = append(commands, redis.Args{"PEXPIREAT", o.Key, o.Expiration.UnixMilli()})
	}
	return commands
}

func (i *importer) add(o model.RedisObject) error {
	var commands []redis.Args
	switch o := o.(type) {
	case *model.StringObject:
		commands = append(commands, redis.Args{"SET", o.Key, o.Value})
		if o.Expiration != nil {
			commands[0] = commands[0].Add("PXAT", o.Expiration.UnixMilli())
		}
		i.bytes += len(o.Key) + len(o.Value)
	case *model.HashObject:
		commands = i.hash(o)
	default:
		i.unknown[o.GetType()]++
		return nil
	}
	if o.GetDBIndex() != i.db {
		i.db = o.GetDBIndex()
		commands = slices.Insert(commands, 0, redis.Args{"SELECT", i.db})
	}
	for _, c := range commands {
		if err := i.conn.Send(c[0].(string), c[1:]...); err != nil {
			return err
		}
		i.pending++
	}
	i.written++
	if i.pending >= pipelineCommands || i.bytes >= pipelineBytes {
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

// verdict tells of the keys that were left out.
func (i *importer) verdict(skip bool) error {
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(i.unknown)) {
		fmt.Fprintf(os.Stderr, "%d keys of type %s were left out\n", i.unknown[kind], kind)
		total += i.unknown[kind]
	}
	if total == 0 || skip {
		return nil
	}
	return fmt.Errorf("%d keys of types that are not known here were left out; --skip-unknown accepts that", total)
}
