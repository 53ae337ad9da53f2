package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"

	"redoubt/rdb"
)

// collection exports a key that is no string, in pieces however large it is.
func (x *exporter) collection(kind string, key []byte) error {
	for range 3 { // it may become something else meanwhile
		err := x.pieces(kind, key)
		if !isWrongType(err) {
			return err
		}
		if kind, err = redis.String(x.conn.Do("TYPE", key)); err != nil || kind == "string" {
			return errors.Join(err, x.values([][]byte{key}, []string{"STRLEN"}, "GET", x.set))
		}
	}
	return errors.New("it changes its type all the time")
}

func isWrongType(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(string(reply), "WRONGTYPE")
}

// pieces exports a collection as one of this kind.
func (x *exporter) pieces(kind string, key []byte) error {
	found, err := false, error(nil)
	switch kind {
	case "hash":
		found, err = x.scan("HSCAN", key, newBatch(x.write, "HSET", key), 2)
	case "set":
		found, err = x.scan("SSCAN", key, newBatch(x.write, "SADD", key), 1)
	case "zset":
		found, err = x.scan("ZSCAN", key, newBatch(x.write, "ZADD", key), 2)
	case "list":
		found, err = x.list(key)
	case "stream":
		found, err = x.stream(key)
	case "none":
	default:
		x.unknown++
	}
	if err != nil || !found {
		return err
	}
	x.keys++
	at, err := redis.Int64(x.conn.Do("PEXPIRETIME", key))
	if err != nil {
		return err
	}
	return expireAt(x.write, key, max(at, 0))
}

// begin makes room for a collection.
func (x *exporter) begin(key []byte, found *bool) {
	if !*found {
		_ = x.write([]byte("DEL"), key)
	}
	*found = true
}

// scan exports what a command like SSCAN shows, in groups of so many. It says whether there was any.
func (x *exporter) scan(command string, key []byte, b *batch, group int) (found bool, err error) {
	for cursor := "0"; ; {
		page, err := redis.Values(x.conn.Do(command, key, cursor, "COUNT", exportPage))
		if err == nil && len(page) != 2 {
			err = fmt.Errorf("%s answered %d values", command, len(page))
		}
		if err != nil {
			return found, err
		}
		items, err := redis.ByteSlices(page[1], nil)
		if err != nil || len(items)%group != 0 {
			return found, errors.Join(err, fmt.Errorf("%s answered %d items", command, len(items)))
		}
		if len(items) > 0 {
			x.begin(key, &found)
		}
		for item := range slices.Chunk(items, group) {
			if command == "ZSCAN" { // ZADD has the score first
				slices.Reverse(item)
			}
			if err := errors.Join(x.passed(item), b.add(item...)); err != nil {
				return found, err
			}
		}
		if cursor, err = redis.String(page[0], nil); err != nil || cursor == "0" {
			return found, errors.Join(err, b.end())
		}
	}
}

