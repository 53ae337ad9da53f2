package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gomodule/redigo/redis"
)

// exportCmd writes the keys of a running cluster as commands that any Redis takes.
type exportCmd struct {
	nodeAddr `embed:""`
	Out      string `help:"File to write, - for standard output." default:"-"`
	DB       int    `name:"db" help:"Only this database. Default: all." default:"-1"`
	Dump     bool   `help:"Write values as DUMP gives them, for RESTORE: exact, for Redis from 7.2 on."`
}

const (
	exportPage  = 500     // keys that are asked for at a time
	exportBytes = 4 << 20 // values that are asked for at a time, except when one alone is larger
)

var errInterrupted = errors.New("interrupted")

// Run is called by kong.
func (e *exportCmd) Run() error {
	ctx, cancel := untilSignal()
	defer cancel()
	conn, err := e.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	x := exporter{ctx: ctx, conn: conn, dump: e.Dump, bar: newProgress(-1, "export").Add}
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
	dump          bool
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
			return errInterrupted
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
			_ = x.write([]byte("SELECT"), decimal(int64(db)))
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
	if x.dump {
		return x.values(keys, []string{"MEMORY", "USAGE"}, "DUMP", x.restore)
	}
	kinds, err := redis.Strings(x.each(keys, "TYPE"))
	if err != nil {
		return err
	}
	var texts [][]byte
	for i, kind := range kinds {
		if kind == "string" {
			texts = append(texts, keys[i])
		} else if err := x.collection(kind, keys[i]); err != nil {
			return fmt.Errorf("key %.100q: %w", keys[i], err)
		}
	}
	return x.values(texts, []string{"STRLEN"}, "GET", x.set)
}

// each sends a command for every key and returns the replies.
func (x *exporter) each(keys [][]byte, command ...string) ([]any, error) {
	if len(keys) == 0 {
		return []any{}, nil
	}
	for _, key := range keys {
		args := redis.Args{}.AddFlat(command[1:]).Add(key)
		if err := x.conn.Send(command[0], args...); err != nil {
			return nil, err
		}
	}
	return redis.Values(x.conn.Do(""))
}

// values exports, each by one reply to get, as many keys at a time as their values, of which size tells how large they
// are, fit in exportBytes.
func (x *exporter) values(keys [][]byte, size []string, get string, write func(key, value []byte, at int64)) error {
	sizes, err := x.each(keys, size...)
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		n, total := 0, int64(0)
		for ; n < len(keys); n++ {
			size, _ := redis.Int64(sizes[n], nil) // 0 for a key that is gone
			if total += size; n > 0 && total > exportBytes {
				break
			}
		}
		if err := x.some(keys[:n], get, write); err != nil {
			return err
		}
		keys, sizes = keys[n:], sizes[n:]
	}
	return nil
}

// some asks for the value and the expiry of each key in one pipeline, which sees one state.
func (x *exporter) some(keys [][]byte, get string, write func(key, value []byte, at int64)) error {
	for _, key := range keys {
		if err := errors.Join(x.conn.Send(get, key), x.conn.Send("PEXPIRETIME", key)); err != nil {
			return err
		}
	}
	if err := x.conn.Flush(); err != nil {
		return err
	}
	for _, key := range keys {
		value, err := redis.Bytes(x.conn.Receive())
		gone := errors.Is(err, redis.ErrNil) || isWrongType(err)
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
		write(key, value, max(at, 0))
		x.keys++
		_ = x.bar(len(key) + len(value))
	}
	return nil
}

func (x *exporter) set(key, value []byte, at int64) {
	_ = x.write([]byte("SET"), key, value)
	_ = expireAt(x.write, key, at)
}

func (x *exporter) restore(key, payload []byte, at int64) {
	_ = x.write([]byte("RESTORE"), key, decimal(at), payload, []byte("REPLACE"), []byte("ABSTTL"))
}

// write writes a command as a client would send it. What goes wrong shows at the end.
func (x *exporter) write(args ...[]byte) error {
	fmt.Fprintf(x.out, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(x.out, "$%d\r\n", len(arg))
		_, _ = x.out.Write(arg)
		_, _ = x.out.WriteString("\r\n")
	}
	return nil
}
