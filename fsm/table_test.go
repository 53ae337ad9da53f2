package fsm

import (
	"testing"

	"pgregory.net/rapid"
)

// A table answers as a map does, with ids that share places and wrap around its end.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) uint64 {
			place := rapid.SampledFrom([]uint64{0, 1, 13, 14, 15, 1 << 57}).Draw(t, "place")
			return place*cacheShards + rapid.Uint64Range(0, 5).Draw(t, "same place")
		})
		var got table[int32]
		want := map[uint64]int32{}
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			if id := id.Draw(t, "id"); rapid.Bool().Draw(t, "remove") {
				got.remove(id)
				delete(want, id)
			} else {
				value := rapid.Int32Range(1, 9).Draw(t, "value")
				got.set(id, value)
				want[id] = value
			}
			for place := range uint64(20) {
				for same := range uint64(6) {
					id := place*cacheShards + same
					if got.get(id) != want[id] {
						t.Fatalf("%d is %d, not %d", id, got.get(id), want[id])
					}
				}
			}
			if got.count != len(want) {
				t.Fatalf("count is %d, not %d", got.count, len(want))
			}
		}
	})
}