// passed shows that something is exported, and fails if that is to end.
func (x *exporter) passed(args [][]byte) error {
	for _, arg := range args {
		_ = x.bar(len(arg))
	}
	if x.ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// list exports a list.
func (x *exporter) list(key []byte) (found bool, err error) {
	b := newBatch(x.write, "RPUSH", key)
	for from := 0; ; from += exportPage {
		elements, err := redis.ByteSlices(x.conn.Do("LRANGE", key, from, from+exportPage-1))
		if err != nil {
			return found, err
		}
		if len(elements) > 0 {
			x.begin(key, &found)
		}
		for _, element := range elements {
			if err := errors.Join(x.passed([][]byte{element}), b.add(element)); err != nil {
				return found, err
			}
		}
		if len(elements) < exportPage {
			return found, b.end()
		}
	}
}

// stream exports a stream, and its groups.
func (x *exporter) stream(key []byte) (found bool, err error) {
	s := streamState{}
	from := "-"
	for more := true; more; {
		entries, err := redis.Values(x.conn.Do("XRANGE", key, from, "+", "COUNT", exportPage))
		if err != nil {
			return found, err
		}
		if len(entries) > 0 {
			x.begin(key, &found)
		}
		for _, entry := range entries {
			if s.last, err = x.entry(key, entry); err != nil {
				return found, err
			}
			s.length++
		}
		from, more = "("+string(idText(s.last)), len(entries) == exportPage
	}
	info, err := askFields(x.conn, "XINFO", "STREAM", key)
	if isNoKey(err) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	x.begin(key, &found)
	if s.LastID, err = parseID(info.text("last-generated-id")); err != nil {
		return found, err
	}
	if s.MaxDeletedID, err = parseID(info.text("max-deleted-entry-id")); err != nil {
		return found, err
	}
	s.EntriesAdded = uint64(info.number("entries-added"))
	if err := s.write(x.write, key); err != nil {
		return found, err
	}
	return found, x.groups(key)
}

// entry exports an entry of a stream and returns its id.
func (x *exporter) entry(key []byte, entry any) (id rdb.StreamID, err error) {
	parts, err := redis.Values(entry, nil)
	if err != nil || len(parts) != 2 {
		return id, errors.Join(err, fmt.Errorf("an entry of %d parts", len(parts)))
	}
	text, err1 := redis.Bytes(parts[0], nil)
	fields, err2 := redis.ByteSlices(parts[1], nil)
	if err := errors.Join(err1, err2); err != nil {
		return id, err
	}
	if err := x.passed(fields); err != nil {
		return id, err
	}
	_ = x.write(slices.Concat([][]byte{[]byte("XADD"), key, text}, fields)...)
	return parseID(string(text))
}

func isNoKey(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && string(reply) == "ERR no such key"
}

// parseID reads the id of an entry of a stream.
func parseID(text string) (id rdb.StreamID, err error) {
	_, err = fmt.Sscanf(text, "%d-%d", &id.MS, &id.Seq)
	return id, err
}

// groups exports the groups of a stream.
func (x *exporter) groups(key []byte) error {
	groups, err := x.infos("XINFO", "GROUPS", key)
	if err != nil {
		return err
	}
	for _, info := range groups {
		g := rdb.Group{Name: []byte(info.text("name")), EntriesRead: -1}
		if g.LastID, err = parseID(info.text("last-delivered-id")); err != nil {
			return err
		}
		if info["entries-read"] != nil {
			g.EntriesRead = info.number("entries-read")
		}
		if err := x.consumers(key, &g); err != nil {
			return err
		}
		if err := writeGroup(x.write, key, &g); err != nil {
			return err
		}
	}
	return nil
}

// infos sends a command whose reply is a list of lists of names and values.
func (x *exporter) infos(command string, args ...any) (list []fields, err error) {
	values, err := redis.Values(x.conn.Do(command, args...))
	for _, v := range values {
		var names []any
		if names, err = redis.Values(v, err); err != nil {
			return nil, err
		}
		f, err := toFields(names)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, err
}

// consumers asks for the consumers of a group and what is pending with them.
func (x *exporter) consumers(key []byte, g *rdb.Group) error {
	consumers, err := x.infos("XINFO", "CONSUMERS", key, g.Name)
	if err != nil {
		return err
	}
	index := make(map[string]int)
	for i, info := range consumers {
		index[info.text("name")] = i
		g.Consumers = append(g.Consumers, rdb.Consumer{Name: []byte(info.text("name"))})
	}
	for from := "-"; ; {
		now, err := x.now()
		if err != nil {
			return err
		}
		page, err := redis.Values(x.conn.Do("XPENDING", key, g.Name, from, "+", exportPage))
		if err != nil {
			return err
		}
		for _, item := range page {
			var id, consumer string
			var idle, count int64
			parts, err := redis.Values(item, nil)
			if err == nil {
				_, err = redis.Scan(parts, &id, &consumer, &idle, &count)
			}
			if err != nil {
				return err
			}
			from = "(" + id
			owner, known := index[consumer]
			if !known { // it came meanwhile
				continue
			}
			p := rdb.Pending{Consumer: owner, Delivered: now - idle, Count: uint64(count)}
			if p.ID, err = parseID(id); err != nil {
				return err
			}
			g.Pending = append(g.Pending, p)
		}
		if len(page) < exportPage {
			return nil
		}
	}
}

// now is the time of the node, in milliseconds.
func (x *exporter) now() (int64, error) {
	parts, err := redis.Int64s(x.conn.Do("TIME"))
	if err != nil || len(parts) != 2 {
		return 0, errors.Join(err, fmt.Errorf("TIME answered %d values", len(parts)))
	}
	return parts[0]*1000 + parts[1]/1000, nil
}
