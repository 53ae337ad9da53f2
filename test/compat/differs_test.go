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
	{cases: "session: a name with a zero byte",
		why: "Redis takes it as the end of the name when it checks it, not when it stores it"},
	{cases: "list: a small list in two nodes",
		why: "Redis goes back to a listpack when what is left is small and was in one node of a quicklist"},
	{cases: "object: help", why: "the texts are our own"},
	{cases: "stream: help", why: "the texts are our own"},
	{cases: "memory: help", why: "the texts are our own"},

	{cases: "set: *", onlyOld: true, why: "sets of few members had no order and another encoding"},
	{cases: "packing: *", onlyOld: true, why: "sets had no listpacks, and lists were always quicklists"},
	{cases: "sort: sets", onlyOld: true, why: "sets of few members had no order"},
	{cases: "sort: equal weights", onlyOld: true, why: "sets of few members had no order"},
	{cases: "packing: *", onlyOld: true, why: "lists were always quicklists, sets had no listpacks and no settings for them"},
	{cases: "dump_types: payload: list", onlyOld: true, why: "lists were always quicklists"},
	{cases: "dump_types: payload: set", onlyOld: true, why: "sets of few members had another encoding"},
	{cases: "dump_types: payload: zset binary", onlyOld: true, why: "7.2 prints scores with as few digits as needed"},
	{cases: "dump: payload: of 7.2", onlyOld: true, why: "the version is later than its own"},
	{cases: "hyperloglog: damaged registers", onlyOld: true, why: "7.2 ignores values after the last register"},
	{cases: "sort: store", onlyOld: true, why: "lists of few elements had another encoding"},
	{cases: "command: getkeys of one word", onlyOld: true, why: "GETKEYS wanted two words"},
	{cases: "info: command getkeys*", onlyOld: true, why: "GETKEYS wanted two words"},
	{cases: "info: blmove", onlyOld: true, why: "scripts could not call it"},
	{cases: "info: blpop", onlyOld: true, why: "scripts could not call it"},
	{cases: "info: brpop", onlyOld: true, why: "scripts could not call it"},
	{cases: "info: brpoplpush", onlyOld: true, why: "scripts could not call it"},
	{cases: "info: bzpopmax", onlyOld: true, why: "scripts could not call it"},
	{cases: "info: bzpopmin", onlyOld: true, why: "scripts could not call it"},
	{cases: "block: wrong times", onlyOld: true, why: "7.2 refuses what is too large with another text"},
	{cases: "functions: dump and restore", onlyOld: true, why: "a dump has the version of its format"},
	{cases: "scripting: time stands still", onlyOld: true, why: "new in 7.2"},
	{cases: "info: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "info: client setinfo", onlyOld: true, why: "new in 7.2"},
	{cases: "arity: client setinfo", onlyOld: true, why: "new in 7.2"},
	{cases: "session: client no-touch", onlyOld: true, why: "new in 7.2"},
	{cases: "session: what is a use", onlyOld: true, why: "CLIENT NO-TOUCH is new in 7.2"},
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
	{cases: "list: the lowest rank", onlyOld: true, why: "it was not checked"},
	{cases: "list: encodings", onlyOld: true, why: "lists were always quicklists"},
	{cases: "list: integers are shorter in a listpack", onlyOld: true, why: "lists were always quicklists"},
	{cases: "info: zrank", onlyOld: true, why: "7.2 has WITHSCORE"},
	{cases: "info: zrevrank", onlyOld: true, why: "7.2 has WITHSCORE"},
	{cases: "zset: ranks with scores", onlyOld: true, why: "new in 7.2"},
	{cases: "zset: how scores are read and shown", onlyOld: true, why: "7.2 prints scores with as few digits as needed"},
	{cases: "zset: scores of another digit", onlyOld: true, why: "7.2 prints scores with as few digits as needed"},
	{cases: "geo: distances that are stored", onlyOld: true, why: "7.2 prints scores with as few digits as needed"},
	{cases: "stream: ids", onlyOld: true, why: "7.0 has another error for an id that can't be chosen"},
	{cases: "stream: reading", onlyOld: true, why: "7.2 refuses a timeout that is out of range, and quotes the name of the command"},
	{cases: "stream: lag", onlyOld: true, why: "7.2 checks the ids of XSETID"},
	{cases: "stream: groups", onlyOld: true, why: "7.2 shows since when consumers are inactive"},
	{cases: "stream: keys", onlyOld: true, why: "7.2 shows when consumers were active"},
	{cases: "stream: reading by groups", onlyOld: true, why: "7.2 shows when consumers were active"},
	{cases: "stream: claiming*", onlyOld: true, why: "7.2 shows when consumers were active"},
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
