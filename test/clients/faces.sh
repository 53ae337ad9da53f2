# shellcheck shell=bash
# Clients that follow the leader by themselves, by the Cluster face, by the Sentinel face, or by
# staying at a follower, while the leader is killed and comes back.

every_node() {
	local id
	for id in 1 2 3; do expect "$1" cli "$id" "${@:2}" || return 1; done
}

# followers_first sets $followers to the addresses of the nodes that do not lead.
followers_first() {
	local id
	find_leader || return 1
	followers=
	for id in 1 2 3; do
		[[ $id == "$leader" ]] || followers+=${followers:+,}127.0.0.1:${client_port[id]}
	done
}

# follows LIBRARY PROGRAM... has the program write while the leader is killed.
follows() {
	local library=$1 to=$addresses
	followers_first
	case $library in
	redis-py-cluster) to=$followers,127.0.0.1:${client_port[leader]} ;; # see follow.py
	*-cluster | *-sentinel) ;;
	*) to=$followers ;;
	esac
	writer_program=("${@:2}" --library "$library" --addrs "$to")
	check "$library: writes go on after kill -9 of the leader" under_load "$library" kill_the_leader
	sed 's/^/     /' "$work/writer.out"
	every_node OK CONFIG SET cluster-face no # the verifier reads through every node
	check "$library: nothing acknowledged is missing on any node" every_node_has_the_journal
}

cluster_face_on() { every_node OK CONFIG SET cluster-face yes; }

redis_cli_follows_moved() {
	local id
	for id in 1 2 3; do
		expect OK cli "$id" -c SET "face:$id" "value $id" || return 1
		expect "value $id" cli 1 -c GET "face:$id" || return 1
	done
}

a_follower_redirects() {
	find_leader || return 1
	local id
	for id in 1 2 3; do
		[[ $id == "$leader" ]] && continue
		expect "MOVED 12182 127.0.0.1:${client_port[leader]}" cli "$id" SET foo bar || return 1
		[[ $(printf 'READONLY\nGET face:1\n' | cli "$id") == $'OK\nvalue 1' ]] || return 1
	done
}

# read_locally ID is a GET after READONLY.
read_locally() { printf 'READONLY\nGET face:local\n' | timeout 20 redis-cli -p "${client_port[$1]}"; }

is_stale() { [[ $(read_locally "$1") == *MASTERDOWN* ]]; }
is_read() { [[ $(read_locally "$1") == $'OK\n1' ]]; }

# A node that hears from nobody refuses local reads after the bound, and only then.
local_reads_have_a_bound() {
	local id alone=
	find_leader || return 1
	expect OK cli "$leader" SET face:local 1 || return 1
	for id in 1 2 3; do [[ $id == "$leader" ]] || alone=$id; done
	expect OK cli "$alone" CONFIG SET max-staleness 500ms || return 1
	wait_until 10 is_read "$alone" || return 1
	for id in 1 2 3; do [[ $id == "$alone" ]] || kill -s STOP "${node_pid[$id]}"; done
	local status=0
	wait_until 10 is_stale "$alone" || status=1
	expect 0 cli "$alone" WAIT 1 100 || status=1
	for id in 1 2 3; do [[ $id == "$alone" ]] || kill -s CONT "${node_pid[$id]}"; done
	wait_until 30 is_read "$alone" && expect OK cli "$alone" CONFIG SET max-staleness 10s && ((status == 0))
}

faces_checks() {
	check "local reads: refused when they may be too old" local_reads_have_a_bound
	local library
	for library in go-redis rueidis go-redis-sentinel rueidis-sentinel; do
		follows "$library" "$gored" follow
	done
	for library in redis-py redis-py-sentinel; do
		follows "$library" /usr/bin/python3 "$here/follow.py"
	done
	node_flags=--cluster-face
	check "cluster face: CONFIG SET turns it on" cluster_face_on
	check "cluster face: redis-cli -c" redis_cli_follows_moved
	check "cluster face: a follower redirects, and reads after READONLY" a_follower_redirects
	for library in go-redis-cluster rueidis-cluster; do
		follows "$library" "$gored" follow
		cluster_face_on
	done
	follows redis-py-cluster /usr/bin/python3 "$here/follow.py"
	node_flags=
}
