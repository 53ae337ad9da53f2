package server

import (
	"bytes"

	"redoubt/failpoint"
	"redoubt/resp"
)

// failpoints is DEBUG FAILPOINT [name action...], which only programs with failpoints have: it arms a
// point, or lists all with how often each was passed.
func failpoints(args [][]byte) resp.Reply {
	if len(args) > 0 {
		if err := failpoint.Arm(string(args[0]), string(bytes.Join(args[1:], []byte(" ")))); err != nil {
			return resp.NewError("ERR " + err.Error())
		}
		return resp.OK
	}
	var out []resp.Reply
	for _, p := range failpoint.List() {
		fallible := int64(0)
		if p.Fallible {
			fallible = 1
		}
		out = append(out, resp.NewArray([]resp.Reply{resp.NewBulkString(p.Name), resp.NewInt(fallible),
			resp.NewInt(int64(p.Hits)), resp.NewBulkString(p.Action)}))
	}
	return resp.NewArray(out)
}
