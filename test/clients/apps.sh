# shellcheck shell=bash
# Programs with well known libraries that keep their state in Redis: first all of them on a redis-server, then all
# of them on three nodes whose leader is killed and comes back while they work. In apps/ are the ones in Go, and
# rq_app.py with rq_jobs.py, and celery_app.py with celery_tasks.py, which have application.py in common.

declare -A app_pid=()

# app NAME is the command of a program; $app_addrs are the nodes, those that will not die first.
app() {
	case $1 in
	rq | celery) app_command=(/usr/bin/python3 -B "$here/apps/${1}_app.py") ;;
	*) app_command=("$apps" "$1") ;;
	esac
	app_command+=(--addrs "$app_addrs" --face "$app_face" --journal "$work/$app_round.$1" --prefix "$app_round.$1")
	((app_calm == 0)) || app_command+=(--calm)
}

apps_start() {
	local name
	for name in "${app_names[@]}"; do
		app "$name"
		: >"$work/$app_round.$name"
		"${app_command[@]}" >"$work/$app_round.$name.out" 2>&1 </dev/null &
		app_pid[$name]=$!
	done
}

# apps_end ends the programs that are still running when the script ends.
apps_end() {
	local name
	for name in "${!app_pid[@]}"; do kill -s TERM "${app_pid[$name]}" 2>/dev/null || true; done
	((${#app_pid[@]} == 0)) || sleep 1 # the first signal only asks for the end
	for name in "${!app_pid[@]}"; do kill -s TERM "${app_pid[$name]}" 2>/dev/null || true; done
	for name in "${!app_pid[@]}"; do wait "${app_pid[$name]}" 2>/dev/null || true; done
	app_pid=()
}

app_has() { (($(wc -l <"$1") >= $2)); }

# apps_go_on waits until every program has done more: enough that what it had begun before is over.
apps_go_on() {
	local name file
	declare -A want
	for name in "${app_names[@]}"; do
		file=$work/$app_round.$name
		want[$name]=$(($(wc -l <"$file") + $1))
	done
	for name in "${app_names[@]}"; do
		wait_until 60 app_has "$work/$app_round.$name" "${want[$name]}" || {
			cat "$work/$app_round.$name.out"
			return 1
		}
	done
}

apps_lose_the_leader() {
	apps_go_on 30 && find_leader && stop_node "$leader" KILL && apps_go_on 30 &&
		start_node "$leader" && wait_until 30 accepts_write "$leader" && apps_go_on 30
}

# app_ends waits for a program's end; its status is what the program says of all it has done.
app_ends() {
	local pid=${app_pid[$1]} status=0
	wait "$pid" || status=$?
	unset "app_pid[$1]"
	cat "$work/$app_round.$1.out"
	return "$status"
}

# apps_run ROUND FACE CALM TITLE ACTION... starts the programs, does something, and lets them end.
apps_run() {
	app_round=$1 app_face=$2 app_calm=$3
	local title=$4 name
	shift 4
	apps_start
	check "programs $title" "$@"
	for name in "${app_names[@]}"; do kill -s TERM "${app_pid[$name]}" 2>/dev/null || true; done
	for name in "${app_names[@]}"; do
		check "$name: all is done $title" app_ends "$name"
		head -n 12 "$work/$app_round.$name.out" | sed 's/^/     /'
	done
}

# redis_answers says that the redis-server of the comparison is there.
redis_answers() { [[ $(redis-cli -p "$app_redis_port" PING) == PONG ]]; }

apps_checks() {
	local name redis
	app_names=("${all_apps[@]}")

	free_port && app_redis_port=$free_port_result
	mkdir "$work/redis"
	redis-server --port "$app_redis_port" --save '' --dir "$work/redis" >"$work/redis/log" 2>&1 </dev/null &
	redis=$!
	app_addrs=127.0.0.1:$app_redis_port
	wait_until 10 redis_answers
	apps_run redis plain 1 "on redis-server" apps_go_on 60
	kill -s KILL "$redis"
	wait "$redis" 2>/dev/null || true

	followers_first
	app_addrs=$followers,127.0.0.1:${client_port[leader]}
	apps_run plain plain 0 "after kill -9 of the leader" apps_lose_the_leader
	app_names=()
	for name in "${all_apps[@]}"; do
		[[ $name == rq ]] || app_names+=("$name") # its scheduler can't use Sentinels
	done
	((${#app_names[@]} > 0)) || return 0
	followers_first
	app_addrs=$followers,127.0.0.1:${client_port[leader]}
	apps_run sentinel sentinel 0 "after kill -9 of the leader, found by Sentinel" apps_lose_the_leader
}
