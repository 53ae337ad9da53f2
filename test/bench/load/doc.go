// Package load sends requests to a server that speaks the Redis protocol, as many as it takes or at a
// given rate, and measures how long each of them took.
//
// It is made to cost little beside the servers that it measures on the same machine: requests are
// appended to one buffer, and of replies no more is looked at than where they end and whether they are
// errors.
package load
