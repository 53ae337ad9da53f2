package server

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// pushLimit bounds what waits for a client when messages come that it did not ask for one by one: Redis's
// class pubsub of client-output-buffer-limit. A client that is further behind is disconnected. 0: no bound.
type pushLimit struct{ hard, soft, seconds atomic.Int64 }

const pushLimitDefault = "pubsub 33554432 8388608 60"

// redisText is an error with the words that Redis has for it.
type redisText string

func (e redisText) Error() string { return string(e) }

const (
	errLimitWords = redisText("Wrong number of arguments in buffer limit configuration.")
	errLimitClass = redisText("Invalid client class specified in buffer limit configuration.")
	errLimitValue = redisText("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
)

// exceeds says whether a client is to be disconnected for whom so many bytes wait. since is when there first were more than
// the soft bound without a break, and is kept up to date.
func (l *pushLimit) exceeds(bytes int, since *time.Time) bool {
	if hard := l.hard.Load(); hard > 0 && int64(bytes) > hard {
		return true
	}
	soft := l.soft.Load()
	if soft == 0 || int64(bytes) <= soft {
		*since = time.Time{}
		return false
	}
	if since.IsZero() {
		*since = time.Now()
	}
	return time.Since(*since) > time.Duration(l.seconds.Load())*time.Second
}

// fixedBufferLimits are those of the other classes.
func fixedBufferLimits() string { return fmt.Sprintf("normal %d 0 0 slave 0 0 0 ", queuedMax) }

// checkBufferLimits brings Redis's syntax into the form in which CONFIG GET shows it. The limit of the class pubsub is what can
// be changed; present is that until now.
func checkBufferLimits(value, present string) (string, error) {
	words := strings.Fields(value)
	if len(words) == 0 || len(words)%4 != 0 {
		return "", errLimitWords
	}
	size := memory(0, 1<<62)
	for ; len(words) > 0; words = words[4:] {
		class := strings.ToLower(words[0])
		if class == "replica" {
			class = "slave"
		}
		if class != "normal" && class != "slave" && class != "pubsub" {
			return "", errLimitClass
		}
		hard, hardErr := size(words[1])
		soft, softErr := size(words[2])
		seconds, secondsErr := integer(0, 1<<31-1)(words[3])
		if hardErr != nil || softErr != nil || secondsErr != nil {
			return "", errLimitValue
		}
		limit := fmt.Sprintf("%s %s %s %s", class, hard, soft, seconds)
		if class == "pubsub" {
			present = fixedBufferLimits() + limit
		} else if !strings.Contains(present, limit) {
			return "", errFixed
		}
	}
	return present, nil
}

// set puts what checkBufferLimits has returned into effect.
func (l *pushLimit) set(checked string) {
	words := strings.Fields(checked)
	words = words[len(words)-3:]
	l.hard.Store(mustInt(words[0]))
	l.soft.Store(mustInt(words[1]))
	l.seconds.Store(mustInt(words[2]))
}

// bufferLimits is the parameter.
func bufferLimits(l *pushLimit) *parameter {
	p := &parameter{name: "client-output-buffer-limit", value: fixedBufferLimits() + pushLimitDefault, apply: l.set}
	p.check = func(value string) (string, error) { return checkBufferLimits(value, p.value) }
	return p
}
