package fsm

import "testing"

// BenchmarkVictims chooses keys to evict, 512 at a time.
func BenchmarkVictims(b *testing.B) {
	for _, policy := range []Policy{AllKeysLRU, AllKeysRandom} {
		b.Run(policy.String(), func(b *testing.B) {
			m := openBench(b, 256<<20)
			fill(b, m, 100_000)
			m.mu.Lock()
			m.ks.settings.Limit = DefaultLimit
			m.ks.settings.Limit.Policy = policy
			m.mu.Unlock()
			var hand Hand
			b.ReportAllocs()
			for b.Loop() {
				victims, err := m.Victims(&hand, 1, 1<<40, 512)
				if err != nil || len(victims) != 512 {
					b.Fatal(len(victims), err)
				}
			}
		})
	}
}
