# shellcheck shell=bash
# kill -9 of the leader, then of all nodes, while go-redis writes through every
# node. The writer keeps a journal of what was acknowledged; nothing in it may be missing.

# The first write after a kill -9 must come within this time. The product's own
# aim is 2 s; the rest is for a machine that is busy with other tests.
pause_max=5s

journal_has() { (($(wc -l <"$journal") >= $1)); }

# journal_grows N waits until N more outcomes are in the journal.
journal_grows() { wait_until 30 journal_has $(($(wc -l <"$journal") + $1)); }

every_node_has_the_journal() {
	"$gored" verify --addrs "$addresses" --journal "$journal"
}

# under_load NAME ACTION runs the action while $writer_program runs.
under_load() {
	local name=$1 action=$2 writer
	journal=$work/journal.$name
	: >"$journal"
	"${writer_program[@]}" --journal "$journal" --prefix "$name" --pause-max "$pause_max" \
		>"$work/writer.out" 2>&1 </dev/null &
	writer=$!
	journal_grows 2000 && "$action" && journal_grows 2000
	local status=$?
	kill -s TERM "$writer" 2>/dev/null
	wait "$writer" || status=1
	cat "$work/writer.out"
	return "$status"
}

kill_the_leader() {
	find_leader || return 1
	stop_node "$leader" KILL
	journal_grows 2000 && start_node "$leader" && wait_until 30 accepts_write "$leader"
}

pause_the_leader() {
	find_leader || return 1
	local old=${node_pid[$leader]}
	kill -s STOP "$old"
	journal_grows 2000
	local status=$?
	kill -s CONT "$old"
	return "$status"
}

kill_all() {
	local id
	for id in 1 2 3; do kill -s KILL "${node_pid[$id]}"; done
	for id in 1 2 3; do stop_node "$id" KILL; done
	for id in 1 2 3; do start_node "$id"; done
	for id in 1 2 3; do wait_until 30 accepts_write "$id" || return 1; done
}

# A node that is told to stop hands over, flushes, and exits with 0.
stops_cleanly() {
	find_leader || return 1
	local pid=${node_pid[$leader]} status=0
	kill -s TERM "$pid" && wait "$pid" || status=$?
	unset "node_pid[$leader]"
	start_node "$leader" && wait_until 30 accepts_write "$leader" && ((status == 0))
}

# survives TITLE NAME ACTION counts two checks, and shows what the writer saw.
survives() {
	check "go-redis: writes go on $1" under_load "$2" "$3"
	sed 's/^/     /' "$work/writer.out"
	check "go-redis: nothing acknowledged is missing on any node" every_node_has_the_journal
}

kill_leader_checks() {
	writer_program=("$gored" write --addrs "$addresses")
	survives "after kill -9 of the leader" leader kill_the_leader
	survives "past a paused leader" paused pause_the_leader
	pause_max=30s # here the pause is the start of three nodes
	survives "after kill -9 of all nodes" all kill_all
	check "SIGTERM: the leader exits with 0 and comes back" stops_cleanly
}
