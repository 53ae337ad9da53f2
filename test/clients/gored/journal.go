package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// outcome is what a writer knows about one write.
type outcome string

const (
	done    outcome = "done"    // acknowledged: must be there
	refused outcome = "refused" // the server said that it did not do it: must not be there
	unknown outcome = "unknown" // may be there
)

// outcomeOf tells what an error says about the write that it answered.
func outcomeOf(err error) outcome {
	if err == nil {
		return done
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return refused
	}
	var reply redis.Error
	if errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "CLUSTERDOWN") {
		return refused
	}
	return unknown
}

// record is one line of the journal: a SET of a key of its own, or an INCR of a
// counter (then value is empty).
type record struct {
	key, value string
	outcome    outcome
}

// journal appends records to a file, a line each.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

func (j *journal) add(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := fmt.Fprintf(j.file, "%s\t%s\t%s\n", r.key, r.value, r.outcome)
	return err
}

func readJournal(path string) ([]record, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var records []record
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("journal line %q", lines.Text())
		}
		records = append(records, record{fields[0], fields[1], outcome(fields[2])})
	}
	return records, lines.Err()
}
