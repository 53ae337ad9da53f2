package server

import (
	"fmt"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"redoubt/command"
	"redoubt/resp"
)

// Redis's errors with a fixed text.
var (
	errSyntax     = resp.NewError("ERR syntax error")
	errNotInteger = resp.NewError("ERR value is not an integer or out of range")
	errDBRange    = resp.NewError("ERR DB index is out of range")
	errProtoParse = resp.NewError("ERR Protocol version is not an integer or out of range")
	errProto      = resp.NewError("NOPROTO unsupported protocol version")
	errNoPassword = resp.NewError("ERR AUTH <password> called without any password configured for " +
		"the default user. Are you sure your configuration is correct?")
	errWrongPass       = resp.NewError("WRONGPASS invalid username-password pair or user is disabled.")
	errNoClient        = resp.NewError("ERR No such client")
	errClientID        = resp.NewError("ERR Invalid client ID")
	errKillID          = resp.NewError("ERR client-id should be greater than 0")
	errKillAge         = resp.NewError("ERR maxage is not an integer or out of range")
	errName            = resp.NewError("ERR Client names cannot contain spaces, newlines or special characters.")
	errUnblock         = resp.NewError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
	errUnblocked       = resp.NewError("UNBLOCKED client unblocked via CLIENT UNBLOCK")
	errPauseMode       = resp.NewError("ERR CLIENT PAUSE mode must be WRITE or ALL")
	errTimeoutParse    = resp.NewError("ERR timeout is not an integer or out of range")
	errTimeoutNegative = resp.NewError("ERR timeout is negative")
	errTimeoutRange    = resp.NewError("ERR timeout is out of range")
	errSaving          = resp.NewError("ERR Background save already in progress")
	errNoShutdown      = resp.NewError("ERR No shutdown in progress.")
	errNoConfigFile    = resp.NewError("ERR The server is running without a config file")
	errNoCluster       = resp.NewError("ERR This instance has cluster support disabled")
	errCrossSlot       = resp.NewError("CROSSSLOT Keys in request don't hash to the same slot")
	errNoMaster        = resp.NewError("ERR No such master with that name")
	errNegative        = resp.NewError("ERR value is out of range, must be positive")
	errLocalRange      = resp.NewError("ERR value is out of range, value must between 0 and 1")
	errSlot            = resp.NewError("ERR Invalid slot")
	errSlotOrCount     = resp.NewError("ERR Invalid slot or number of keys")
	errNotHere         = resp.NewError("ERR this command is not supported by this server")
)

// errorf makes an error with the code ERR.
func errorf(format string, args ...any) resp.Reply {
	return resp.NewError("ERR " + fmt.Sprintf(format, args...))
}

// errorCode returns the first word of an error's text, by which INFO counts errors.
func errorCode(text string) string {
	code, _, ok := strings.Cut(text, " ")
	if !ok {
		return "ERR"
	}
	return code
}

// engineError turns an error of the engine into the reply to each call of the request. What is
// none of the errors that engines document is logged, too: it is about this node's health.
func (s *Server) engineError(err error) resp.Reply {
	reply := command.ErrorReply(err)
	if errorCode(reply.Text) == "ERR" && s.ctx.Err() == nil {
		s.log.Error("a request failed", zap.Error(err))
	}
	return reply
}

// parseInt reads an integer with Redis's strictness: no plus sign, no spaces, no leading zeros.
func parseInt(b []byte) (int64, bool) {
	digits := b
	if len(digits) > 1 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// errTooNew answers for a command that a node of the cluster may not know yet.
func errTooNew(spec *command.Spec) resp.Reply {
	return errorf("'%s' is refused until every node of the cluster runs a build that knows it", spec.FullName())
}
