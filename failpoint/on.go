//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Enabled says whether the program was built with the tag failpoints.
const Enabled = true

// Environment arms points when the program starts.
const Environment = "REDOUBT_FAILPOINTS"

// ErrInjected is what the error of a point wraps.
var ErrInjected = errors.New("injected error")

// Point is a place that can crash or wait.
type Point struct{ *point }

// ErrPoint is a place that can also return an error.
type ErrPoint struct{ *point }

// Hit is called where the program comes by.
func (p Point) Hit() { _ = p.hit() }

// Err is called where the program comes by.
func (p ErrPoint) Err() error { return p.hit() }

// After is called where the program comes by with the outcome of a step: it returns err, or what Err
// returns if that is nil.
func (p ErrPoint) After(err error) error {
	if err != nil {
		return err
	}
	return p.hit()
}

// Status describes a point.
type Status struct {
	Name     string
	Fallible bool   // it is an ErrPoint
	Hits     uint64 // how often the program came by
	Action   string // as given to Arm, "off" when it is not armed
}

type point struct {
	name     string
	fallible bool
	hits     atomic.Uint64
	armed    atomic.Pointer[action]
}

var all []*point

func newPoint(name string) Point       { return Point{declare(name, false)} }
func newErrPoint(name string) ErrPoint { return ErrPoint{declare(name, true)} }

func declare(name string, fallible bool) *point {
	p := &point{name: name, fallible: fallible}
	all = append(all, p)
	return p
}

func init() {
	if err := armAll(os.Getenv(Environment)); err != nil {
		fmt.Fprintf(os.Stderr, "redoubt: %s: %v\n", Environment, err)
		os.Exit(2)
	}
}

// armAll arms the points of a list such as "a=crash,b=delay 1s after 3".
func armAll(list string) error {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		name, what, _ := strings.Cut(one, "=")
		if err := Arm(name, what); err != nil {
			return err
		}
	}
	return nil
}

// Arm sets what happens at a point. An action begins to count its "after" anew.
func Arm(name, what string) error {
	i := slices.IndexFunc(all, func(p *point) bool { return p.name == name })
	if i < 0 {
		return fmt.Errorf("there is no failpoint %q; there are %s", name, strings.Join(names(), ", "))
	}
	a, err := parse(what)
	if err != nil {
		return fmt.Errorf("failpoint %s: %w", name, err)
	}
	if a != nil && a.kind == kindError && !all[i].fallible {
		return fmt.Errorf("failpoint %s can't return an error", name)
	}
	all[i].armed.Store(a)
	return nil
}

// List describes all points, in the order of their declaration.
func List() []Status {
	var out []Status
	for _, p := range all {
		s := Status{Name: p.name, Fallible: p.fallible, Hits: p.hits.Load(), Action: "off"}
		if a := p.armed.Load(); a != nil {
			s.Action = a.text
		}
		out = append(out, s)
	}
	return out
}

func names() []string {
	var out []string
	for _, p := range all {
		out = append(out, p.name)
	}
	return out
}

func (p *point) hit() error {
	p.hits.Add(1)
	a := p.armed.Load()
	if a == nil || !a.due() {
		return nil
	}
	switch a.kind {
	case kindCrash:
		crash(p.name)
	case kindDelay:
		time.Sleep(a.delay)
	case kindError:
		return fmt.Errorf("failpoint %s: %w", p.name, ErrInjected)
	}
	return nil
}

// crash ends the process at once. The line is for whoever wonders why.
func crash(name string) {
	fmt.Fprintf(os.Stderr, "failpoint %s: crash\n", name)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal may take a moment, in which nothing must happen
}

const (
	kindCrash = "crash"
	kindError = "error"
	kindDelay = "delay"
	kindOff   = "off"
)

// action is what happens at a point, and when.
type action struct {
	text  string
	kind  string
	delay time.Duration

	mu     sync.Mutex
	after  uint64 // so many still pass
	oneIn  uint64 // of the others, one in so many meets the action
	random *rand.Rand
}

// due says whether this hit meets the action.
func (a *action) due() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.after > 0 {
		a.after--
		return false
	}
	return a.oneIn <= 1 || a.random.Uint64N(a.oneIn) == 0
}

// parse reads an action; "off" is nil.
func parse(text string) (*action, error) {
	words := strings.Fields(text)
	next := func() (word string) {
		if len(words) > 0 {
			word, words = words[0], words[1:]
		}
		return word
	}
	a := &action{text: strings.Join(words, " ")}
	var err error
	switch a.kind = next(); a.kind {
	case kindCrash, kindError, kindOff:
	case kindDelay:
		a.delay, err = time.ParseDuration(next())
	default:
		err = errors.New("what to do is one of crash, error, delay DURATION, off")
	}
	number := func(name string) (n uint64) {
		n, e := strconv.ParseUint(next(), 10, 64)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%q needs a number", name))
		}
		return n
	}
	seed := uint64(1)
	for len(words) > 0 && err == nil {
		switch word := next(); {
		case word == "after":
			a.after = number(word)
		case word == "1" && next() == "in":
			a.oneIn = number("1 in")
		case word == "seed":
			seed = number(word)
		default:
			err = errors.New("when is one of after N, 1 in N, seed N")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	if a.kind == kindOff {
		return nil, nil
	}
	a.random = rand.New(rand.NewPCG(seed, 0))
	return a, nil
}
