package server

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

// parameter is one line of CONFIG GET. Four kinds exist: those with an apply function change how
// the server works; settings are in the state of the cluster, the same on all nodes, and last; those with none and a check are
// remembered and have no effect, since they tune what works in another way here; fixed ones say how the server works and
// can't be changed.
type parameter struct {
	name  string
	alias string // the name before Redis 7
	value string // in Redis's spelling
	// check brings a new value into Redis's spelling. It is nil for fixed parameters.
	check func(value string) (string, error)
	// apply puts a checked value into effect.
	apply func(value string)
	// setting: it is one of fsm.Settings.
	setting bool
	// immutable parameters can't be set in Redis either.
	immutable bool
}

// parameters are all of them, ordered by name.
type parameters struct {
	mu     sync.Mutex
	all    []*parameter
	byName map[string]*parameter // by alias, too
}

var (
	errImmutable     = errors.New("can't set immutable config")
	errFixed         = errors.New("this server works with the present value only")
	errBoolValue     = errors.New("argument must be 'yes' or 'no'")
	errIntValue      = errors.New("argument couldn't be parsed into an integer")
	errDurationValue = errors.New("argument must be a duration such as 10s or 500ms")
	errMemoryValue   = errors.New("argument must be a memory value")
)

func newParameters(s *Server) *parameters {
	p := &parameters{byName: map[string]*parameter{}}
	limits := bufferLimits(&s.limits.pushed)
	p.all, p.byName[limits.name] = append(p.all, limits), limits
	for _, list := range [][]parameter{liveParameters(s), settings(), fixedParameters(s), tuningParameters()} {
		for _, param := range list {
			p.all = append(p.all, &param)
			p.byName[param.name] = &param
			if param.alias != "" {
				p.byName[param.alias] = &param
			}
		}
	}
	return p
}

// liveParameters are those that CONFIG SET can change.
func liveParameters(s *Server) []parameter {
	number := func(name string, value, low, high int64, apply func(int64)) parameter {
		return parameter{name: name, value: strconv.FormatInt(value, 10),
			check: integer(low, high), apply: func(v string) { apply(mustInt(v)) }}
	}
	bulkMax := number("proto-max-bulk-len", s.limits.bulkMax.Load(), 0, 0, s.limits.bulkMax.Store)
	bulkMax.check = memory(bulkMaxMin, bulkMaxMax)
	busy := number("busy-reply-threshold", busyDefault, 0, math.MaxInt64, s.busyAfter.Store)
	busy.alias = "lua-time-limit"
	return []parameter{
		{name: "cluster-face", check: boolean, apply: func(v string) { s.clusterFace.Store(v == "yes") }},
		{name: "max-staleness", check: duration, apply: func(v string) { s.engine.SetMaxStaleness(mustDuration(v)) }},
		{name: "loglevel", value: levelName(s.cfg.LogLevel.Level()), check: oneOf(levelNames...),
			apply: func(v string) { s.cfg.LogLevel.SetLevel(levels[v]) }},
		number("maxclients", s.maxClients.Load(), 1, math.MaxUint32, s.maxClients.Store),
		bulkMax, busy,
		number("tcp-keepalive", s.keepAlive.Load(), 0, math.MaxInt32, s.keepAlive.Store),
		{name: "tracking-max-lag", value: time.Duration(s.tracking.maxLag.Load()).String(), check: duration,
			apply: func(v string) { s.tracking.maxLag.Store(int64(mustDuration(v))) }},
		number("tracking-table-max-keys", s.tracking.keysMax.Load(), 0, math.MaxInt64, s.tracking.setKeysMax),
		number("timeout", s.limits.idleMax.Load(), 0, math.MaxInt32, s.limits.idleMax.Store),
	}
}

