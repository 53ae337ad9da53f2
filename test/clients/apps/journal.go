package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// journal is a file to which each piece of work adds a line when it is done, so that whoever runs the program
// sees how far it is. It also collects what is wrong, and the errors that the application saw.
type journal struct {
	mu       sync.Mutex
	file     *os.File
	lines    int
	wrong    []string
	troubles map[string]int
	last     time.Time
	longest  time.Duration
}

func newJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	return &journal{file: file, troubles: map[string]int{}, last: time.Now()}, err
}

func (j *journal) close() { _ = j.file.Close() }

// done notes a piece of work.
func (j *journal) done(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if j.lines > 0 {
		j.longest = max(j.longest, now.Sub(j.last))
	}
	j.last = now
	j.lines++
	if _, err := fmt.Fprintf(j.file, format+"\n", args...); err != nil {
		j.wrong = append(j.wrong, err.Error())
	}
}

// broken notes that a promise was not kept.
func (j *journal) broken(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// trouble notes an error that the application has to live with. Numbers are cut out: ports and ids differ.
func (j *journal) trouble(what string, err error) {
	text := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.troubles[what+": "+text]++
}

// report prints what happened, and returns what is wrong.
func (j *journal) report(summary string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Printf("%s; longest time without anything done %v\n", summary, j.longest.Round(time.Millisecond))
	texts := slices.Sorted(maps.Keys(j.troubles))
	for _, text := range texts[:min(len(texts), 20)] {
		fmt.Printf("%6d x %s\n", j.troubles[text], text)
	}
	if len(j.wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(j.wrong[:min(len(j.wrong), 20)], "\n"))
}
