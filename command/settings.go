package command

import (
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

// settings are the parameters of CONFIG that are numbers and hold for the whole cluster.
var settings = map[string]func(s *fsm.Settings) *int64{
	"maxmemory":                 func(s *fsm.Settings) *int64 { return &limitOf(s).MaxMemory },
	"maxmemory-samples":         func(s *fsm.Settings) *int64 { return &limitOf(s).Samples },
	"lua-instruction-limit":     func(s *fsm.Settings) *int64 { return &s.Instructions },
	"lfu-log-factor":            func(s *fsm.Settings) *int64 { return &limitOf(s).LogFactor },
	"lfu-decay-time":            func(s *fsm.Settings) *int64 { return &limitOf(s).DecayTime },
	"hash-max-listpack-entries": func(s *fsm.Settings) *int64 { return &s.Packing.HashEntries },
	"hash-max-listpack-value":   func(s *fsm.Settings) *int64 { return &s.Packing.HashValue },
	"set-max-intset-entries":    func(s *fsm.Settings) *int64 { return &s.Packing.IntsetEntries },
	"set-max-listpack-entries":  func(s *fsm.Settings) *int64 { return &s.Packing.SetEntries },
	"set-max-listpack-value":    func(s *fsm.Settings) *int64 { return &s.Packing.SetValue },
	"zset-max-listpack-entries": func(s *fsm.Settings) *int64 { return &s.Packing.ZSetEntries },
	"zset-max-listpack-value":   func(s *fsm.Settings) *int64 { return &s.Packing.ZSetValue },
	"list-max-listpack-size":    func(s *fsm.Settings) *int64 { return &s.Packing.ListSize },
	"stream-node-max-bytes":     func(s *fsm.Settings) *int64 { return &s.Packing.StreamBytes },
	"stream-node-max-entries":   func(s *fsm.Settings) *int64 { return &s.Packing.StreamEntries },
	"hll-sparse-max-bytes":      func(s *fsm.Settings) *int64 { return &s.Packing.SparseBytes },
}

const (
	policyName = "maxmemory-policy"
	eventsName = "notify-keyspace-events"
)

// limitOf is the limit that counts: it is never unset any more when it is changed.
func limitOf(s *fsm.Settings) *fsm.Limit {
	s.Limit = s.Limit.OrDefault()
	return &s.Limit
}

// SettingValue is the value of a parameter of CONFIG that holds for the whole cluster.
func SettingValue(s fsm.Settings, name string) (value string, ok bool) {
	if name == policyName {
		return limitOf(&s).Policy.String(), true
	}
	if name == eventsName {
		return FormatEvents(s.Events), true
	}
	if name == "lua-instruction-limit" {
		return strconv.FormatInt(instructionLimit(s), 10), true
	}
	number := settings[name]
	if number == nil {
		return "", false
	}
	return strconv.FormatInt(*number(&s), 10), true
}

// setSetting is the inverse of SettingValue.
func setSetting(s *fsm.Settings, name, value string) bool {
	if name == policyName {
		policy, ok := fsm.ParsePolicy(value)
		limitOf(s).Policy = policy
		return ok
	}
	if name == eventsName {
		events, ok := ParseEvents(value)
		s.Events = events
		return ok
	}
	number := settings[name]
	n, ok := parseInt([]byte(value))
	if number == nil || !ok {
		return false
	}
	*number(s) = n
	return s.Valid()
}

// SetConfigCall is the call that sets parameters of the whole cluster, given by name and value. once: only if the limit of
// the data set was never set.
func SetConfigCall(once bool, pairs ...string) fsm.Call {
	args := [][]byte{[]byte("SETCONFIG"), []byte("ALWAYS")}
	if once {
		args[1] = []byte("ONCE")
	}
	for _, word := range pairs {
		args = append(args, []byte(word))
	}
	return fsm.Call{Args: args}
}

func cmdSetConfig(tx *fsm.Txn, args [][]byte) resp.Reply {
	s := tx.Settings()
	if s.Limit != (fsm.Limit{}) && isOption(args[1], "ONCE") {
		return resp.NewInt(0)
	}
	for i := 2; i+1 < len(args); i += 2 {
		if !setSetting(&s, string(args[i]), string(args[i+1])) {
			return errSyntax
		}
	}
	tx.SetSettings(s)
	return resp.OK
}
