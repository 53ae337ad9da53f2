# shellcheck shell=bash
# redis-benchmark as a load that must end without an error on every node.

# loads NODE ARGS... runs redis-benchmark and fails on anything but rates.
loads() {
	local port=${client_port[$1]}
	shift
	timeout 120 redis-benchmark -h 127.0.0.1 -p "$port" --csv "$@" >"$work/bench.out" 2>"$work/bench.err" || {
		cat "$work/bench.out" "$work/bench.err"
		return 1
	}
	cat "$work/bench.out" "$work/bench.err"
	# An error reply is printed as "Error from server: ...", and csv rows start with a quote.
	! grep -qi error "$work/bench.out" "$work/bench.err" && grep -q '^"[A-Z]' "$work/bench.out"
}

# Every increment is answered once, so the counter shows one that was lost or done twice.
counter_is_exact() {
	cli 1 DEL bench:counter && loads "$1" -n 10000 -c 50 INCR bench:counter &&
		expect 10000 cli $(($1 % 3 + 1)) GET bench:counter
}

redis_benchmark_checks() {
	local id
	for id in 1 2 3; do
		check "redis-benchmark: SET and GET, node $id" loads "$id" -t set,get -n 10000 -c 50 -d 64 -r 100000
		check "redis-benchmark: SET and GET in pipelines of 32, node $id" loads "$id" -t set,get -n 50000 -c 50 -P 32 -d 64 -r 100000
		check "redis-benchmark: an exact counter, node $id" counter_is_exact "$id"
	done
	check "redis-benchmark: 500 connections" loads 1 -t set -n 20000 -c 500 -d 64 -r 100000
	check "redis-benchmark: MSET of 10 keys" loads 2 -t mset -n 5000 -c 50 -r 100000
}
