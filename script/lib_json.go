package script

import (
	"fmt"
	"math"
	"strings"
)

// jsonConfig are the settings of cjson. They are those of one run.
type jsonConfig struct {
	convertSparse bool
	sparseRatio   int
	sparseSafe    int
	encodeDepth   int
	decodeDepth   int
	encodeInvalid int // off, on, null
	decodeInvalid int
	precision     int
	keepBuffer    bool
}

// maxJSONDepth bounds what a script may set: the recursion needs Go's stack.
const maxJSONDepth = 16000

func newJSONConfig() *jsonConfig {
	return &jsonConfig{sparseRatio: 2, sparseSafe: 10, encodeDepth: 1000, decodeDepth: 1000, decodeInvalid: 1, precision: 14,
		keepBuffer: true}
}

var jsonFunctions = jsonFor(nil)

// jsonFor makes the functions for a configuration; without one it is that of the run.
func jsonFor(own *jsonConfig) map[string]func(*thread, []value) []value {
	with := func(f func(th *thread, c *jsonConfig, args []value) []value) func(*thread, []value) []value {
		return func(th *thread, args []value) []value {
			c := own
			if c == nil {
				if th.r.json == nil {
					th.r.json = newJSONConfig()
				}
				c = th.r.json
			}
			return f(th, c, args)
		}
	}
	return map[string]func(*thread, []value) []value{
		"encode": with(jsonEncode), "decode": with(jsonDecode), "encode_sparse_array": with(jsonSparseArray),
		"encode_max_depth": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.intOption(args, 0, &c.encodeDepth, 1, math.MaxInt32))
		}),
		"decode_max_depth": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.intOption(args, 0, &c.decodeDepth, 1, math.MaxInt32))
		}),
		"encode_number_precision": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.intOption(args, 0, &c.precision, 1, 14))
		}),
		"encode_keep_buffer": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.boolOption(args, 0, &c.keepBuffer))
		}),
		"encode_invalid_numbers": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.enumOption(args, 0, &c.encodeInvalid, "off", "on", "null"))
		}),
		"decode_invalid_numbers": with(func(th *thread, c *jsonConfig, args []value) []value {
			th.most(args, 1)
			return th.ret(th.enumOption(args, 0, &c.decodeInvalid, "off", "on"))
		}),
		"new": jsonNew,
	}
}

func jsonNew(th *thread, _ []value) []value {
	t := th.r.newTable(0, 0)
	functions := jsonFor(newJSONConfig())
	for _, name := range sortedNames(functions) {
		t.setField(th.r, name, value{o: &native{name: name, fn: functions[name], id: th.r.id()}})
	}
	t.setField(th.r, "null", nullValue)
	t.setField(th.r, "_NAME", text("cjson"))
	t.setField(th.r, "_VERSION", text("2.1.0"))
	th.r.charge(1000)
	return th.ret(value{o: t})
}

func (th *thread) most(args []value, n int) {
	if len(args) > n {
		th.argError(n, "found too many arguments")
	}
}

func (th *thread) intOption(args []value, i int, setting *int, low, high int) value {
	if !at(args, i).isNil() {
		n := toInt32(float64(th.checkLong(args, i)))
		if n < low || n > high {
			th.argError(0, fmt.Sprintf("expected integer between %d and %d", low, high))
		}
		*setting = n
	}
	return number(float64(*setting))
}

func (th *thread) boolOption(args []value, i int, setting *bool) value {
	n := 0
	if *setting {
		n = 1
	}
	v := th.enumOption(args, i, &n, "off", "on")
	*setting = n == 1
	return v
}

func (th *thread) enumOption(args []value, i int, setting *int, options ...string) value {
	if v := at(args, i); !v.isNil() {
		if _, ok := v.o.(isBool); ok {
			*setting = int(v.n)
		} else {
			s := th.checkString(args, i)
			found := false
			for n, option := range options {
				if option == s {
					*setting, found = n, true
				}
			}
			if !found {
				th.argError(i, "invalid option '"+cString(s)+"'")
			}
		}
	}
	if *setting < 2 {
		return boolean(*setting == 1)
	}
	return text(options[*setting])
}

func jsonSparseArray(th *thread, c *jsonConfig, args []value) []value {
	th.most(args, 3)
	a := th.boolOption(args, 0, &c.convertSparse)
	b := th.intOption(args, 1, &c.sparseRatio, 0, math.MaxInt32)
	return th.ret(a, b, th.intOption(args, 2, &c.sparseSafe, 0, math.MaxInt32))
}

