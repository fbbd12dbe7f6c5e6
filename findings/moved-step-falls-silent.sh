#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1, crun 1.21-1, podman 5.4.2+ds1-2+b2
#
# StartTransientUnit with the PID of a running RUN step's shell, which moves it to a scope of one's own, empties crun's own
# scope. From then on `crun list` and `crun state` say "stopped" while the container's processes run. podman
# shows nothing more of what the step writes, and waits for its end: the exit status and the layer are whole,
# the rest of the log is missing, and nothing says so.
#
# One would have guessed that a process may be put into another cgroup without its parent noticing, or, if the
# runtime asks the cgroup whether a container lives, that the build fails or ends there.
#
# Seen: a step that writes 6 lines, one a second, and exits with 3: 6 lines and status 3; moved in its third
# second 3 lines and status 3.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
build() { # build MOVE: status, lines in the log, what crun says of the container while its process is there
	insh "move=$1"'
		printf "FROM base\nRUN for i in 1 2 3 4 5 6; do echo tick \$i; sleep 1; done; exit 3\n" >ticks
		podman build --network host --no-cache -f ticks . >log 2>&1 & build=$!
		members() { cat /sys/fs/cgroup/system.slice/crun-buildah-*.scope/container/cgroup.procs 2>/dev/null; }
		until grep -q "^tick 2" log; do sleep 0.1; done
		until [ -n "$(members)" ]; do sleep 0.1; done
		set -- $(members | sort -n)
		if $move; then
			busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit \
				"ssa(sv)a(sa(sv))" mine.scope fail 1 PIDs au 1 $1 0 >/dev/null
			sleep 1.5 # its child of that moment has ended
		fi
		crun=$(crun list | grep -o "running\|stopped")
		there=$([ -d /proc/$1 ] && echo there)
		wait $build; status=$?
		echo $status $(grep -c "^tick" log) $crun $there'
}
seen=$(build false)
claim "left alone: status, lines, crun's word, its process" "3 6 running there" "$seen"
seen=$(build true)
read -r status lines rest <<<"$seen"
say "moved: $lines of 6 lines"
claim "moved: status, fewer lines, crun's word, its process" "3 yes stopped there" \
	"$status $([ "$lines" -lt 6 ] && echo yes) $rest"