// settings are those of the cluster: the limit of the data set, and when values are packed.
func settings() []parameter {
	setting := func(name, alias string, check func(string) (string, error)) parameter {
		return parameter{name: name, alias: alias, check: check, setting: true}
	}
	count, size := integer(0, math.MaxInt64), memory(0, math.MaxInt64)
	return []parameter{
		setting("hash-max-listpack-entries", "hash-max-ziplist-entries", count),
		setting("hash-max-listpack-value", "hash-max-ziplist-value", size),
		setting("hll-sparse-max-bytes", "", size),
		setting("lfu-decay-time", "", integer(0, math.MaxInt32)),
		setting("lfu-log-factor", "", integer(0, math.MaxInt32)),
		setting("list-max-listpack-size", "list-max-ziplist-size", integer(math.MinInt32, math.MaxInt32)),
		setting("lua-instruction-limit", "", integer(1000, instructionsMax)),
		setting("maxmemory", "", memory(0, math.MaxInt64)),
		setting("maxmemory-policy", "", oneOf("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
			"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction")),
		setting("maxmemory-samples", "", integer(1, math.MaxInt32)),
		setting("notify-keyspace-events", "", eventClasses),
		setting("set-max-intset-entries", "", count),
		setting("set-max-listpack-entries", "", count),
		setting("set-max-listpack-value", "", count),
		setting("stream-node-max-bytes", "", size),
		setting("stream-node-max-entries", "", count),
		setting("zset-max-listpack-entries", "zset-max-ziplist-entries", count),
		setting("zset-max-listpack-value", "zset-max-ziplist-value", size),
	}
}

// instructionsMax is the greatest lua-instruction-limit: scripts take some minutes for it, during which nothing else is
// applied.
const instructionsMax = 10_000_000_000

// bulkMaxMax is the greatest proto-max-bulk-len that can be set: each value is a log entry, kept
// in memory several times on its way.
const bulkMaxMax = 512 << 20

// fixedParameters tell clients how the server works, in Redis's words.
func fixedParameters(s *Server) []parameter {
	host, port := splitAddr(s.cfg.Listen)
	fixed := func(name, value string) parameter { return parameter{name: name, value: value} }
	immutable := func(name, value string) parameter {
		return parameter{name: name, value: value, immutable: true}
	}
	return []parameter{
		fixed("appendfsync", "always"),
		fixed("appendonly", "yes"),
		fixed("bind", host),
		immutable("cluster-enabled", ""), // see configValue
		immutable("daemonize", "no"),
		immutable("databases", strconv.Itoa(fsm.Databases)),
		fixed("dir", s.cfg.DataDir),
		immutable("maxmemory-clients", strconv.FormatInt(s.limits.budget.limit, 10)),
		fixed("port", strconv.Itoa(port)),
		fixed("protected-mode", "no"),
		immutable("replicaof", ""),
		fixed("requirepass", ""),
		fixed("save", ""),
		fixed("tls-port", "0"),
		immutable("unixsocket", ""),
	}
}

// tuningParameters are accepted for the sake of programs that set them. Here the data structures
// and the schedules that they tune do not exist.
func tuningParameters() []parameter {
	yesNo := func(name, value string) parameter {
		return parameter{name: name, value: value, check: boolean}
	}
	number := func(name, alias, value string, low, high int64) parameter {
		return parameter{name: name, alias: alias, value: value, check: integer(low, high)}
	}
	return []parameter{
		number("active-expire-effort", "", "1", 1, 10),
		yesNo("activedefrag", "no"),
		yesNo("activerehashing", "yes"),
		yesNo("aof-use-rdb-preamble", "yes"),
		number("auto-aof-rewrite-percentage", "", "100", 0, math.MaxInt32),
		yesNo("dynamic-hz", "yes"),
		number("hz", "", "10", 0, math.MaxInt32),
		number("latency-monitor-threshold", "", "0", 0, math.MaxInt64),
		yesNo("latency-tracking", "yes"),
		yesNo("lazyfree-lazy-eviction", "no"),
		yesNo("lazyfree-lazy-expire", "no"),
		yesNo("lazyfree-lazy-server-del", "no"),
		yesNo("lazyfree-lazy-user-del", "no"),
		yesNo("lazyfree-lazy-user-flush", "no"),
		number("list-compress-depth", "", "0", 0, math.MaxInt32),
		number("maxmemory-eviction-tenacity", "", "10", 0, 100),
		yesNo("no-appendfsync-on-rewrite", "no"),
		yesNo("rdbcompression", "yes"),
		number("slowlog-log-slower-than", "", "10000", -1, math.MaxInt64),
		number("slowlog-max-len", "", "128", 0, math.MaxInt64),
		yesNo("stop-writes-on-bgsave-error", "yes"),
	}
}

