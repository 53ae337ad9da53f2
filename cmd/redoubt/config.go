package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// loadConfig reads a settings file: lines of a flag's name, white space and its value; empty lines and
// those that begin with # count for nothing.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	values := make(map[string]string)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, " ")
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("line %d: %s is there twice", n, name)
		}
		values[name] = strings.TrimSpace(value)
	}
	return fileValues(values), lines.Err()
}

// fileValues are the settings of a file, by flag name.
type fileValues map[string]string

// Validate is part of kong.Resolver.
func (v fileValues) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for name := range v {
		if !known[name] {
			return fmt.Errorf("the configuration file has an unknown setting: %s", name)
		}
	}
	return nil
}

// Resolve is part of kong.Resolver.
func (v fileValues) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs { // kong would let the file win over the environment
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	if value, ok := v[flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}

// size is a number of bytes, written as Redis does: 1024, 64kb (1024), 64k (1000), 2mb, 1gb.
type size int64

// UnmarshalText is part of encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	units := []struct {
		suffix string
		factor int64
	}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}, {"", 1}}
	lower := strings.ToLower(string(text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(lower, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.factor {
			return fmt.Errorf("%q is not a size such as 67108864, 64mb or 1gb", text)
		}
		*s = size(n * u.factor)
		return nil
	}
	return nil
}
