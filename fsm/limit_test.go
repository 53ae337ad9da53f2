package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"redoubt/resp"
)

// someData puts strings and hashes of all sizes under a key of the current database, or takes them away.
func someData(rt *rapid.T, tx *Txn, key []byte) {
	switch rapid.IntRange(0, 6).Draw(rt, "data") {
	case 0:
		tx.Delete(key)
	case 1:
		tx.Put(key, Row{Kind: String, Value: make([]byte, rapid.IntRange(0, 5000).Draw(rt, "size"))})
	case 2:
		tx.SetExpire(key, rapid.SampledFrom([]int64{0, 5, 1 << 40}).Draw(rt, "at"))
	default:
		row := tx.Lookup(key)
		if row != nil && row.Kind != Hash {
			tx.Delete(key)
			row = nil
		}
		h := tx.Hash(key, row)
		remove := rapid.Bool().Draw(rt, "remove")
		for i := range rapid.IntRange(0, 400).Draw(rt, "fields") {
			if field := fmt.Append(nil, "field ", i); remove {
				h.Delete(field)
			} else {
				h.Set(field, make([]byte, rapid.SampledFrom([]int{1, 60, 300}).Draw(rt, "value")))
			}
		}
		h.Save()
	}
}

// TestDataBytes: whatever is done, the bytes that are counted are those of the rows, pages and expiry times that there are,
// which check looks at, and the sizes of all keys are the whole.
func TestDataBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tm := newTreeMachine(t, 64<<10)
		tm.t = rt
		keys := rapid.SampledFrom([]string{"a", "b", "{a}c"})
		for range rapid.IntRange(1, 12).Draw(rt, "entries") {
			tm.do(func(tx *Txn) {
				for range rapid.IntRange(1, 3).Draw(rt, "calls") {
					key, to := []byte(keys.Draw(rt, "key")), []byte(keys.Draw(rt, "to"))
					tx.Use(rapid.IntRange(0, 1).Draw(rt, "db"))
					switch rapid.IntRange(0, 9).Draw(rt, "op") {
					case 0:
						tx.FlushDB(tx.DB())
					case 1:
						tx.SwapDB(0, 1)
					case 2:
						if string(key) != string(to) {
							tx.Rename(key, to)
						}
					case 3:
						if row := tx.Lookup(key); row != nil && string(key) != string(to) {
							tx.CopyTo(rapid.IntRange(0, 1).Draw(rt, "db"), to, *row)
						}
					case 4:
						tx.SetSettings(Settings{Limit: Limit{MaxMemory: 1, Policy: AllKeysRandom, Samples: 1}, Packing: DefaultPacking})
						if row := tx.Lookup(key); row != nil {
							tx.Evict(key, row.Version)
						}
					case 5:
						tx.Sweep(1)
					default:
						someData(rt, tx, key)
					}
				}
			})
			tm.check()
			tm.do(func(tx *Txn) {
				sum := int64(0)
				for db := range 2 {
					tx.Use(db)
					tx.Sweep(10)
					tx.Scan(0, func(key []byte, row *Row) bool { sum += tx.Size(key, row); return true })
				}
				if got := tx.DataBytes(); got != sum {
					rt.Fatalf("%d bytes, and %d by the keys", got, sum)
				}
			})
		}
		tm.do(func(tx *Txn) {
			for db := range 2 {
				tx.Use(db)
				for _, key := range []string{"a", "b", "{a}c"} {
					tx.Delete([]byte(key))
				}
			}
			if n := tx.DataBytes(); n != 0 {
				rt.Fatalf("%d bytes without a key", n)
			}
		})
	})
}

// limited is a machine with a limit.
func limited(t *testing.T, l Limit) *treeMachine {
	t.Helper()
	tm := newTreeMachine(t, 1<<20)
	tm.do(func(tx *Txn) { tx.SetSettings(Settings{Limit: l, Packing: DefaultPacking}) })
	return tm
}

func (tm *treeMachine) set(key string, at int64) {
	tm.t.Helper()
	tm.do(func(tx *Txn) { tx.Put([]byte(key), Row{Kind: String, Value: make([]byte, 50), ExpireAt: at}) })
}

// evict has all victims of a search deleted, and returns their names.
func (tm *treeMachine) evict(hand *Hand, wanted int64, limit int) (keys []string) {
	tm.t.Helper()
	victims, err := tm.m.Victims(hand, 7, wanted, limit)
	if err != nil {
		tm.t.Fatal(err)
	}
	tm.do(func(tx *Txn) {
		for _, v := range victims {
			tx.Use(v.DB)
			tx.Evict(v.Key, v.Version)
		}
	})
	for _, v := range victims {
		keys = append(keys, string(v.Key))
	}
	return keys
}

