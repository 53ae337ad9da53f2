package redoubt

import (
	"testing"

	"redoubt/fsm"
)

func TestGrowing(t *testing.T) {
	memory := func(bytes int64, policy fsm.Policy, evictable bool) fsm.Memory {
		return fsm.Memory{Limit: fsm.Limit{MaxMemory: 10 << 20, Policy: policy}, DataBytes: bytes, Evictable: evictable}
	}
	const limit, more = 10 << 20, 10 << 20 / marginPart
	for name, test := range map[string]struct {
		memory     fsm.Memory
		underWay   int64
		room, wait bool
	}{
		"no limit":                       {fsm.Memory{DataBytes: 99}, 1 << 40, true, false},
		"below the limit":                {memory(limit, fsm.NoEviction, false), 0, true, false},
		"at the limit with others":       {memory(limit, fsm.NoEviction, false), 1, false, true},
		"above, and nothing is evicted":  {memory(limit+1, fsm.NoEviction, false), 0, false, false},
		"above, and nothing can go":      {memory(limit+1, fsm.VolatileLRU, false), 0, false, false},
		"within the margin":              {memory(limit+more, fsm.AllKeysLRU, true), 0, true, false},
		"within the margin, with others": {memory(limit+more-1, fsm.AllKeysLRU, true), 2, false, true},
		"above the margin":               {memory(limit+more+1, fsm.AllKeysLRU, true), 0, false, true},
		"much under way":                 {memory(0, fsm.AllKeysLRU, true), more, false, true},
	} {
		g := growing{bytes: test.underWay}
		room, wait := g.enter(test.memory, 7)
		if room != test.room || wait != test.wait {
			t.Errorf("%s: room %v, wait %v", name, room, wait)
		}
		if room && g.bytes != test.underWay+7 || !room && g.bytes != test.underWay {
			t.Errorf("%s: %d bytes are under way", name, g.bytes)
		}
	}
}

func TestMargin(t *testing.T) {
	for maxMemory, want := range map[int64]int64{1: marginMin, 16 << 20: 1 << 20, 1 << 40: marginMax} {
		if got := margin(fsm.Limit{MaxMemory: maxMemory}); got != want {
			t.Errorf("margin of %d is %d", maxMemory, got)
		}
	}
}
