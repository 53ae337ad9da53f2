package script

import (
	"strings"

	"redoubt/resp"
)

// fromReply is what redis.call returns for a reply, in the protocol version of the script.
func (r *run) fromReply(reply resp.Reply) value {
	r.charge(1)
	switch reply.Kind {
	case resp.Integer:
		return number(float64(reply.Int))
	case resp.Bulk:
		if reply.Bytes != nil {
			return r.newString(string(reply.Bytes))
		}
		return r.newString(reply.Text)
	case resp.Simple:
		return r.wrap("ok", text(oneLine(reply.Text)))
	case resp.Error:
		e := r.errorTable("-" + oneLine(reply.Text))
		e.table().setField(r, "ignore_error_stats_update", trueValue)
		return e
	case resp.Array, resp.Push, resp.Map, resp.Set, resp.Pairs, resp.PairMap:
		return r.fromAggregate(reply)
	case resp.Boolean:
		if r.proto == 3 {
			return boolean(reply.Int != 0)
		}
		return number(float64(reply.Int))
	case resp.Double, resp.BigNumber, resp.Verbatim:
		return r.fromSpecial(reply)
	case resp.NullArray, resp.Null, resp.None:
		if r.proto == 3 {
			return nilValue
		}
	}
	return falseValue
}

func (r *run) wrap(name string, v value) value {
	t := r.newTable(0, 0)
	t.setField(r, name, v)
	return value{o: t}
}

func (r *run) fromSpecial(reply resp.Reply) value {
	if r.proto != 3 {
		line := reply.Append(nil, 2) // $<length>\r\n<text>\r\n
		_, body, _ := strings.Cut(string(line), "\r\n")
		return r.newString(strings.TrimSuffix(body, "\r\n"))
	}
	switch reply.Kind {
	case resp.Double:
		n := reply.Float
		if reply.Text != "" {
			n, _ = parseNumber(reply.Text)
		}
		return r.wrap("double", number(n))
	case resp.BigNumber:
		return r.wrap("big_number", text(reply.Text))
	}
	format, body, _ := strings.Cut(reply.Text, ":")
	t := r.newTable(0, 0)
	t.setField(r, "string", r.newString(body))
	t.setField(r, "format", text(format))
	return r.wrap("verbatim_string", value{o: t})
}

func (r *run) fromAggregate(reply resp.Reply) value {
	elems := elements(reply)
	if reply.Kind != resp.Array && reply.Kind != resp.Push && reply.Kind != resp.Set {
		elems = elems[:len(elems)&^1]
	}
	t := r.newTable(0, 0)
	pairs := reply.Kind == resp.Pairs && r.proto == 3 || reply.Kind == resp.PairMap && r.proto != 3
	switch {
	case pairs:
		for i := 0; i+1 < len(elems); i += 2 {
			pair := r.newTable(0, 0)
			pair.setInt(r, 1, r.fromReply(elems[i]))
			pair.setInt(r, 2, r.fromReply(elems[i+1]))
			t.setInt(r, i/2+1, value{o: pair})
		}
	case r.proto == 3 && (reply.Kind == resp.Map || reply.Kind == resp.PairMap):
		for i := 0; i+1 < len(elems); i += 2 {
			if k := r.fromReply(elems[i]); !k.isNil() && k.n == k.n {
				t.set(r, k, r.fromReply(elems[i+1]))
			}
		}
		return r.wrap("map", value{o: t})
	case r.proto == 3 && reply.Kind == resp.Set:
		for _, e := range elems {
			if k := r.fromReply(e); !k.isNil() && k.n == k.n {
				t.set(r, k, trueValue)
			}
		}
		return r.wrap("set", value{o: t})
	default:
		for i, e := range elems {
			t.setInt(r, i+1, r.fromReply(e))
		}
	}
	return value{o: t}
}

// elements of an aggregate, also of one that is made while it is read.
func elements(reply resp.Reply) []resp.Reply {
	s := reply.Stream
	if s == nil {
		return reply.Elems
	}
	defer s.Close()
	var all []resp.Reply
	for {
		some, err := s.Next()
		if err != nil || len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// oneLine is s as it is sent in a line.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
	}
	return s
}

// maxReplyDepth is where Redis runs out of its stack for nested replies.
const maxReplyDepth = 7990

func (r *run) reply(v value) resp.Reply { return r.replyAt(v, 0) }

// replyCost is what an element of a reply costs: it is larger than the value it is made from.
const replyCost = 8

func (r *run) replyAt(v value, depth int) resp.Reply {
	r.charge(replyCost)
	switch x := v.o.(type) {
	case *str:
		r.chargeBytes(len(x.s))
		return resp.NewBulkString(x.s)
	case isBool:
		switch {
		case r.proto == 3:
			return resp.NewBool(v.truth())
		case v.truth():
			return resp.NewInt(1)
		}
	case isNumber:
		return resp.NewInt(toInt64(v.n))
	case *table:
		if depth > maxReplyDepth {
			return resp.NewError("ERR reached lua stack limit")
		}
		return r.tableReply(x, depth+1)
	}
	return resp.Nil
}

func (r *run) tableReply(t *table, depth int) resp.Reply {
	if t.field("err").str() != nil {
		return resp.NewError(oneLine(cString(t.field("err").str().s)))
	}
	if s := t.field("ok").str(); s != nil {
		return resp.NewSimple(oneLine(cString(s.s)))
	}
	if n := t.field("double"); n.isNumber() {
		return resp.NewDouble(n.n)
	}
	if s := t.field("big_number").str(); s != nil {
		return resp.NewBigNumber(oneLine(s.s))
	}
	if inner := t.field("verbatim_string").table(); inner != nil {
		format, body := inner.field("format").str(), inner.field("string").str()
		if format != nil && body != nil {
			return resp.NewVerbatim((cString(format.s) + "   ")[:3], body.s)
		}
	}
	if inner := t.field("map").table(); inner != nil {
		return resp.NewMap(r.entries(inner, depth, true))
	}
	if inner := t.field("set").table(); inner != nil {
		return resp.NewSet(r.entries(inner, depth, false))
	}
	elems := []resp.Reply{}
	for i := 1; ; i++ {
		v := t.getInt(i)
		if v.isNil() {
			return resp.NewArray(elems)
		}
		elems = append(elems, r.replyAt(v, depth))
	}
}

func (r *run) entries(t *table, depth int, values bool) []resp.Reply {
	elems := []resp.Reply{}
	for k, v, more, _ := t.next(r, nilValue); more; k, v, more, _ = t.next(r, k) {
		elems = append(elems, r.replyAt(k, depth))
		if values {
			elems = append(elems, r.replyAt(v, depth))
		}
	}
	return elems
}
