package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"redoubt/resp"
)

func TestReadsSeeWritesOfTheSameRequest(t *testing.T) {
	m := openMem(t)
	got := show(apply(t, m, 100, calls(0,
		"GET a", "SET a 1 0", "GET a", "INCR a", "INCR b", "GET a",
		"DEL a", "DEL a", "GET a", "COUNT", "KEYS")...)...)
	want := "$-1 +OK $1 1 :2 :1 $1 2 :1 :0 $-1 *2 :1 :0 *1 $1 b "
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	wantRead(t, m, 0, 0, "GET b", "$1 1 ")
	wantRead(t, m, 0, 1, "GET b", "$-1 ")
}

func TestRowsAreCopied(t *testing.T) {
	m := openMem(t)
	list := calls(0, "SET key value 0")
	apply(t, m, 1, list...)
	for _, arg := range list[0].Args {
		clear(arg)
	}
	wantRead(t, m, 0, 0, "GET key", "$5 value ")
}

func TestVersionIsTheIndexOfTheLastWrite(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	var version uint64
	o.Exec = func(tx *Txn, args [][]byte) resp.Reply {
		if string(args[0]) == "VERSION" {
			version = tx.Lookup(args[1]).Version
			return resp.OK
		}
		return testExec(tx, args)
	}
	m := openMachine(t, o)
	check := func(want uint64) {
		t.Helper()
		req := &Request{Calls: []Call{{Args: [][]byte{[]byte("VERSION"), []byte("a")}, Read: true}}}
		if _, err := m.Read(req, 0); err != nil || version != want {
			t.Fatalf("version %d, want %d (%v)", version, want, err)
		}
	}
	apply(t, m, 1, calls(0, "SET a 1 0")...)
	check(1)
	apply(t, m, 1, calls(0, "SET b 1 0")...)
	check(1)
	apply(t, m, 1, calls(0, "EXPIRE a 5000")...)
	check(3)
}

