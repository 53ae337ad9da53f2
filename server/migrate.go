package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

var (
	errMigrateConnect = resp.NewError("IOERR error or timeout connecting to the client")
	errMigrateWrite   = resp.NewError("IOERR error or timeout writing to target instance")
	errMigrateRead    = resp.NewError("IOERR error or timeout reading to target instance")
	errMigrateChanged = resp.NewError("TRYAGAIN A key was changed each time it was sent; it is still here")
)

const (
	migrateTries     = 3
	migrateChunk     = 64 << 10 // bytes for which the timeout holds
	migrateReplyMax  = 64 << 10 // bytes of a line of the target
	migrateLineShown = 1023
)

// movedKey is a key as it was when it was read.
type movedKey struct {
	key, payload []byte
	ttl, version int64
}

// migrate executes MIGRATE at this node: it reads the keys, sends them to the target, and deletes through the log
// those that the target has acknowledged and that nobody has changed meanwhile. The others are sent again.
func migrate(s *session, args [][]byte) resp.Reply {
	m, bad := command.ParseMigrate(args)
	if bad.IsError() {
		return bad
	}
	for try := 0; ; try++ {
		keys, bad := s.dumpKeys(m.Keys)
		switch {
		case bad.IsError():
			return bad
		case len(keys) == 0 && try == 0:
			return resp.NewSimple("NOKEY")
		case len(keys) == 0:
			return resp.OK
		}
		sent, reply := sendKeys(s.ctx, &m, keys)
		if m.Copy {
			return reply
		}
		changed, bad := s.deleteKeys(sent)
		switch {
		case reply.IsError():
			return reply
		case bad.IsError():
			return bad
		case len(changed) == 0:
			return reply
		case try+1 == migrateTries:
			return errMigrateChanged
		}
		m.Keys, m.Replace = changed, true // what is there now is what was sent
	}
}

// call executes one call in the session's database, as a request of its own.
func (s *session) call(read bool, args ...[]byte) (resp.Reply, resp.Reply) {
	req := &fsm.Request{Calls: []fsm.Call{{DB: int(s.db.Load()), Args: args, Read: read}}}
	if err := s.server.engine.Do(req); err != nil {
		return resp.Reply{}, s.server.engineError(err)
	}
	return req.Replies[0], resp.Reply{}
}

// dumpKeys reads those of the keys that exist, all at one moment.
func (s *session) dumpKeys(keys [][]byte) (found []movedKey, bad resp.Reply) {
	if len(keys) == 0 {
		return nil, resp.Reply{}
	}
	reply, bad := s.call(true, append([][]byte{[]byte("MIGRATEDUMP")}, keys...)...)
	if bad.IsError() {
		return nil, bad
	}
	for i, value := range reply.Elems {
		if parts := value.Elems; len(parts) == 3 {
			found = append(found, movedKey{key: keys[i], payload: parts[0].Bytes, ttl: parts[1].Int, version: parts[2].Int})
		}
	}
	return found, resp.Reply{}
}

// deleteKeys deletes the keys that are as they were, and returns the others.
func (s *session) deleteKeys(keys []movedKey) (changed [][]byte, bad resp.Reply) {
	if len(keys) == 0 {
		return nil, resp.Reply{}
	}
	args := [][]byte{[]byte("MIGRATEDEL")}
	for _, k := range keys {
		args = append(args, k.key, strconv.AppendInt(nil, k.version, 10))
	}
	reply, bad := s.call(false, args...)
	if bad.IsError() {
		return nil, bad
	}
	for i, deleted := range reply.Elems {
		if deleted.Int == 0 {
			changed = append(changed, keys[i].key)
		}
	}
	return changed, resp.Reply{}
}

// sendKeys has the target restore keys, and returns those that it has.
func sendKeys(ctx context.Context, m *command.Migration, keys []movedKey) (sent []movedKey, reply resp.Reply) {
	timeout := time.Duration(m.Timeout) * time.Millisecond
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(m.Host, m.Port))
	if err != nil {
		return nil, errMigrateConnect
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	t := migrateTarget{conn: conn, timeout: timeout}
	t.in = bufio.NewReaderSize(&t, migrateReplyMax)
	if err := t.write(m, keys); err != nil {
		return nil, errMigrateWrite
	}
	return t.read(m, keys)
}

// migrateTarget is the connection to the other server.
type migrateTarget struct {
	conn    net.Conn
	timeout time.Duration
	in      *bufio.Reader
}

// Read reads what the target has sent, for as long as it sends something in time.
func (t *migrateTarget) Read(b []byte) (int, error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(t.timeout)); err != nil {
		return 0, err
	}
	return t.conn.Read(b)
}

// Write writes in pieces, each of which has the time that the client has set.
func (t *migrateTarget) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		if err = t.conn.SetWriteDeadline(time.Now().Add(t.timeout)); err == nil {
			var m int
			m, err = t.conn.Write(b[n:min(len(b), n+migrateChunk)])
			n += m
		}
	}
	return n, err
}

func (t *migrateTarget) write(m *command.Migration, keys []movedKey) error {
	out := bufio.NewWriterSize(t, migrateChunk)
	send := func(words ...[]byte) {
		fmt.Fprintf(out, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(out, "$%d\r\n", len(word))
			_, _ = out.Write(word) // Flush tells of errors
			_, _ = io.WriteString(out, "\r\n")
		}
	}
	if m.Auth != nil {
		send(append([][]byte{[]byte("AUTH")}, m.Auth...)...)
	}
	send([]byte("SELECT"), strconv.AppendInt(nil, m.DB, 10))
	for _, k := range keys {
		words := [][]byte{[]byte("RESTORE"), k.key, strconv.AppendInt(nil, k.ttl, 10), k.payload}
		if m.Replace {
			words = append(words, []byte("REPLACE"))
		}
		send(words...)
	}
	return out.Flush()
}

// read reads the answers to what write has sent. The first error is the answer to the client.
func (t *migrateTarget) read(m *command.Migration, keys []movedKey) (sent []movedKey, reply resp.Reply) {
	reply = resp.OK
	refuse := func(line string) {
		if !reply.IsError() {
			reply = errorf("Target instance replied with error: %s", line[1:min(len(line), migrateLineShown)])
		}
	}
	heads := 1 // SELECT
	if m.Auth != nil {
		heads++
	}
	usable := true
	for range heads {
		line, err := t.line()
		switch {
		case err != nil:
			return nil, errMigrateRead
		case line[0] == '-':
			refuse(line)
			usable = false
		}
	}
	for _, k := range keys {
		line, err := t.line()
		switch {
		case err != nil && !reply.IsError():
			return sent, errMigrateRead
		case err != nil:
			return sent, reply
		case line[0] == '-':
			refuse(line)
		case usable:
			sent = append(sent, k)
		}
	}
	return sent, reply
}

// line reads an answer, which is OK or an error: what says anything else is no server of this protocol.
func (t *migrateTarget) line() (string, error) {
	line, err := t.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(line), "\r\n")
	if text != "+OK" && !strings.HasPrefix(text, "-") {
		return "", errors.New("neither OK nor an error")
	}
	return text, nil
}
