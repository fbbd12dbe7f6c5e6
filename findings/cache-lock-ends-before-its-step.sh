#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, buildah 1.39.3+ds1-1+b7, crun 1.21-1
#
# The lock of `RUN --mount=type=cache,sharing=locked` is held by podman or buildah, not by the step. When that
# process is killed, or has failed because of another stage (--jobs 2), its step goes on with the cache mounted, the
# lock is free, and the next build uses the same cache at the same time. While the builder lives, the next one waits.
#
# One would have guessed that the lock is held for as long as somebody uses what it guards, as flock(2) is by all
# that inherited the descriptor, or that the next build finds it taken and waits. A package manager that has no
# lock of its own, for which `locked` is there, meets another writer after the first cancelled build.
#
# Why: it is a lock by fcntl(2), which is a process' own and no child's.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
insh 'run="RUN --mount=type=cache,id=a,target=/cache,sharing=locked"
	printf "FROM base\n$run exec sleep 7777\n" >first
	printf "FROM base\n$run exit 5\n" >second
	printf "FROM base AS a\n$run exec sleep 7777\nFROM base AS b\nRUN sleep 3; exit 7\n%b" \
		"FROM base\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\n" >failing'
# second: the status of a build that takes the lock: 5, or 137 if it was killed because it still waited; and the steps of the first build.
# shellcheck disable=SC2016
second='second() { timeout -s KILL $1 $tool build --network host --no-cache -f second . >/dev/null 2>&1; echo $? $(left | wc -l); }'
for tool in podman buildah; do
	seen=$(insh "tool=$tool; $second"'
		$tool build --network host --no-cache -f first . >/dev/null 2>&1 &
		builder=$!
		arrived
		second 10
		kill -KILL $builder
		wait $builder 2>/dev/null
		second 60
		kill -9 $(left)
		$tool build --network host --no-cache --jobs 2 -f failing . >/dev/null 2>&1
		second 60
		kill -9 $(left)')
	claim "$tool: status of another build that takes the lock, and steps that hold the cache: while the builder lives, when it was killed, when another stage has failed" "137 1, 5 1, 5 1" "$(echo "$seen" | paste -sd , | sed 's/,/, /g')"
done
