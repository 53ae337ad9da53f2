package compat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"redoubt/fsm"
)

// allEvents has everything told that is told of writes.
const allEvents = "KEAn"

// ear hears of events of keys.
type ear interface {
	// since returns what was told since it was asked last: channels and texts.
	since() ([]string, error)
}

// messages is the ear of the stand-in. It is its machine's observer, too.
type messages struct {
	on   bool
	list []string
}

func (m *messages) Wants() fsm.Wants { return fsm.Wants{Messages: m.on} }
func (m *messages) Skipped()         {}
func (m *messages) Applied(e *fsm.Effects) {
	for _, told := range e.Messages {
		m.list = append(m.list, fmt.Sprintf("%q %q", told.Channel, told.Text))
	}
}

func (m *messages) since() ([]string, error) {
	told := m.list
	m.list = nil
	return told, nil
}

// subscriber is the ear of a server: a connection that is subscribed to all events, and to a channel on which it is told
// by another connection that all has come.
type subscriber struct {
	subscribed, publisher *remote
}

const endOfEvents = "end of events"

func listen(t *testing.T, addr string) ear {
	t.Helper()
	var s subscriber
	for _, conn := range []**remote{&s.subscribed, &s.publisher} {
		r, err := dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		*conn = r
		t.Cleanup(func() { _ = r.close() })
	}
	for _, call := range [][]string{{"PSUBSCRIBE", "__key*__:*"}, {"SUBSCRIBE", endOfEvents}} {
		if reply, err := s.subscribed.call(call); err != nil || !bytes.Contains(reply, []byte("subscribe")) {
			t.Fatalf("%q: %q, %v", call, reply, err)
		}
	}
	return &s
}

func (s *subscriber) since() (told []string, err error) {
	if _, err := s.publisher.call([]string{"PUBLISH", endOfEvents, "."}); err != nil {
		return nil, err
	}
	for {
		message, err := readFrame(s.subscribed.in)
		if err != nil {
			return nil, err
		}
		_, parts, err := elements(message)
		if err != nil {
			return nil, err
		}
		if len(parts) == 3 {
			return told, nil
		}
		var texts [2]string
		for i := range texts {
			if texts[i], err = bulkText(parts[2+i]); err != nil {
				return nil, err
			}
		}
		told = append(told, fmt.Sprintf("%q %q", texts[0], texts[1]))
	}
}

// eventsOf runs a case and returns what each step told. That keys have expired is left out: when they are looked at is for
// each server to choose.
func eventsOf(t *testing.T, tested target, heard ear, c testCase) [][]string {
	t.Helper()
	if err := start(tested, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.since(); err != nil {
		t.Fatal(err)
	}
	all := make([][]string, len(c.steps))
	for i, s := range c.steps {
		if _, err := run(tested, s); err != nil {
			t.Fatalf("%s: %v", s.text, err)
		}
		told, err := heard.since()
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range told {
			if !strings.Contains(event, "expired") {
				all[i] = append(all[i], event)
			}
		}
	}
	return all
}

// firstOtherEvents is the first step that told something else, or -1.
func firstOtherEvents(got, want [][]string) int {
	for i := range want {
		if strings.Join(got[i], "\n") != strings.Join(want[i], "\n") {
			return i
		}
	}
	return -1
}

// TestEvents compares what a live Redis tells of keys, in its order, with what is told here: of all cases, and of random ones.
func TestEvents(t *testing.T) {
	addr, ok := startRedis(t)
	if !ok {
		t.Log("no redis-server to compare with")
		return
	}
	redis := dialRedis(t, addr)
	if isOld(redisVersion(t, redis)) {
		t.Log("this redis-server is older than 7.2")
		return
	}
	tested := newLocal(t)
	t.Cleanup(func() { _ = tested.close() })
	for _, side := range []target{redis, tested} {
		if reply, err := side.call([]string{"CONFIG", "SET", "notify-keyspace-events", allEvents}); err != nil || reply[0] != '+' {
			t.Fatalf("%q %v", reply, err)
		}
	}
	tested.told.on = true
	redisEar := listen(t, addr)
	compare := func(c testCase) (at int, got, want [][]string) {
		want, got = eventsOf(t, redis, redisEar, c), eventsOf(t, tested, &tested.told, c)
		return firstOtherEvents(got, want), got, want
	}
	check := func(c testCase) {
		if at, _, _ := compare(c); at < 0 {
			return
		}
		c = minimise(c, func(c testCase) bool { at, _, _ := compare(c); return at >= 0 })
		var text strings.Builder
		for _, s := range c.steps {
			text.WriteString("\n" + s.text)
		}
		if at, got, want := compare(c); at >= 0 {
			t.Errorf("%s:%s\n\tRedis:   %v\n\tRedoubt: %v", c.name, &text, want[at], got[at])
		}
	}
	for _, c := range casesFor(tested, allCases(t)) {
		check(c)
	}
	random := readGrammar(t)
	for i := range *seeds {
		check(random.randomCase(*firstSeed + uint64(i)))
	}
}
