// Package compat holds the test that compares Redoubt with Redis, reply by reply and byte by byte,
// in RESP2 and RESP3. The same cases run in three ways:
//
//   - against the replies of Redis that were recorded in testdata, always;
//   - against a live redis-server, when there is one in the PATH, with more random cases;
//   - and Redoubt is the command table over a machine in memory or, when REDOUBT_ADDR names one,
//     a running server (whose data is deleted).
//
// Cases are written in testdata/*.txt, made from the command table (the arity of every command,
// its COMMAND INFO), or random. What may differ, and why, is in differs_test.go.
//
// After a change of the cases: go test ./test/compat -record, with a redis-server of 7.2 in the
// PATH or named by -redis. -seeds n runs more random cases.
package compat
