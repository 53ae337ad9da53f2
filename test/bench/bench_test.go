package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 100}, 3.5}} {
		given := slices.Clone(c.values)
		if got := median(c.values); got != c.want || !slices.Equal(c.values, given) {
			t.Errorf("median of %v is %v, want %v; it left %v", given, got, c.want, c.values)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{title: "Speed", note: "Of all.", head: []string{"", "ratio", "mark"}}
	tab.row("good", ratio(0.5), tab.check("good", 0.5, atLeast(0.5)))
	tab.row("bad", ratio(1.5), tab.check("bad", 1.5, below(1.5)))
	tab.row("free", ratio(7), tab.check("free", 7, mark{}))
	want := "\n**Speed**\n\nOf all.\n\n|  | ratio | mark |\n| --- | ---: | ---: |\n" +
		"| good | 0.50 | ≥ 0.5 |\n| bad | 1.50 | < 1.5 **missed** |\n| free | 7.00 |  |\n"
	if got := tab.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if want := []string{"bad: 1.500, wanted < 1.5"}; !slices.Equal(tab.missed, want) {
		t.Errorf("missed: %q, want %q", tab.missed, want)
	}
	if got := (&table{title: "of a section that failed"}).String(); got != "" {
		t.Errorf("an empty table is %q", got)
	}
}

func TestWhole(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -123456: "-123,456", 1234567: "1,234,567"} {
		if got := whole(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

func TestBenchmarkRate(t *testing.T) {
	head := `"test","rps","avg_latency_ms"` + "\n"
	if got, err := benchmarkRate([]byte(head + `"SET","12345.67","0.1"` + "\n")); err != nil || got != 12345.67 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", head, "Error from server: no\n"} {
		if got, err := benchmarkRate([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func TestProcField(t *testing.T) {
	text := "VmHWM:\t  200 kB\nVmRSS:\t  100 kB\n"
	if got := procField(text, "VmRSS:"); got != 100 {
		t.Errorf("got %d", got)
	}
	if got := procField(text, "VmSwap:"); got != 0 {
		t.Errorf("a field that is not there is %d", got)
	}
}

func TestWatcherCountsWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	put := func(name string, bytes int) {
		t.Helper()
		if err := os.WriteFile(file(name), make([]byte, bytes), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("old.sst", 1000)
	put("other", 1000)
	w, err := watch(t.Context(), dir, func(name string) bool { return strings.HasSuffix(name, ".sst") })
	if err != nil {
		t.Fatal(err)
	}
	put("new.sst", 300)
	if err := os.Link(file("new.sst"), file("linked.sst")); err != nil {
		t.Fatal(err)
	}
	if got, err := w.written(); err != nil || got != 300 {
		t.Errorf("written: %d, %v; want 300", got, err)
	}
	for _, name := range []string{"old.sst", "new.sst", "linked.sst"} {
		if err := os.Remove(file(name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := w.written(); err != nil || got != 300 {
		t.Errorf("written when the files are gone: %d, %v; want 300", got, err)
	}
}

func TestParse(t *testing.T) {
	o, err := parse(strings.Fields("--quick --only elections,large --svg x.svg"))
	if err != nil || o.rounds != 1 || !slices.Equal(o.only, []string{"throughput", "large"}) || o.svg != "x.svg" {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, bad := range []string{"--only no", "--rounds 0", "--scale 0", "more"} {
		if _, err := parse(strings.Fields(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chart.svg")
	tables := []*table{{}, {bars: []bar{{"SET of everything", 0.8, 0.6, 0.7, 0.5}, {"GET", 1.25, 0.9, 0, 0}}}}
	if err := drawChart(tables, file); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "SET of everything", "1.25", "three nodes", "mark"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %q in the chart", want)
		}
	}
}
