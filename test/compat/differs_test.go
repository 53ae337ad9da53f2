package compat

import "strings"

// difference is a case in which the replies are not those of Redis.
type difference struct {
	cases string // the name of the case, or with a star at the end the start of several
	why   string
	// onlyOld says that it is a difference to Redis older than 7.2, which Redoubt does not follow.
	onlyOld bool
}

var differences = []difference{
	{cases: "object: encoding of values that were changed in place",
		why: "Redis remembers how a value was made; replicas must agree on a pure function of it"},
	{cases: "object: help", why: "the texts are our own"},
}

// expected tells whether a case may differ from a Redis, which may be an old one.
func expected(name string, old bool) bool {
	for _, d := range differences {
		prefix, isPrefix := strings.CutSuffix(d.cases, "*")
		matches := name == d.cases || isPrefix && strings.HasPrefix(name, prefix)
		if matches && (old || !d.onlyOld) {
			return true
		}
	}
	return false
}
