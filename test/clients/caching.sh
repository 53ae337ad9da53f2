# shellcheck shell=bash
# rueidis reads through its caches at every node, while others write through every node and the leader is killed or
# paused. No value may be older than a bound, and when all is quiet every cache has what is stored.

caching_checks() {
	writer_program=("$gored" cache --addrs "$addresses")
	check "rueidis: caches are right after kill -9 of the leader" under_load cache kill_the_leader
	sed 's/^/     /' "$work/writer.out"
	check "rueidis: caches are right past a paused leader" under_load cache-paused pause_the_leader
}