// configValue returns the present value. Some are kept elsewhere.
func (s *Server) configValue(p *parameter) string {
	if p.setting {
		value, _ := command.SettingValue(s.engine.Settings(), p.name)
		return value
	}
	switch p.name {
	case "loglevel":
		return levelName(s.cfg.LogLevel.Level())
	case "cluster-enabled", "cluster-face":
		if s.clusterFace.Load() {
			return "yes"
		}
		return "no"
	case "max-staleness":
		return (time.Duration(s.engine.Status().MaxStalenessMS) * time.Millisecond).String()
	}
	return p.value
}

func configGet(s *session, args [][]byte) resp.Reply {
	p := s.server.config
	p.mu.Lock()
	defer p.mu.Unlock()
	pairs := []resp.Reply{}
	seen := map[string]bool{}
	add := func(name string, param *parameter) {
		if !seen[name] {
			seen[name] = true
			pairs = append(pairs, resp.NewBulkString(name),
				resp.NewBulkString(s.server.configValue(param)))
		}
	}
	for _, pattern := range args[2:] {
		if !bytes.ContainsAny(pattern, "[*?") {
			if param := p.byName[strings.ToLower(string(pattern))]; param != nil {
				add(string(pattern), param)
			}
			continue
		}
		for _, param := range p.all {
			for _, name := range []string{param.name, param.alias} {
				if name != "" && command.Match(pattern, []byte(name), true) {
					add(name, param)
				}
			}
		}
	}
	return resp.NewMap(pairs)
}

// change is one pair of CONFIG SET.
type change struct {
	param *parameter
	name  string // as the client spells it
	value string
}

// configSet changes all the parameters or none.
func configSet(s *session, args [][]byte) resp.Reply {
	p := s.server.config
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(args)%2 != 0 {
		return errSyntax
	}
	changes, refusal := p.parse(args[2:])
	if refusal.IsError() {
		return refusal
	}
	for i := range changes {
		c := &changes[i]
		if err := s.server.checkChange(c); err != nil {
			return configFailed(strings.ToLower(c.name), err)
		}
	}
	if refusal := s.server.setSettings(changes); refusal.IsError() {
		return refusal
	}
	for _, c := range changes {
		c.param.value = c.value
		if c.param.apply != nil {
			c.param.apply(c.value)
		}
	}
	return resp.OK
}

// setSettings puts the changes of settings of the cluster into the log.
func (s *Server) setSettings(changes []change) resp.Reply {
	var pairs []string
	for _, c := range changes {
		if c.param.setting {
			pairs = append(pairs, c.param.name, c.value)
		}
	}
	if len(pairs) == 0 {
		return resp.Reply{}
	}
	req := &fsm.Request{Calls: []fsm.Call{command.SetConfigCall(false, pairs...)}}
	if err := s.engine.Do(req); err != nil {
		return s.engineError(err)
	}
	return req.Replies[0]
}

// parse finds the parameters to change.
func (p *parameters) parse(pairs [][]byte) (changes []change, refusal resp.Reply) {
	for ; len(pairs) > 0; pairs = pairs[2:] {
		c := change{name: string(pairs[0]), value: string(pairs[1])}
		if c.param = p.byName[strings.ToLower(c.name)]; c.param == nil {
			return nil, errorf("Unknown option or number of arguments for CONFIG SET - '%s'", c.name)
		}
		if c.param.immutable {
			return nil, configFailed(c.name, errImmutable)
		}
		for _, before := range changes {
			if strings.EqualFold(before.name, c.name) { // of a name and its alias the last one counts
				return nil, configFailed(c.name, errors.New("duplicate parameter"))
			}
		}
		changes = append(changes, c)
	}
	return changes, resp.Reply{}
}

