package server

import (
	"fmt"
	godebug "runtime/debug"
	"runtime/metrics"
	"strings"

	"redoubt/resp"
)

// heapUsed returns the bytes of live and not yet collected objects.
func heapUsed() int64 { return metric("/memory/classes/heap/objects:bytes") }

// memoryHeld returns the bytes that the process has from the operating system.
func memoryHeld() int64 {
	return metric("/memory/classes/total:bytes") - metric("/memory/classes/heap/released:bytes")
}

func metric(name string) int64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}

// infoMemory has the data set, which maxmemory bounds and which is the same on all nodes, by the names that Redis has for the
// memory that it uses, and the memory of this process. README.md has a table of them.
func infoMemory(t *infoText) {
	m := t.server.engine.Memory()
	used, heap, held := m.DataBytes, heapUsed(), memoryHeld()
	t.server.stats.notePeak(used)
	peak := t.server.stats.memoryPeak.Load()
	t.line("used_memory", used)
	t.line("used_memory_human", human(used))
	t.line("used_memory_rss", held)
	t.line("used_memory_rss_human", human(held))
	t.line("used_memory_peak", peak)
	t.line("used_memory_peak_human", human(peak))
	t.line("used_memory_peak_perc", percent(used, peak))
	t.line("used_memory_dataset", used)
	t.line("used_memory_heap", heap)
	t.line("used_memory_heap_human", human(heap))
	t.line("mem_clients_requests", t.server.limits.budget.taken.Load())
	if p, err := t.server.programs(true); err == nil {
		t.line("number_of_cached_scripts", p.Scripts)
		t.line("number_of_functions", p.Functions)
		t.line("number_of_libraries", p.Libraries)
		t.line("used_memory_scripts_eval", p.ScriptBytes)
		t.line("used_memory_functions", p.LibraryBytes)
		t.line("used_memory_scripts", p.ScriptBytes+p.LibraryBytes)
		t.line("used_memory_scripts_human", human(p.ScriptBytes+p.LibraryBytes))
	}
	t.line("maxmemory", m.MaxMemory)
	t.line("maxmemory_human", human(m.MaxMemory))
	t.line("maxmemory_policy", m.Policy)
	t.line("mem_fragmentation_ratio", ratio(held, heap))
	t.line("mem_allocator", "go")
}

func ratio(part, whole int64) string {
	return fmt.Sprintf("%.2f", float64(part)/float64(max(whole, 1)))
}

// percent prints a part of a whole as Redis does.
func percent(part, whole int64) string {
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(max(whole, 1)))
}

// human prints bytes as Redis does.
func human(n int64) string {
	units := []string{"K", "M", "G", "T", "P"}
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	v := float64(n) / 1024
	for v >= 1024 && len(units) > 1 {
		v /= 1024
		units = units[1:]
	}
	return fmt.Sprintf("%.2f%s", v, units[0])
}

func memoryStats(s *session, _ [][]byte) resp.Reply {
	m, heap, held := s.server.engine.Memory(), heapUsed(), memoryHeld()
	s.server.stats.notePeak(m.DataBytes)
	peak := s.server.stats.memoryPeak.Load()
	keys := int64(0)
	for _, db := range s.server.engine.Status().FSM.DB {
		keys += db.Keys
	}
	var pairs []resp.Reply
	number := func(name string, n int64) { pairs = append(pairs, resp.NewBulkString(name), resp.NewInt(n)) }
	float := func(name string, f float64) { pairs = append(pairs, resp.NewBulkString(name), resp.NewDouble(f)) }
	number("peak.allocated", peak)
	number("total.allocated", m.DataBytes)
	number("keys.count", keys)
	number("keys.bytes-per-key", m.DataBytes/max(keys, 1))
	number("dataset.bytes", m.DataBytes)
	float("peak.percentage", 100*float64(m.DataBytes)/float64(max(peak, 1)))
	number("heap.bytes", heap)
	number("process.bytes", held)
	float("fragmentation", float64(held)/float64(max(heap, 1)))
	number("fragmentation.bytes", held-heap)
	return resp.NewMap(pairs)
}

func memoryDoctor(s *session, _ [][]byte) resp.Reply {
	m := s.server.engine.Memory()
	switch {
	case m.Over() && !m.Evictable:
		return resp.NewVerbatim("txt", fmt.Sprintf("The data set has %d bytes, which is more than maxmemory, and the policy %s finds "+
			"nothing to evict: writes are refused.\n", m.DataBytes, m.Policy))
	case m.Over():
		return resp.NewVerbatim("txt", fmt.Sprintf("The data set has %d bytes, which is more than maxmemory: keys are being "+
			"evicted.\n", m.DataBytes))
	}
	return resp.NewVerbatim("txt", "The data set is within its limit.\n")
}

// memoryMallocStats lists all that Go counts of memory.
func memoryMallocStats(*session, [][]byte) resp.Reply {
	var out strings.Builder
	for _, d := range metrics.All() {
		if d.Kind == metrics.KindUint64 && strings.HasPrefix(d.Name, "/memory/") {
			fmt.Fprintf(&out, "%s %d\n", d.Name, metric(d.Name))
		}
	}
	return resp.NewVerbatim("txt", out.String())
}

func memoryPurge(*session, [][]byte) resp.Reply {
	godebug.FreeOSMemory()
	return resp.OK
}
