# shellcheck shell=bash
# Shared by the scripts under test/: counted checks, free ports, and nodes that
# run as real processes and are ended by their process id. Source it; do not run it.
#
# After sourcing, $work is a directory of this run that is removed at exit
# together with every process in $node_pid. Nodes are numbered from 1.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/redoubt-test.XXXXXX")
passed=0
failed=0
declare -a node_pid client_port raft_port

# on_exit may be redefined by a script that started more than nodes.
on_exit() { :; }

cleanup() {
	local status=$?
	trap - EXIT
	on_exit
	local id
	for id in "${!node_pid[@]}"; do stop_node "$id" KILL; done
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

section() { printf '\n=== %s\n' "$*"; }
say() { printf '%s\n' "$*"; }

# check NAME COMMAND... counts the command as passed when it exits 0. What it
# printed is shown only when it failed.
check() {
	local name=$1 out=$work/check.out
	shift
	if "$@" >"$out" 2>&1 </dev/null; then
		passed=$((passed + 1))
		say "ok   $name"
		return 0
	fi
	failed=$((failed + 1))
	say "FAIL $name"
	sed 's/^/     | /' "$out" | tail -n 40
	return 0
}

# expect WANT COMMAND... succeeds when the command prints exactly WANT.
expect() {
	local want=$1 got
	shift
	got=$("$@" 2>&1) || true
	[[ $got == "$want" ]] && return 0
	printf 'command: %s\nwant: %s\ngot:  %s\n' "$*" "$want" "$got"
	return 1
}

# summary prints the closing line and fails when a check failed.
summary() {
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	((failed == 0))
}

# wait_until SECONDS COMMAND... polls until the command succeeds.
wait_until() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1 </dev/null; do
		if ((SECONDS >= deadline)); then
			say "timed out waiting for: $*"
			return 1
		fi
		sleep 0.1
	done
}

# free_port sets $free_port_result to a port that nobody listens on. It stays below the range that
# the kernel hands to outgoing connections, so that a node can come back to its
# port while clients are connecting.
declare -A port_taken
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		[[ -n ${port_taken[$port]:-} ]] && continue
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			port_taken[$port]=1
			free_port_result=$port
			return 0
		fi
	done
}

# build_redoubt sets $redoubt to the program under test: $REDOUBT_BIN, or one
# that is built from this tree.
build_redoubt() {
	redoubt=${REDOUBT_BIN:-$work/redoubt}
	[[ -n ${REDOUBT_BIN:-} ]] || (cd "$root" && go build -o "$redoubt" ./cmd/redoubt)
}

# plan_cluster N chooses the ports of nodes 1..N and sets $cluster.
plan_cluster() {
	local id
	cluster=
	for ((id = 1; id <= $1; id++)); do
		free_port && client_port[id]=$free_port_result
		free_port && raft_port[id]=$free_port_result
		cluster+=${cluster:+,}$id=127.0.0.1:${raft_port[id]}
	done
}

# start_node ID starts a node of the planned cluster; extra flags are in $node_flags.
start_node() {
	local id=$1
	# shellcheck disable=SC2086 # node_flags is a list of words
	"$redoubt" --id "$id" --listen "127.0.0.1:${client_port[id]}" \
		--raft-listen "127.0.0.1:${raft_port[id]}" --data-dir "$work/node$id" \
		--cluster "$cluster" ${node_flags:-} >>"$work/node$id.log" 2>&1 </dev/null &
	node_pid[id]=$!
}

# stop_node ID SIGNAL ends a node and waits until it is gone.
stop_node() {
	local pid=${node_pid[$1]:-}
	[[ -n $pid ]] || return 0
	kill -s "$2" "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	unset "node_pid[$1]"
}

# cli ID ARGS... is redis-cli connected to a node.
cli() {
	local port=${client_port[$1]}
	shift
	timeout 20 redis-cli -h 127.0.0.1 -p "$port" "$@"
}

answers() { [[ $(cli "$1" PING) == PONG ]]; }
accepts_write() { [[ $(cli "$1" SET redoubt-test:ready 1) == OK ]]; }

# start_cluster N starts nodes 1..N and returns when each of them takes a write.
start_cluster() {
	local id
	plan_cluster "$1"
	for ((id = 1; id <= $1; id++)); do start_node "$id"; done
	for ((id = 1; id <= $1; id++)); do
		wait_until 30 accepts_write "$id" || {
			tail -n 30 "$work/node$id.log"
			return 1
		}
	done
}

# find_leader sets $leader to the running node whose ROLE is master.
find_leader() {
	local id
	for id in "${!node_pid[@]}"; do
		if [[ $(cli "$id" ROLE 2>/dev/null | head -n 1) == master ]]; then
			leader=$id
			return 0
		fi
	done
	return 1
}
