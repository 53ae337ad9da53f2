# shellcheck shell=bash
# telnet: inline commands as a person types them.

# typed NODE LINE... types the lines and QUIT into telnet and prints what the
# server said. Standard input stays open until the server hangs up, because
# telnet leaves at its end without waiting for answers. A line ends in LF, which
# telnet sends as CR LF.
typed() {
	local port=${client_port[$1]} out=$work/telnet.out line pid
	shift
	coproc session { timeout 20 telnet 127.0.0.1 "$port" >"$out" 2>&1; }
	pid=$session_PID
	for line in "$@" QUIT; do printf '%s\n' "$line" >&"${session[1]}"; done
	wait "$pid" || true
	tr -d '\r' <"$out" | sed '1,/^Escape character/d; /^Connection closed/d'
}

inline_commands_work() {
	expect $'+OK\n$5\nhello\n:5\n+OK' typed 1 "SET telnet:key hello" "GET telnet:key" "STRLEN telnet:key"
}

quotes_are_understood() {
	expect $'+OK\n$11\nhello world\n+OK' typed 2 'set telnet:quoted "hello world"' "get telnet:quoted" &&
		expect $'+OK\n:3\n+OK' typed 2 'SET telnet:hex "\x41\x42\x43"' 'STRLEN telnet:hex'
}

unknown_commands_are_named() {
	expect $'-ERR unknown command \'nosuch\', with args beginning with: \'there\' \n+OK' typed 3 "nosuch there"
}

protocol_errors_close() {
	expect "-ERR Protocol error: unbalanced quotes in request" typed 1 'SET key "open'
}

telnet_checks() {
	check "telnet: inline commands" inline_commands_work
	check "telnet: quoted arguments" quotes_are_understood
	check "telnet: unknown command" unknown_commands_are_named
	check "telnet: unbalanced quotes" protocol_errors_close
}
