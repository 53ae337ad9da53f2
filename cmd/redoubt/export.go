package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/gomodule/redigo/redis"
)

// exportCmd writes the keys of a running cluster as commands that any Redis takes.
type exportCmd struct {
	nodeAddr `embed:""`
	Out      string `help:"File to write, - for standard output." default:"-"`
	DB       int    `name:"db" help:"Only this database. Default: all." default:"-1"`
}

const (
	exportPage  = 500     // keys that are asked for at a time
	exportBytes = 4 << 20 // values that are asked for at a time, except when one alone is larger
)

// Run is called by kong.
func (e *exportCmd) Run() error {
	ctx, cancel := untilSignal()
	defer cancel()
	conn, err := e.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	x := exporter{ctx: ctx, conn: conn, bar: newProgress(-1, "export").Add}
	in, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.out = bufio.NewWriterSize(out, 1<<20)
		err := x.databases(e.DB)
		_ = out.CloseWithError(errors.Join(err, x.out.Flush()))
	}()
	err = storeFlags{}.put(ctx, e.Out, in, 0)
	_ = in.Close()
	<-ended
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d keys written\n", x.keys)
	if x.unknown > 0 {
		return fmt.Errorf("%d keys of types that can't be exported were left out", x.unknown)
	}
	return nil
}

// exporter walks through the databases.
type exporter struct {
	ctx           context.Context
	conn          redis.Conn
	out           *bufio.Writer
	bar           func(bytes int) error
	keys, unknown int
}

// databases exports one database, or all when only is negative.
func (x *exporter) databases(only int) error {
	count := 16
	if config, err := askFields(x.conn, "CONFIG", "GET", "databases"); err == nil && config.number("databases") > 0 {
		count = int(config.number("databases"))
	}
	first, end := 0, count
	if only >= 0 {
		first, end = only, only+1
	}
	for db := first; db < end; db++ {
		if err := x.database(db); err != nil {
			return fmt.Errorf("database %d: %w", db, err)
		}
	}
	return nil
}

func (x *exporter) database(db int) error {
	if _, err := x.conn.Do("SELECT", db); err != nil {
		return err
	}
	selected := false
	for cursor := "0"; ; {
		if x.ctx.Err() != nil {
			return errors.New("interrupted")
		}
		page, err := redis.Values(x.conn.Do("SCAN", cursor, "COUNT", exportPage))
		if err == nil && len(page) != 2 {
			err = fmt.Errorf("SCAN answered %d values", len(page))
		}
		if err != nil {
			return err
		}
		keys, err := redis.ByteSlices(page[1], nil)
		if err != nil {
			return err
		}
		if len(keys) > 0 && !selected {
			selected = true
			x.write([]byte("SELECT"), strconv.AppendInt(nil, int64(db), 10))
		}
		if err := x.page(keys); err != nil {
			return err
		}
		if cursor, err = redis.String(page[0], nil); err != nil || cursor == "0" {
			return err
		}
	}
}

// page exports keys. Those that are gone by now are left out.
func (x *exporter) page(keys [][]byte) error {
	kinds, err := redis.Strings(x.each("TYPE", keys))
	if err != nil {
		return err
	}
	var texts [][]byte
	for i, kind := range kinds {
		switch kind {
		case "string":
			texts = append(texts, keys[i])
		case "hash":
			if err := x.hash(keys[i]); err != nil {
				return err
			}
		case "none":
		default:
			x.unknown++
		}
	}
	return x.strings(texts)
}

// hash exports a hash in pieces, however large it is.
func (x *exporter) hash(key []byte) error {
	for cursor := "0"; ; {
		page, err := redis.Values(x.conn.Do("HSCAN", key, cursor, "COUNT", exportPage))
		if err == nil && len(page) != 2 {
			err = fmt.Errorf("HSCAN answered %d values", len(page))
		}
		if err != nil {
			return err
		}
		fields, err := redis.ByteSlices(page[1], nil)
		if err != nil {
			return err
		}
		if len(fields) > 0 {
			x.write(append([][]byte{[]byte("HSET"), key}, fields...)...)
		}
		for _, b := range fields {
			_ = x.bar(len(b))
		}
		if cursor, err = redis.String(page[0], nil); err != nil {
			return err
		}
		if cursor == "0" {
			break
		}
	}
	at, err := redis.Int64(x.conn.Do("PEXPIRETIME", key))
	if err == nil && at > 0 {
		x.write([]byte("PEXPIREAT"), key, strconv.AppendInt(nil, at, 10))
	}
	x.keys++
	return err
}

// each sends a command for every key and returns the replies.
func (x *exporter) each(command string, keys [][]byte) ([]any, error) {
	if len(keys) == 0 {
		return []any{}, nil
	}
	for _, key := range keys {
		if err := x.conn.Send(command, key); err != nil {
			return nil, err
		}
	}
	return redis.Values(x.conn.Do(""))
}

// strings exports as many keys at a time as their values fit in exportBytes.
func (x *exporter) strings(keys [][]byte) error {
	sizes, err := redis.Int64s(x.each("STRLEN", keys))
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		n, total := 1, sizes[0]
		for n < len(keys) && total+sizes[n] <= exportBytes {
			total += sizes[n]
			n++
		}
		if err := x.values(keys[:n]); err != nil {
			return err
		}
		keys, sizes = keys[n:], sizes[n:]
	}
	return nil
}

// values asks for the value and the expiry of each key in one pipeline, which sees one state.
func (x *exporter) values(keys [][]byte) error {
	for _, key := range keys {
		if err := errors.Join(x.conn.Send("GET", key), x.conn.Send("PEXPIRETIME", key)); err != nil {
			return err
		}
	}
	if err := x.conn.Flush(); err != nil {
		return err
	}
	for _, key := range keys {
		value, err := redis.Bytes(x.conn.Receive())
		gone := errors.Is(err, redis.ErrNil)
		if err != nil && !gone {
			return err
		}
		at, err := redis.Int64(x.conn.Receive())
		if err != nil {
			return err
		}
		if gone {
			continue
		}
		x.write([]byte("SET"), key, value)
		if at > 0 {
			x.write([]byte("PEXPIREAT"), key, strconv.AppendInt(nil, at, 10))
		}
		x.keys++
		_ = x.bar(len(key) + len(value))
	}
	return nil
}

// write writes a command as a client would send it. What goes wrong shows at the end.
func (x *exporter) write(args ...[]byte) {
	fmt.Fprintf(x.out, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(x.out, "$%d\r\n", len(arg))
		_, _ = x.out.Write(arg)
		_, _ = x.out.WriteString("\r\n")
	}
}