func TestSettingsAreKept(t *testing.T) {
	want := Settings{Limit{MaxMemory: 5 << 20, Policy: VolatileLFU, Samples: 7, LogFactor: 1, DecayTime: 0},
		Packing{1, 2, 3, 4, 5, 6, 7, -8, 9, 10, 11}, EventKeyspace | EventGeneric, 12}
	o := testOptions(t, vfs.NewMem())
	o.Exec = func(tx *Txn, _ [][]byte) resp.Reply {
		tx.SetSettings(want)
		tx.FlushDB(0)
		return resp.OK
	}
	m := openMachine(t, o)
	if got := m.Memory(); got.Limit != DefaultLimit || got.Set {
		t.Errorf("a new machine has the limit %+v", got)
	}
	if got := m.Settings(); got.Packing != DefaultPacking {
		t.Errorf("a new machine has the packing %+v", got)
	}
	apply(t, m, 1, call(0, "LIMIT"))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openMachine(t, o)
	if got := m.Memory(); got.Limit != want.Limit || !got.Set || m.Settings() != want {
		t.Errorf("opened again: %+v, %+v", got, m.Settings())
	}
}

// Settings out of bounds are refused, be it that they are set or read.
func TestSettingsOutOfBounds(t *testing.T) {
	limit := DefaultLimit
	limit.Samples = 0
	for name, s := range map[string]Settings{
		"samples":  {Limit: limit},
		"negative": {Packing: Packing{SetValue: -1}},
		"list":     {Packing: Packing{ListSize: 1 << 31}},
	} {
		if s.Valid() {
			t.Errorf("%s: %+v is valid", name, s)
		}
		if _, err := decodeSettings(s.encode()); err == nil {
			t.Errorf("%s: %+v is read", name, s)
		}
	}
	if _, err := decodeSettings(make([]byte, 7)); err == nil {
		t.Error("a short row is read")
	}
}

// An eviction spares what was written after it was decided, and ends when the data set is within its limit.
func TestEvict(t *testing.T) {
	tm := limited(t, Limit{MaxMemory: 150, Policy: AllKeysLRU, Samples: 5})
	for _, key := range []string{"a", "b", "c", "d"} {
		tm.set(key, 0) // 73 bytes each
	}
	victims, err := tm.m.Victims(&Hand{}, 1, 1<<20, 10)
	if err != nil || len(victims) != 4 {
		t.Fatalf("victims %v, %v", victims, err)
	}
	written := string(victims[0].Key)
	tm.set(written, 0)
	more := []bool{}
	tm.do(func(tx *Txn) {
		for _, v := range victims {
			more = append(more, tx.Evict(v.Key, v.Version))
		}
		if tx.Lookup([]byte(written)) == nil || tx.Count(0) != 2 {
			t.Errorf("%d keys are left", tx.Count(0))
		}
	})
	if fmt.Sprint(more) != "[true true true false]" || tm.m.Stats().EvictedKeys != 2 {
		t.Errorf("more %v, %d evicted", more, tm.m.Stats().EvictedKeys)
	}
	if m := tm.m.Memory(); m.Over() || m.DataBytes != 146 {
		t.Errorf("%+v", m)
	}
}

// The coldest keys go first, by the time of their last use or by how often they are used; those that are not in the cache
// before all others; with a volatile policy only keys with an expiry time.
func TestVictims(t *testing.T) {
	names := func(prefix string, n int) (keys []string) {
		for i := range n {
			keys = append(keys, fmt.Sprintf("%s%02d", prefix, i))
		}
		return keys
	}
	for _, policy := range []Policy{AllKeysLRU, VolatileLRU, AllKeysLFU, VolatileLFU} {
		t.Run(policy.String(), func(t *testing.T) {
			tm := limited(t, Limit{MaxMemory: 1, Policy: policy, Samples: 100})
			at := int64(0)
			if policy.Volatile() {
				at = 1 << 40
				tm.set("lasting", 0)
			}
			tm.m.SetClock(60_000)
			cold, hot := names("cold", 20), names("hot", 20)
			for _, key := range append(slices.Clone(cold), hot...) {
				tm.set(key, at)
			}
			tm.m.SetClock(90_000)
			for _, key := range hot {
				for range 50 {
					tm.do(func(tx *Txn) { tx.Lookup([]byte(key)) })
				}
			}
			for _, key := range cold { // is no use
				tm.do(func(tx *Txn) { tx.Peek([]byte(key)) })
			}
			var hand Hand
			var gone []string
			for range 4 { // the pool of a search has 16
				gone = append(gone, tm.evict(&hand, 1<<20, 5)...)
			}
			slices.Sort(gone)
			if !slices.Equal(gone, cold) {
				t.Errorf("evicted %v", gone)
			}
			for len(tm.evict(&hand, 1<<20, 5)) > 0 {
			}
			left := tm.m.Memory().DataBytes
			if want := map[bool]int64{true: 79, false: 0}[policy.Volatile()]; left != want || tm.m.Memory().Evictable {
				t.Errorf("%d bytes are left", left)
			}
			tm.check()
		})
	}
}

