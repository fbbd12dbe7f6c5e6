#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, nohup of coreutils 9.7
#
# `nohup podman build` ends when its terminal hangs up: podman, and the monitor of its RUN step, take SIGHUP although
# they inherited it as ignored, the step is killed and the build fails. nohup of a shell loop in the
# same place lives on.
#
# One would have guessed that a program leaves a signal ignored which was so as it started: nohup(1) has no other
# means, and every C program that was taught "if (signal(SIGHUP, SIG_IGN) != SIG_IGN)" does.
#
# Why: Go leaves it ignored as well, until the program calls signal.Notify for it, as buildah does for each step.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
seen=$(insh 'for what in "sh -c :;sleep\${IFS}7777" "podman build --network host --no-cache -f hang ."; do
		setsid nohup $what >log 2>&1 &
		leader=$!
		arrived
		sleep 1
		ignored() { echo $((0x$(sed -n "s/^SigIgn:.//p" /proc/$leader/status) & 1)); }
		echo "$(ignored)" >was
		kill -HUP -$leader
		sleep 3
		echo "ignores it $(cat was), alive after it $([ -d /proc/$leader ] && echo 1 || echo 0), step $(left | wc -l)"
		kill -9 $(left) 2>/dev/null
		wait
	done')
{ read -r shell; read -r podman; } <<<"$seen"
claim "a shell under nohup" "ignores it 1, alive after it 1, step 1" "$shell"
claim "podman build under nohup" "ignores it 0, alive after it 0, step 0" "$podman"
