package command

import (
	"fmt"
	"strings"
	"testing"

	"redoubt/fsm"
)

// told notes the messages that are told, once it listens.
type told struct {
	listens bool
	list    []string
}

func (o *told) Wants() fsm.Wants { return fsm.Wants{Messages: o.listens} }
func (o *told) Skipped()         {}
func (o *told) Applied(e *fsm.Effects) {
	for _, m := range e.Messages {
		where := ""
		if m.Shard {
			where = "shard "
		}
		o.list = append(o.list, fmt.Sprintf("%s%s %s", where, m.Channel, m.Text))
	}
}

// TestEventSettings has Redis's spelling of classes of events, in which n is not shown behind A.
func TestEventSettings(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "KEA": "AKE", "AKE": "AKE", "EK": "KE", "Kg$lshzxetdmn": "AKm", "g$lshzxetd": "A", "nK": "nK", "mx$": "$xm", "KK": "K",
	} {
		events, ok := ParseEvents(value)
		if got := FormatEvents(events); !ok || got != want {
			t.Errorf("%q is %q %v, want %q", value, got, ok, want)
		}
	}
	if _, ok := ParseEvents("KEy"); ok {
		t.Error("an unknown letter is taken")
	}
}

// TestExpiredAndEvicted has what TestEvents of test/compat leaves out, since Redis chooses when to look.
func TestExpiredAndEvicted(t *testing.T) {
	m := newMachine(t)
	m.told.listens = true
	for _, step := range []struct {
		call, want string
		later      int64
	}{
		{call: "SETCONFIG ALWAYS notify-keyspace-events Exeng"},
		{call: "SET a 1 PX 10", want: "new a,expire a"},
		{call: "SWEEPEXPIRED 10", later: 20, want: "expired a"},
		{call: "SET a 1 PX 10", want: "new a,expire a"},
		{call: "DEL a", later: 20, want: "expired a"},
		{call: "SET a 1 PX 10", want: "new a,expire a"},
		{call: "SET a 2", later: 20, want: "expired a,new a"},
		{call: "SET a 3"},
		{call: "SET a 4 PXAT 5", want: "expire a,expired a"},
		{call: "SET b 4 PXAT 5", want: "new b,expire b,expired b"},
		{call: "SET c 1 PX 10", want: "new c,expire c"},
		{call: "INCR c", later: 20, want: "expired c,new c"},
		{call: "SET d 1 PX 10", want: "new d,expire d"},
		{call: "RENAME c d", later: 20, want: "expired d,new d,rename_from c,rename_to d"},
		{call: "SETCONFIG ALWAYS notify-keyspace-events K$"},
		{call: "SET a 1", want: "a set"},
		{call: "HSET h f v"},
		{call: "SETCONFIG ALWAYS notify-keyspace-events @"},
		{call: "SET a 1"},
	} {
		m.now += step.later
		m.told.list = nil
		m.do(step.call)
		got := strings.Join(m.told.list, ",")
		got = strings.NewReplacer("__keyevent@0__:", "", "__keyspace@0__:", "").Replace(got)
		if got != step.want {
			t.Errorf("%s: told %q, want %q", step.call, got, step.want)
		}
	}
	version := m.index // of a
	m.do("SETCONFIG ALWAYS notify-keyspace-events Ke maxmemory 1 maxmemory-policy allkeys-random")
	m.do(fmt.Sprintf("EVICT a %d", version+1))
	m.do(fmt.Sprintf("EVICT a %d", version))
	if got := strings.Join(m.told.list, ","); got != "__keyspace@0__:a evicted" {
		t.Errorf("an eviction told %q", got)
	}
}

// What scripts publish is told on all nodes.
func TestScriptsPublish(t *testing.T) {
	m := newMachine(t)
	m.told.listens = true
	for script, want := range map[string]string{
		"return redis.call('publish', 'ch', 'x')":                                  "ch x",
		"return redis.call('spublish', 'ch', 'x')":                                 "shard ch x",
		"redis.call('spublish', 'ch', 'x') return redis.call('publish', 'a', 'b')": "shard ch x,a b",
	} {
		m.told.list = nil
		if got := m.read("EVAL", script, "0"); got.Text != NeedsLog.Text {
			t.Errorf("%s: as a read %v", script, got)
		}
		m.expectText(script, encoded(m.write("EVAL", script, "0")), ":0\r\n")
		m.expectText(script, strings.Join(m.told.list, ","), want)
		m.expectText(script, encoded(m.read("EVAL_RO", script, "0"))[:1], "-")
	}
}