func TestPositionMetaAndTimeSurvive(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	m := openMachine(t, o)
	if m.Applied() != (Position{}) || m.Meta() != nil || m.Time() != 0 {
		t.Fatal("a fresh machine is not empty")
	}
	entries := []Entry{{Position: Position{5, 2}, Time: 100}, {Position: Position{6, 3}, Time: 40}}
	if err := m.Apply(entries, []byte("members")); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply([]Entry{{Position: Position{7, 3}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, o)
	if m.Applied() != (Position{7, 3}) || string(m.Meta()) != "members" || m.Time() != 100 {
		t.Fatalf("%v %q %d", m.Applied(), m.Meta(), m.Time())
	}
	if err := m.Apply([]Entry{{Position: Position{7, 3}}}, nil); err == nil {
		t.Fatal("an entry was applied twice")
	}
	if err := m.Apply([]Entry{{Position: Position{8, 3}}}, nil); err == nil {
		t.Fatal("a failed machine went on")
	}
	if err := m.Close(); err == nil {
		t.Fatal("Close hides the failure")
	}
}

func TestManyEntriesAreCutIntoBoundedBatches(t *testing.T) {
	m := openMem(t)
	value := strings.Repeat("v", publishBytes/4)
	var entries []Entry
	for i := range 5 {
		set := call(0, fmt.Sprintf("SET k%d %s 0", i, value))
		entries = append(entries, remoteEntry(uint64(i+1), 1, set))
	}
	if err := m.Apply(entries, []byte("meta")); err != nil {
		t.Fatal(err)
	}
	wantRead(t, m, 0, 0, "COUNT", "*2 :5 :0 ")
	if m.Applied().Index != 5 || string(m.Meta()) != "meta" {
		t.Fatal(m.Applied(), string(m.Meta()))
	}
}

func TestHugeValue(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	o.MemTableBytes = 1 << 20
	m := openMachine(t, o)
	value := bytes.Repeat([]byte("0123456789abcdef"), 64<<20/16)
	set := Call{Args: [][]byte{[]byte("SET"), []byte("huge"), value, []byte("0")}}
	apply(t, m, 1, set)
	apply(t, m, 1, calls(0, "EXPIRE huge 900000")...)
	for range 2 {
		req := &Request{Calls: calls(0, "GET huge")}
		if _, err := m.Read(req, 0); err != nil || !bytes.Equal(req.Replies[0].Bytes, value) {
			t.Fatal("the value changed", err)
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if st := m.Stats(); st.CacheBytes > st.CacheCapacity {
		t.Fatalf("cache holds %d of %d bytes", st.CacheBytes, st.CacheCapacity)
	}
}

func TestFlushDBAndSwapDB(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	m := openMachine(t, o)
	apply(t, m, 1, calls(0, "SET a 0 0", "SET x 0 500")...)
	apply(t, m, 1, calls(1, "SET a 1 0")...)
	apply(t, m, 1, calls(0, "SWAPDB 0 1", "GET a", "COUNT")...)
	wantRead(t, m, 0, 0, "GET a", "$1 1 ")
	wantRead(t, m, 0, 1, "GET a", "$1 0 ")
	wantRead(t, m, 0, 1, "COUNT", "*2 :2 :1 ")
	if !m.ExpireDue(500) {
		t.Fatal("the swap lost an expiry time")
	}
	got := show(apply(t, m, 1, calls(1,
		"SET late 1 0", "FLUSHDB", "COUNT", "GET a", "GET late", "SET b 2 0", "KEYS")...)...)
	if want := "+OK +OK *2 :0 :0 $-1 $-1 +OK *1 $1 b "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if m.ExpireDue(500) {
		t.Fatal("a flushed key is due")
	}
	wantRead(t, m, 0, 0, "GET a", "$1 1 ")
	apply(t, m, 1, calls(0, "FLUSHDB")...)
	apply(t, m, 1, calls(1, "FLUSHDB")...)
	if st := m.Stats(); st.CacheKeys != 0 {
		t.Fatalf("%d rows cached of an empty keyspace", st.CacheKeys)
	}
	want := digest(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, o)
	if digest(t, m) != want {
		t.Fatal("a restart changed the state")
	}
	apply(t, m, 1, calls(0, "SET n 1 0")...)
	wantRead(t, m, 0, 0, "KEYS", "*1 $1 n ")
}

func TestScanReturnsEveryKeyThatStays(t *testing.T) {
	m := openMem(t)
	var list []Call
	want := map[string]bool{}
	for i := range 500 {
		key := fmt.Sprintf("stays%d", i)
		want[key] = true
		list = append(list, call(0, "SET "+key+" v 0"), call(0, fmt.Sprintf("SET goes%d v 0", i)))
	}
	apply(t, m, 1, list...)
	seen := map[string]bool{}
	cursor := int64(0)
	for step := 0; ; step++ {
		req := &Request{Calls: calls(0, fmt.Sprintf("SCAN %d 7", cursor))}
		if _, err := m.Read(req, 0); err != nil {
			t.Fatal(err)
		}
		for _, key := range req.Replies[0].Elems[1].Elems {
			if seen[key.Text] {
				t.Fatalf("%s came twice", key.Text)
			}
			seen[key.Text] = true
		}
		if cursor = req.Replies[0].Elems[0].Int; cursor == 0 {
			break
		}
		apply(t, m, 1, calls(0, fmt.Sprintf("DEL goes%d", step), fmt.Sprintf("SET new%d v 0", step))...)
	}
	for key := range want {
		if !seen[key] {
			t.Errorf("%s was missed", key)
		}
	}
	wantRead(t, m, 0, 0, fmt.Sprintf("SCAN %d 7", uint64(positionEnd)), "*2 :0 *0 ")
}

// Keys that share slot and hash cannot be told apart by a cursor, so they must come together.
func TestScanKeepsCollidingKeysTogether(t *testing.T) {
	m := openMem(t)
	b := m.db.NewBatch()
	row := Row{Kind: String, Value: []byte("v")}
	value := make([]byte, row.encodedSize())
	row.encode(value)
	for _, key := range []string{"a", "b", "c"} {
		if err := b.Set(appendRowKey(nil, 0, 42, []byte(key)), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Set(appendRowKey(nil, 0, 43, []byte("d")), value, nil)
	if err := errors.Join(err, b.Commit(pebble.NoSync)); err != nil {
		t.Fatal(err)
	}
	wantRead(t, m, 0, 0, "SCAN 0 1", "*2 :43 *3 $1 a $1 b $1 c ")
	wantRead(t, m, 0, 0, "SCAN 43 1", "*2 :0 *1 $1 d ")
}

// A walk over keys must neither stop Apply nor see what it does.
func TestScanIsDetachedFromApply(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	inside, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o.Exec = func(tx *Txn, args [][]byte) resp.Reply {
		if string(args[0]) != "SLOWKEYS" {
			return testExec(tx, args)
		}
		n := int64(0)
		tx.Scan(0, func([]byte, *Row) bool {
			once.Do(func() { close(inside); <-goOn })
			n++
			return true
		})
		return resp.ArrayOf(resp.NewInt(n), testExec(tx, [][]byte{[]byte("GET"), []byte("a")}),
			resp.NewInt(tx.Count(0)))
	}
	m := openMachine(t, o)
	apply(t, m, 1, calls(0, "SET a old 0", "SET b v 0")...)
	req := &Request{Calls: []Call{{Args: [][]byte{[]byte("SLOWKEYS")}, Read: true}}}
	done := make(chan error)
	go func() {
		_, err := m.Read(req, 0)
		done <- err
	}()
	<-inside
	apply(t, m, 1, calls(0, "SET a new 0", "SET c v 0")...)
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, want := show(req.Replies...), "*3 :2 $3 old :2 "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	wantRead(t, m, 0, 0, "GET a", "$3 new ")
}

func TestRandomKey(t *testing.T) {
	m := openMem(t)
	wantRead(t, m, 0, 0, "RANDOMKEY", "$0  ")
	apply(t, m, 1, calls(0,
		"SET {t}1 v 0", "SET {t}2 v 0", "SET {t}3 v 0", "SET {t}4 v 0", "SET gone v 5")...)
	apply(t, m, 10)
	seen := map[string]int{}
	for range 400 {
		text, _ := read(t, m, 0, 0, "RANDOMKEY")
		seen[text]++
	}
	for i := range 4 {
		if n := seen[fmt.Sprintf("$4 {t}%d ", i+1)]; n < 10 {
			t.Errorf("key %d came %d times of 400: %v", i+1, n, seen)
		}
	}
	if len(seen) != 4 {
		t.Errorf("unexpected keys: %v", seen)
	}
}

func TestRandomNumbersAreReplicated(t *testing.T) {
	a, b := openMem(t), openMem(t)
	list := calls(0, "RANDSET x", "NOW", "RANDOMKEY", "RANDSET y", "GET x", "RANDSET z")
	e, req := localEntry(1, 1, list...)
	err := b.Apply([]Entry{remoteEntry(1, 1, list...)}, nil)
	if err := errors.Join(err, a.Apply([]Entry{e}, nil)); err != nil {
		t.Fatal(err)
	}
	if digest(t, a) != digest(t, b) {
		t.Fatal("the proposer's random numbers differ from the others'")
	}
	x, _ := read(t, a, 0, 0, "GET x")
	y, _ := read(t, a, 0, 0, "GET y")
	if x == y || len(req.Replies) != len(list) {
		t.Fatalf("%q and %q, %d replies", x, y, len(req.Replies))
	}
}

func TestFailedCommandsStopTheMachine(t *testing.T) {
	m := openMem(t)
	unknown := Call{Args: call(0, "NOSUCH").Args, Read: true}
	if _, err := m.Read(&Request{Calls: []Call{unknown}}, 0); err == nil {
		t.Fatal("Fail was ignored by Read")
	}
	write := Call{Args: call(0, "SET a b 0").Args, Read: true}
	if _, err := m.Read(&Request{Calls: []Call{write}}, 0); !errors.Is(err, errWriteInRead) {
		t.Fatal("a read wrote", err)
	}
	apply(t, m, 1, calls(0, "SET a b 0")...)
	if err := m.Apply([]Entry{remoteEntry(2, 1, call(0, "NOSUCH"))}, nil); err == nil {
		t.Fatal("Fail was ignored by Apply")
	}
	if m.Applied().Index != 1 {
		t.Fatal("the failed entry counts as applied")
	}
	if err := m.Close(); err == nil {
		t.Fatal("Close hides that the state is not to be relied on")
	}
	if _, err := m.Read(&Request{}, 0); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := m.Apply(nil, nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// Readers must see all of a batch or nothing of it while it is published.
func TestReadersSeeWholeEntries(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	o.CacheBytes = 64 << 10 // evicts all the time
	o.BufferBytes = 2 << 10 // and writes all the time
	m := openMachine(t, o)
	const pairs = 50
	set := func(n int) (list []Call) {
		for i := range pairs {
			l, r := fmt.Sprintf("SET l%d %d 0", i, n), fmt.Sprintf("SET r%d %d 0", i, n)
			list = append(list, calls(0, l, r)...)
		}
		return list
	}
	apply(t, m, 1, set(0)...)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i = (i + 1) % pairs {
				select {
				case <-stop:
					return
				default:
				}
				req := &Request{Calls: calls(0, fmt.Sprintf("GET l%d", i), fmt.Sprintf("GET r%d", i), "GET l0")}
				if _, err := m.Read(req, 0); err != nil {
					t.Error(err)
					return
				}
				if l := show(req.Replies[0]); l != show(req.Replies[1]) || l != show(req.Replies[2]) {
					t.Errorf("half an entry: %s", show(req.Replies...))
					return
				}
			}
		})
	}
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			req := &Request{Calls: calls(0, "KEYS")}
			if _, err := m.Read(req, 0); err != nil || len(req.Replies[0].Elems) != 2*pairs {
				t.Errorf("%d keys, %v", len(req.Replies[0].Elems), err)
				return
			}
		}
	})
	for n := range 200 {
		apply(t, m, 1, set(n+1)...)
	}
	close(stop)
	readers.Wait()
	wantRead(t, m, 0, 0, "GET l7", "$3 200 ")
}

func TestSlotsAreThoseOfRedisCluster(t *testing.T) {
	for key, want := range map[string]uint16{
		"": 0, "foo": 12182, "123456789": 12739, "{user1000}.following": Slot([]byte("user1000")),
		"foo{}{bar}": wholeSlot("foo{}{bar}"), "foo{{bar}}zap": Slot([]byte("{bar")), "{": wholeSlot("{"),
	} {
		if got := Slot([]byte(key)); got != want {
			t.Errorf("%q: slot %d, want %d", key, got, want)
		}
	}
}

// wholeSlot is the slot of a key without a tag, a bit at a time.
func wholeSlot(key string) (crc uint16) {
	for _, c := range []byte(key) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc & slotMask
}

func TestRefusesAnotherFormat(t *testing.T) {
	for _, version := range []byte{formatVersion - 1, formatVersion + 1} {
		o := testOptions(t, vfs.NewMem())
		m := openMachine(t, o)
		if err := m.db.Set(metaFormat, []byte{version}, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another release") {
			t.Fatal(err)
		}
		if _, _, err := Inspect(o.FS, o.Dir); err == nil || !strings.Contains(err.Error(), o.Dir) {
			t.Fatal(err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(1 << 20)
	for i := range 20000 {
		key := fmt.Appendf(nil, "key%d", i)
		c.offer(rowEntry(1, keyHash(key), key, Row{Kind: String, Value: make([]byte, i%512)}), false)
	}
	var st Stats
	c.addStats(&st)
	if st.CacheBytes > st.CacheCapacity || st.CacheBytes < st.CacheCapacity/2 || st.CacheKeys == 0 {
		t.Fatalf("%+v", st)
	}
	for i := range c.shards {
		s := &c.shards[i]
		n, used := 0, int64(0)
		for e := s.head; e != nil; e = e.next {
			n, used = n+1, used+e.cost()
		}
		if n != s.entries.count || used != s.used {
			t.Fatalf("shard %d: list of %d (%d bytes), map of %d (%d bytes)", i, n, used, s.entries.count, s.used)
		}
	}
}

func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := newCache(1 << 20)
	key := func(i int) []byte { return fmt.Appendf(nil, "key%d", i) }
	insert := func(i int) { c.offer(rowEntry(1, keyHash(key(i)), key(i), Row{Kind: String}), false) }
	for i := range 1000 {
		insert(i)
	}
	for i := 1000; i < 50000; i++ {
		insert(i)
		c.get(1, keyHash(key(i%1000)), key(i%1000), false)
	}
	kept := 0
	for i := range 1000 {
		if c.get(1, keyHash(key(i)), key(i), false) != nil {
			kept++
		}
	}
	if kept < 950 {
		t.Fatalf("%d of 1000 hot keys survived a stream of cold ones", kept)
	}
	if c.get(2, keyHash(key(1)), key(1), false) != nil {
		t.Fatal("spaces are mixed up")
	}
	var st Stats
	if c.addStats(&st); st.CacheHits == 0 || st.CacheMisses == 0 {
		t.Fatal("hits are not counted")
	}
}
