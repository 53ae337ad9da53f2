package server

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"redoubt/command"
	"redoubt/fsm"
	"redoubt/resp"
)

var (
	errRedirectTwice = resp.NewError("ERR A client can only redirect to a single other client")
	errRedirectWhere = resp.NewError("ERR The client ID you want redirect to does not exist")
	errPrefixBcast   = resp.NewError("ERR PREFIX option requires BCAST mode to be enabled")
	errBcastSwitch   = resp.NewError("ERR You can't switch BCAST mode on/off before disabling tracking for this client, " +
		"and then re-enabling it with a different mode.")
	errBcastOpt  = resp.NewError("ERR OPTIN and OPTOUT are not compatible with BCAST")
	errBothOpts  = resp.NewError("ERR You can't specify both OPTIN mode and OPTOUT mode")
	errOptSwitch = resp.NewError("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, " +
		"and then re-enabling it with a different mode.")
	errCachingOff = resp.NewError("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or " +
		"OPTOUT mode enabled")
	errCachingYes = resp.NewError("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	errCachingNo  = resp.NewError("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
)

// clientTracking is CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP].
func clientTracking(s *session, args [][]byte) resp.Reply {
	mode, prefixes, refusal := parseTracking(s, args[3:])
	if refusal.IsError() {
		return refusal
	}
	switch {
	case is(args[2], "OFF"):
		s.server.tracking.disable(s)
		return resp.OK
	case !is(args[2], "ON"):
		return errSyntax
	}
	if refusal := s.checkTracking(mode, prefixes); refusal.IsError() {
		return refusal
	}
	s.guard.queueAll()
	if to := s.server.find(mode.redirect); to != nil {
		to.guard.queueAll()
	}
	s.server.tracking.enable(s, mode, prefixes)
	return resp.OK
}

func parseTracking(s *session, args [][]byte) (mode trackingMode, prefixes []string, refusal resp.Reply) {
	for ; len(args) > 0; args = args[1:] {
		switch {
		case is(args[0], "REDIRECT") && len(args) > 1:
			args = args[1:]
			if mode.redirect != 0 {
				return mode, nil, errRedirectTwice
			}
			id, ok := parseInt(args[0])
			if !ok {
				return mode, nil, errNotInteger
			}
			if s.server.find(id) == nil {
				return mode, nil, errRedirectWhere
			}
			mode.redirect = id
		case is(args[0], "BCAST"):
			mode.bcast = true
		case is(args[0], "OPTIN"):
			mode.optIn = true
		case is(args[0], "OPTOUT"):
			mode.optOut = true
		case is(args[0], "NOLOOP"):
			mode.noLoop = true
		case is(args[0], "PREFIX") && len(args) > 1:
			args = args[1:]
			prefixes = append(prefixes, string(args[0]))
		default:
			return mode, nil, errSyntax
		}
	}
	return mode, prefixes, resp.Reply{}
}

// checkTracking finds options that do not go together, or not with those in force.
func (s *session) checkTracking(mode trackingMode, prefixes []string) resp.Reply {
	old := s.trackingMode()
	switch {
	case !mode.bcast && len(prefixes) > 0:
		return errPrefixBcast
	case s.isTracking() && old.bcast != mode.bcast:
		return errBcastSwitch
	case mode.bcast && (mode.optIn || mode.optOut):
		return errBcastOpt
	case mode.optIn && mode.optOut:
		return errBothOpts
	case mode.optIn && old.optOut, mode.optOut && old.optIn:
		return errOptSwitch
	}
	var present []string
	if s.isTracking() {
		present = slices.Sorted(maps.Keys(s.tracker.prefixes))
	}
	for i, p := range prefixes {
		for _, other := range present {
			if overlap(p, other) {
				return prefixRefusal(p, "an existing prefix", other)
			}
		}
		for _, other := range prefixes[i+1:] {
			if overlap(p, other) {
				return prefixRefusal(p, "another provided prefix", other)
			}
		}
	}
	return resp.Reply{}
}

func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func prefixRefusal(p, what, other string) resp.Reply {
	return errorf("Prefix '%s' overlaps with %s '%s'. Prefixes for a single client must not overlap.", p, what, other)
}

func (s *session) isTracking() bool { return s.tracker != nil && s.tracker.on }

func (s *session) trackingMode() trackingMode {
	if !s.isTracking() {
		return trackingMode{}
	}
	return s.tracker.trackingMode
}

func clientCaching(s *session, args [][]byte) resp.Reply {
	mode := s.trackingMode()
	switch {
	case !s.isTracking():
		return errCachingOff
	case is(args[2], "YES") && !mode.optIn:
		return errCachingYes
	case is(args[2], "NO") && !mode.optOut:
		return errCachingNo
	case !is(args[2], "YES") && !is(args[2], "NO"):
		return errSyntax
	}
	s.tracker.caching = true
	return resp.OK
}

// cacheTransaction is for a queued CLIENT CACHING YES. A transaction is one request, so all that it reads is tracked then, also
// what comes before.
func (s *session) cacheTransaction(args [][]byte) {
	if s.trackingMode().optIn && is(args[2], "YES") {
		s.tracker.caching = true
	}
}

func clientGetRedir(s *session, _ [][]byte) resp.Reply { return resp.NewInt(s.redirection()) }

// redirection is the client that gets the messages, 0 for the same, and -1 for none.
func (s *session) redirection() int64 {
	if !s.isTracking() {
		return -1
	}
	return s.tracker.redirect
}

func clientTrackingInfo(s *session, _ [][]byte) resp.Reply {
	mode, flags, prefixes := s.trackingMode(), []string{"off"}, []string{}
	if s.isTracking() {
		flags = []string{"on"}
		prefixes = slices.Sorted(maps.Keys(s.tracker.prefixes))
	}
	add := func(on bool, name string) {
		if on {
			flags = append(flags, name)
		}
	}
	add(mode.bcast, "bcast")
	add(mode.optIn, "optin")
	add(mode.optIn && s.tracker.caching, "caching-yes")
	add(mode.optOut, "optout")
	add(mode.optOut && s.tracker.caching, "caching-no")
	add(mode.noLoop, "noloop")
	letters, _ := s.server.tracking.letters(s)
	add(strings.Contains(letters, "R"), "broken_redirect")
	return resp.NewMap([]resp.Reply{
		resp.NewBulkString("flags"), resp.NewSet(resp.BulkArray(flags).Elems),
		resp.NewBulkString("redirect"), resp.NewInt(s.redirection()),
		resp.NewBulkString("prefixes"), resp.BulkArray(prefixes),
	})
}

// letters are the flags and the redirection of a session in CLIENT LIST.
func (t *tracking) letters(s *session) (flags string, redirect int64) {
	if t.on.Load() == 0 {
		return "", -1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.clients[s.id]
	if tr == nil {
		return "", -1
	}
	flags = "t"
	if tr.broken {
		flags += "R"
	}
	if tr.bcast {
		flags += "B"
	}
	return flags, tr.redirect
}

// track registers what calls are about to read. It has to be called before they are handed to the engine, and tracked when
// their replies were written.
func (s *session) track(req *fsm.Request) {
	tr := s.tracker
	if req.Reads = nil; !tr.on {
		return
	}
	tr.answering = true
	var keys [][]byte
	for i := range req.Calls {
		if tr.wants() {
			keys = s.appendReadKeys(keys, req, req.Calls[i].Args)
		}
		if !req.Atomic { // CLIENT CACHING is about the next call, or all of a transaction
			tr.caching = false
		}
	}
	s.server.tracking.begin(tr, keys)
}

// wants says whether the client will keep what the next call reads.
func (tr *tracker) wants() bool {
	return !(tr.optIn && !tr.caching || tr.optOut && tr.caching)
}

// appendReadKeys appends the keys of a call if it only reads. Of a script, the calls that it makes count.
func (s *session) appendReadKeys(keys [][]byte, req *fsm.Request, args [][]byte) [][]byte {
	spec := s.server.table.Find(args)
	switch {
	case spec == nil || spec.Flags&command.PubSub != 0:
		return keys
	case spec.Flags&command.Scripted != 0:
		tr := s.tracker
		req.Reads = func(key []byte, late bool) { s.server.tracking.readByScript(tr, key, late) }
		return keys
	case spec.Flags&command.ReadOnly == 0:
		return keys
	}
	for _, key := range spec.CallKeys(args) {
		keys = append(keys, args[key.Index])
	}
	return keys
}

// tracked is called when the replies to what track got were written; err is the engine's.
func (s *session) tracked(err error) {
	s.tracker.answering = false
	if errors.Is(err, command.ErrUncertain) { // what was written may show up when the client thinks of something else
		s.server.tracking.mu.Lock()
		s.tracker.looped = true
		s.server.tracking.mu.Unlock()
	}
}

// settle sends what was held back until the replies were on their way.
func (s *session) settle() {
	if tr := s.tracker; tr != nil && tr.busy && !tr.answering {
		s.server.tracking.settle(tr)
	}
}

// used ends the effect of CLIENT CACHING after a call that the session has executed itself.
func (tr *tracker) used(name string) {
	if !strings.HasPrefix(name, "CLIENT") && name != "MULTI" {
		tr.caching = false
	}
}
