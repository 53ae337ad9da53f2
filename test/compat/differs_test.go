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
	{cases: "expire: seconds of the last time that there is",
		why: "the rounding overflows in Redis, with a result that depends on its compiler"},
	{cases: "session: a name with a zero byte",
		why: "Redis takes it as the end of the name when it checks it, not when it stores it"},
	{cases: "object: help", why: "the texts are our own"},

	{cases: "command: getkeys of one word", onlyOld: true, why: "GETKEYS wanted two words"},
	{cases: "info: command getkeys*", onlyOld: true, why: "GETKEYS wanted two words"},
	{cases: "info: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "info: client setinfo", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: client setinfo", onlyOld: true, why: "new in 7.2"},
	{cases: "session: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "session: client setinfo", onlyOld: true, why: "new in 7.2"},
	{cases: "info: client setname", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: cluster shards", onlyOld: true, why: "7.2 allows it while loading"},
	{cases: "info: cluster slots", onlyOld: true, why: "7.2 allows it while loading"},
	{cases: "info: cluster myshardid", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: cluster myshardid", onlyOld: true, why: "new in 7.2"},
	{cases: "info: waitaof", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: waitaof", onlyOld: true, why: "new in 7.2"},
	{cases: "info: config resetstat", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: config rewrite", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: msetnx", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: randomkey", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: scan", onlyOld: true, why: "7.2 has other tips"},
	{cases: "info: wait", onlyOld: true, why: "7.2 allows it in scripts"},
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