// jsonWriter encodes one value.
type jsonWriter struct {
	th  *thread
	c   *jsonConfig
	out []byte
}

func jsonEncode(th *thread, c *jsonConfig, args []value) []value {
	if len(args) != 1 {
		th.argError(0, "expected 1 argument")
	}
	w := &jsonWriter{th: th, c: c}
	w.value(args[0], 0)
	return th.ret(th.r.newString(string(w.out)))
}

func (w *jsonWriter) refuse(v value, reason string) {
	w.th.fail("Cannot serialise %s: %s", typeName(v), reason)
}

func (w *jsonWriter) value(v value, depth int) {
	w.th.r.charge(1)
	w.th.r.checkLength(len(w.out))
	switch x := v.o.(type) {
	case nil, isNull:
		w.out = append(w.out, "null"...)
	case isBool:
		w.out = append(w.out, errorText(v)...)
	case *str:
		w.string(x.s)
	case isNumber:
		w.number(v)
	case *table:
		depth++
		if depth > w.c.encodeDepth || depth > maxJSONDepth {
			w.th.fail("Cannot serialise, excessive nesting (%d)", depth)
		}
		if n := w.arrayLength(x); n > 0 {
			w.array(x, n, depth)
		} else {
			w.object(x, depth)
		}
	default:
		w.refuse(v, "type not supported")
	}
}

// arrayLength is the highest index, or -1 when there are other keys.
func (w *jsonWriter) arrayLength(t *table) int {
	most, items := 0, 0
	var last value
	for k, v, more, _ := t.next(w.th.r, nilValue); more; k, v, more, _ = t.next(w.th.r, k) {
		w.th.r.charge(2)
		if !k.isNumber() || k.n < 1 || k.n != math.Floor(k.n) {
			return -1
		}
		most = max(most, toInt32(k.n))
		items++
		last = v
	}
	if w.c.sparseRatio > 0 && most > items*w.c.sparseRatio && most > w.c.sparseSafe {
		if !w.c.convertSparse {
			_ = last
			w.refuse(value{o: t}, "excessively sparse array")
		}
		return -1
	}
	return most
}

func (w *jsonWriter) array(t *table, n, depth int) {
	w.out = append(w.out, '[')
	for i := 1; i <= n; i++ {
		if i > 1 {
			w.out = append(w.out, ',')
		}
		w.value(t.getInt(i), depth)
	}
	w.out = append(w.out, ']')
}

func (w *jsonWriter) object(t *table, depth int) {
	w.out = append(w.out, '{')
	comma := false
	for k, v, more, _ := t.next(w.th.r, nilValue); more; k, v, more, _ = t.next(w.th.r, k) {
		if comma {
			w.out = append(w.out, ',')
		}
		comma = true
		switch x := k.o.(type) {
		case isNumber:
			w.out = append(w.out, '"')
			w.number(k)
			w.out = append(w.out, '"')
		case *str:
			w.string(x.s)
		default:
			w.refuse(k, "table key must be a number or string")
		}
		w.out = append(w.out, ':')
		w.value(v, depth)
	}
	w.out = append(w.out, '}')
}

func (w *jsonWriter) number(v value) {
	w.th.r.charge(numeralCost)
	bad := v.n != v.n || math.IsInf(v.n, 0)
	switch {
	case bad && w.c.encodeInvalid == 0:
		w.refuse(v, "must not be NaN or Inf")
	case bad && w.c.encodeInvalid == 2:
		w.out = append(w.out, "null"...)
	case v.n != v.n:
		w.out = append(w.out, "nan"...)
	default:
		w.out = appendG(w.out, v.n, w.c.precision)
	}
}

const hexDigits = "0123456789abcdef"

func (w *jsonWriter) string(s string) {
	w.th.r.chargeBytes(len(s))
	w.th.r.checkLength(len(w.out) + len(s))
	w.out = append(w.out, '"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\' || c == '/':
			w.out = append(w.out, '\\', c)
		case c >= 32 && c != 127:
			w.out = append(w.out, c)
		default:
			w.th.r.charge(1)
			if i := strings.IndexByte("\b\t\n\f\r", c); i >= 0 {
				w.out = append(w.out, '\\', "btnfr"[i])
			} else {
				w.out = append(w.out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
	}
	w.out = append(w.out, '"')
}
