package fsm

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// FuzzPayload: any bytes give calls or an error, never a panic; what decodes is what its encoding
// decodes to again.
func FuzzPayload(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{payloadVersion})
	f.Add([]byte{payloadVersion, 0, 0})
	f.Add([]byte{payloadVersion, 16, 1, 1, 'x'})
	f.Add([]byte{payloadVersion, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(AppendCalls(nil, calls(3, "SET a  0", "GET a", "INCR \x00\r\n")))
	f.Add([]byte{payloadWatched, 1, 0, 0, 1})
	f.Add([]byte{payloadWatched, 0xff, 0xff, 3, 0, 0, 1, 1, 'k', 0, 1, 1, 'x'})
	f.Add(AppendRequest(nil, &Request{Watched: []Watched{{3, []byte("key"), 7, 1 << 40}, {}}, Calls: calls(3, "SET a  0")}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		list, err := decodeAll(payload)
		if err != nil {
			return
		}
		again, err := decodeAll(AppendCalls(nil, list))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%d calls became %d: %v", len(list), len(again), err)
		}
		for i := range list {
			if list[i].DB != again[i].DB || !slices.EqualFunc(list[i].Args, again[i].Args, bytes.Equal) {
				t.Fatalf("%v became %v", list[i], again[i])
			}
		}
	})
}

func decodeAll(payload []byte) (list []Call, err error) {
	var d decoder
	if err := d.reset(payload); err != nil {
		return nil, err
	}
	for {
		c, ok, err := d.next()
		if err != nil || !ok {
			return list, err
		}
		c.Args = append([][]byte{}, c.Args...)
		list = append(list, c)
	}
}

func TestPayloadHoldsTheWritesOnly(t *testing.T) {
	list, err := decodeAll(AppendCalls(nil, calls(7, "GET a", "SET a v 0", "KEYS", "DEL b")))
	if err != nil || !reflect.DeepEqual(list, calls(7, "SET a v 0", "DEL b")) {
		t.Fatal(list, err)
	}
	whole := AppendCalls(nil, calls(0, "SET a v 0"))
	for size := range whole {
		if list, err := decodeAll(whole[:size]); err == nil && len(list) > 0 {
			t.Fatalf("%d of %d bytes were taken for %v", size, len(whole), list)
		}
	}
}

// FuzzRow: any bytes give a row or an error; what decodes is encoded as the same bytes.
func FuzzRow(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 9, 'v'})
	f.Add([]byte{0x81, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0, 'v'})
	f.Add([]byte{0x81, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x82, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		row, err := decodeRow(b)
		if err != nil {
			return
		}
		again := make([]byte, row.encodedSize())
		row.encode(again)
		if !bytes.Equal(b, again) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

// FuzzKeys: keys come back from the engine's keys as they were, and the order of positions is the
// order of the engine.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("a"), []byte("{a}b"), uint32(1), int64(5))
	f.Add([]byte{}, []byte{0, 0xff}, uint32(1<<31), int64(1)<<62)
	f.Fuzz(func(t *testing.T, a, b []byte, space uint32, at int64) {
		pa, pb := keyPosition(a, keyHash(a)), keyPosition(b, keyHash(b))
		ka, kb := appendRowKey(nil, space, pa, a), appendRowKey(nil, space, pb, b)
		if pa != pb && (pa < pb) != (bytes.Compare(ka, kb) < 0) {
			t.Fatal("order of positions is not that of keys")
		}
		if p, key, err := splitRowKey(ka); err != nil || p != pa || !bytes.Equal(key, a) {
			t.Fatal(p, key, err)
		}
		x := appendExpiryKey(nil, space, at, pa, a)
		if got, key, err := splitExpiryKey(x); err != nil || got != at || !bytes.Equal(key, a) {
			t.Fatal(got, key, err)
		}
		splitRowKey(b)
		splitExpiryKey(b)
	})
}
