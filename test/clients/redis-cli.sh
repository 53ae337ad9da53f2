# shellcheck shell=bash
# redis-cli: commands, RESP3, --pipe, standard input, --scan, --bigkeys.

written_anywhere_is_read_everywhere() {
	local writer reader
	for writer in 1 2 3; do
		expect OK cli "$writer" SET "cli:from:$writer" "value $writer" || return 1
		for reader in 1 2 3; do
			expect "value $writer" cli "$reader" GET "cli:from:$writer" || return 1
		done
	done
}

arguments_are_checked() {
	expect "ERR wrong number of arguments for 'set' command" cli 2 SET alone &&
		expect "ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' " cli 2 NOSUCH a b &&
		expect "ERR syntax error" cli 2 SET key value NX XX &&
		expect OK cli 2 SET cli:text abc &&
		expect "ERR value is not an integer or out of range" cli 2 INCR cli:text
}

binary_value_survives() {
	head -c 200000 /dev/urandom >"$work/binary" || return 1
	printf '\0\r\n\xff' >>"$work/binary"
	[[ $(cli 1 -x SET cli:binary <"$work/binary") == OK ]] || return 1
	# redis-cli adds one newline to what it prints.
	cli 3 GET cli:binary | head -c -1 | cmp - "$work/binary"
}

expiry_is_seen_by_all() {
	expect OK cli 1 SET cli:short x PX 300 &&
		wait_until 5 expect "" cli 2 GET cli:short &&
		expect "" cli 3 GET cli:short &&
		expect -2 cli 1 TTL cli:short
}

databases_are_apart() {
	expect OK cli 1 -n 3 SET cli:db three &&
		expect "" cli 2 GET cli:db &&
		expect three cli 2 -n 3 GET cli:db &&
		expect "ERR DB index is out of range" cli 2 SELECT 99
}

resp3_is_spoken() {
	# With RESP3 the answer to HELLO is a map, which redis-cli prints as "1# "name" => ...".
	cli 2 -3 --no-raw HELLO 3 | grep -q '^1# "server" =>' &&
		expect OK cli 2 -3 SET cli:resp3 1 &&
		expect "(nil)" cli 2 -3 --no-raw GET cli:absent
}

pipe_mode_loads() {
	local i
	for ((i = 0; i < 20000; i++)); do
		printf '*3\r\n$3\r\nSET\r\n$%d\r\npipe:%d\r\n$%d\r\nvalue:%d\r\n' \
			$((5 + ${#i})) "$i" $((6 + ${#i})) "$i"
	done >"$work/pipe.resp"
	cli 2 --pipe <"$work/pipe.resp" >"$work/pipe.out" || return 1
	cat "$work/pipe.out"
	grep -q '^errors: 0, replies: 20000$' "$work/pipe.out" &&
		expect value:19999 cli 3 GET pipe:19999 &&
		[[ $(cli 1 --scan --pattern 'pipe:*' | sort -u | wc -l) == 20000 ]]
}

several_commands_on_one_connection() {
	local out
	out=$(printf 'SET cli:many 1\nINCR cli:many\nSELECT 2\nGET cli:many\nDBSIZE\n' | cli 3) || return 1
	[[ $out == $'OK\n2\nOK\n\n0' ]] || { printf '%s\n' "$out"; return 1; }
}

bigkeys_walks_the_keyspace() {
	cli 1 --bigkeys >"$work/bigkeys.out" || return 1
	grep -q 'Biggest string found .*cli:binary' "$work/bigkeys.out" ||
		{ tail -n 20 "$work/bigkeys.out"; return 1; }
}

administration_answers() {
	cli 1 INFO | grep -q '^# Server' && cli 1 INFO raft | grep -qi '^# raft' &&
		cli 2 RAFT STATUS | grep -qi term && cli 3 RAFT NODES | grep -q "${client_port[1]}" &&
		cli 2 RAFT HELP | grep -qi snapshot && cli 1 COMMAND COUNT | grep -q '^[1-9]'
}

redis_cli_checks() {
	check "redis-cli: a key written on any node is read on every node" written_anywhere_is_read_everywhere
	check "redis-cli: error texts" arguments_are_checked
	check "redis-cli: 200 kB of binary value" binary_value_survives
	check "redis-cli: expiry" expiry_is_seen_by_all
	check "redis-cli: databases" databases_are_apart
	check "redis-cli: RESP3" resp3_is_spoken
	check "redis-cli: several commands on one connection" several_commands_on_one_connection
	check "redis-cli: --pipe with 20000 commands, --scan" pipe_mode_loads
	check "redis-cli: --bigkeys" bigkeys_walks_the_keyspace
	check "redis-cli: INFO, RAFT, COMMAND" administration_answers
}
