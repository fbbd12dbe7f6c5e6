#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# `systemd-run --wait COMMAND` of which the command is ended by SIGTERM, SIGINT, SIGHUP or SIGPIPE exits with 0: also when the unit
# is stopped, by `systemctl stop` or at the shutdown, in the middle of its work. By SIGKILL, or any other signal, it exits with
# 255. `systemd-run --scope`, and every shell, have 143 for the same command and SIGTERM.
#
# One would have guessed that a command which was ended before it was done is no success: that its status is "propagated", as
# that of an exit is. `systemd-run --wait --pipe make && deploy` deploys what was cancelled.
#
# Why: for a service these signals are a clean end (SuccessExitStatus=), and `--wait` returns 0 for what ended cleanly.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
insh 'echo "kill -\$1 \$\$; exec sleep 60" >/root/ended'
ended() { # ended OPTION SIGNAL: the status of systemd-run whose command is ended by the signal
	local status=0
	enter systemd-run --quiet --collect "$1" -- /bin/sh /root/ended "$2" >/dev/null 2>&1 || status=$?
	echo $status
}
claim "status after SIGTERM, SIGINT, SIGHUP, SIGPIPE" "0 0 0 0" "$(ended --wait TERM) $(ended --wait INT) $(ended --wait HUP) $(ended --wait PIPE)"
claim "after SIGKILL, SIGUSR1" "255 255" "$(ended --wait KILL) $(ended --wait USR1)"
claim "--scope, SIGTERM" 143 "$(ended --scope TERM)"
seen=$(insh 'systemd-run --quiet --wait --collect --unit work -- /bin/sh -c "touch /run/began; sleep 600; exit 7" &
	until [ -e /run/began ]; do sleep 0.1; done
	systemctl stop work
	wait $!; echo $?')
claim "after systemctl stop" 0 "$seen"