// With volatile-ttl the keys go in the order of their expiry, of all databases.
func TestVictimsByTime(t *testing.T) {
	tm := limited(t, Limit{MaxMemory: 1, Policy: VolatileTTL, Samples: 5})
	var want []string
	for i := range 30 {
		key := fmt.Sprintf("key%02d", i)
		want = append(want, key)
		tm.do(func(tx *Txn) {
			tx.Use(i * 7 % 3)
			tx.Put([]byte(key), Row{Kind: String, ExpireAt: 1<<40 + int64(i)})
		})
	}
	tm.set("lasting", 0)
	var hand Hand
	var got []string
	for len(got) < 30 {
		some := tm.evict(&hand, 1<<20, 4)
		if len(some) == 0 {
			break
		}
		got = append(got, some...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("evicted %v", got)
	}
	if tm.m.Memory().Evictable || tm.m.Memory().DataBytes == 0 {
		t.Errorf("%+v", tm.m.Memory())
	}
}

// Random victims are not those that come first, and in the end they are all keys of all databases, each once.
func TestVictimsAtRandom(t *testing.T) {
	for _, policy := range []Policy{AllKeysRandom, VolatileRandom} {
		tm := limited(t, Limit{MaxMemory: 1, Policy: policy, Samples: 5})
		for i := range 200 {
			tm.do(func(tx *Txn) {
				tx.Use(i % 3 * 5)
				tx.Put(fmt.Append(nil, i), Row{Kind: String, ExpireAt: 1 << 40})
			})
		}
		seen := map[string]bool{}
		var hand Hand
		for {
			some := tm.evict(&hand, 1<<20, 20)
			if len(some) == 0 {
				break
			}
			for _, key := range some {
				if seen[key] {
					t.Fatalf("%s was evicted twice", key)
				}
				seen[key] = true
			}
		}
		if len(seen) != 200 || tm.m.Memory().DataBytes != 0 {
			t.Errorf("%v: %d keys evicted", policy, len(seen))
		}
	}
}

// TestUses: the counter grows by the logarithm of the uses, and is lost with time.
func TestUses(t *testing.T) {
	tm := limited(t, Limit{MaxMemory: 1, Policy: AllKeysLFU, Samples: 5, LogFactor: 10, DecayTime: 1})
	tm.m.SetClock(1_000_000)
	tm.set("key", 0)
	const minute = 60_000
	usage := func() (u Usage) {
		tm.do(func(tx *Txn) { u = tx.Usage([]byte("key")) })
		return u
	}
	if u := usage(); u != (Usage{0, usesFirst}) {
		t.Errorf("new: %+v", u)
	}
	for range 1000 {
		tm.do(func(tx *Txn) { tx.Touch([]byte("key")) })
	}
	u := usage() // Redis's documentation has 18 after a thousand
	if u.Frequency < 12 || u.Frequency > 25 {
		t.Errorf("after a thousand uses: %+v", u)
	}
	tm.m.SetClock(1_000_000 + 3*minute)
	if later := usage(); later != (Usage{1800, u.Frequency - 3}) {
		t.Errorf("three minutes after %+v: %+v", u, later)
	}
	tm.m.SetClock(1_000_000 + 1000*minute)
	if later := usage(); later.Frequency != 0 {
		t.Errorf("much later: %+v", later)
	}
	tm.do(func(tx *Txn) {
		if u := tx.Usage([]byte("none")); u.Idle != 600_001 || u.Frequency != 0 {
			t.Errorf("what is not in the cache: %+v", u)
		}
	})
}

func TestPolicyNames(t *testing.T) {
	for p := range policies {
		if got, ok := ParsePolicy(p.String()); !ok || got != p || p.Volatile() != strings.HasPrefix(p.String(), "volatile") {
			t.Errorf("policy %d is %s", p, p)
		}
	}
	if _, ok := ParsePolicy("lru"); ok {
		t.Error("there is a policy lru")
	}
}