// checkChange accepts the value of a fixed parameter that it has anyhow.
func (s *Server) checkChange(c *change) (err error) {
	if c.param.check != nil {
		c.value, err = c.param.check(c.value)
		return err
	}
	if !strings.EqualFold(c.value, s.configValue(c.param)) {
		return errFixed
	}
	c.value = c.param.value
	return nil
}

func configFailed(name string, err error) resp.Reply {
	return errorf("CONFIG SET failed (possibly related to argument '%s') - %s", name, err)
}

func configResetStat(s *session, _ [][]byte) resp.Reply {
	s.server.stats.reset()
	for _, r := range s.server.routes {
		r.stats.reset()
	}
	return resp.OK
}

// configRewrite answers as a Redis that was started without a file: changes last until the end.
func configRewrite(*session, [][]byte) resp.Reply { return errNoConfigFile }

func boolean(value string) (string, error) {
	if v := strings.ToLower(value); v == "yes" || v == "no" {
		return v, nil
	}
	return "", errBoolValue
}

// duration reads a time as flags have it.
func duration(value string) (string, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d%time.Millisecond != 0 {
		return "", errDurationValue
	}
	return d.String(), nil
}

// mustDuration reads what duration has written.
func mustDuration(checked string) time.Duration {
	d, err := time.ParseDuration(checked)
	if err != nil {
		panic("server: a checked parameter is no duration: " + checked)
	}
	return d
}

func integer(low, high int64) func(string) (string, error) {
	return func(value string) (string, error) {
		n, ok := parseInt([]byte(value))
		if !ok {
			return "", errIntValue
		}
		return inRange(n, low, high)
	}
}

// memory reads bytes with Redis's units: k and kb are 1000 and 1024, and so on. No digits at all are 0.
func memory(low, high int64) func(string) (string, error) {
	return func(value string) (string, error) {
		digits := strings.TrimRight(strings.ToLower(value), "kmgb")
		unit := map[string]int64{"": 1, "b": 1, "k": 1e3, "kb": 1 << 10, "m": 1e6, "mb": 1 << 20,
			"g": 1e9, "gb": 1 << 30}[strings.ToLower(value[len(digits):])]
		n, err := strconv.ParseUint("0"+digits, 10, 63)
		if err != nil || unit == 0 || int64(n) > math.MaxInt64/unit {
			return "", errMemoryValue
		}
		return inRange(int64(n)*unit, low, high)
	}
}

func inRange(n, low, high int64) (string, error) {
	if n < low || n > high {
		return "", fmt.Errorf("argument must be between %d and %d inclusive", low, high)
	}
	return strconv.FormatInt(n, 10), nil
}

// mustInt reads what integer or memory has written.
func mustInt(checked string) int64 {
	n, err := strconv.ParseInt(checked, 10, 64)
	if err != nil {
		panic("server: a checked parameter is no integer: " + checked)
	}
	return n
}

// eventClasses reads Redis's letters for classes of events.
func eventClasses(value string) (string, error) {
	if _, ok := command.ParseEvents(value); !ok {
		return "", redisText("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
	}
	return value, nil // as it is shown it may say less
}

func oneOf(names ...string) func(string) (string, error) {
	return func(value string) (string, error) {
		for _, name := range names {
			if strings.EqualFold(name, value) {
				return name, nil
			}
		}
		return "", errors.New("argument(s) must be one of the following: " +
			strings.Join(names, ", "))
	}
}

// Redis's log levels and ours.
var (
	levelNames = []string{"debug", "verbose", "notice", "warning", "nothing"}
	levels     = map[string]zapcore.Level{"debug": zapcore.DebugLevel, "verbose": zapcore.DebugLevel,
		"notice": zapcore.InfoLevel, "warning": zapcore.WarnLevel, "nothing": zapcore.FatalLevel}
)

func levelName(level zapcore.Level) string {
	switch {
	case level <= zapcore.DebugLevel:
		return "debug"
	case level == zapcore.InfoLevel:
		return "notice"
	case level <= zapcore.ErrorLevel:
		return "warning"
	}
	return "nothing"
}
