#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, buildah 1.39.3+ds1-1+b7, crun 1.21-1, systemd 257.13-1~deb13u1
#
# `podman build --cgroup-parent a.slice` runs a step not in a cgroup of its own below a.slice, but in
# a.slice/a.slice.scope, whatever the step: the option's value is handed to the OCI runtime as the container's
# whole path. So two steps at a time, of one build with --jobs or of two builds that name the same
# parent, can't be: the second fails with "Unit a.slice.scope was already loaded". One at a time works.
# With `buildah build --cgroup-parent /a`, which does not go through systemd, both run in the cgroup /a itself,
# and the first step to end takes the other one along: what the runtime tidies up is the cgroup with all in it.
#
# One would have guessed what the option does in `podman run`, where any number of containers share a parent: and
# podman-build(1) describes it in the same words, as a place for the container's cgroup to be made in.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
seen=$(insh 'podman build --network host --no-cache --cgroup-parent a.slice -f hang . >/dev/null 2>&1 &
	arrived
	cut -d: -f3 "/proc/$(left)/cgroup" | tail -1
	kill -9 $(left)
	wait
	printf "FROM base AS a\nRUN sleep 3\nFROM base AS b\nRUN sleep 4\n%b" \
		"FROM base\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\n" >stages
	for options in "--jobs 2" "--jobs 1 --cgroup-parent a.slice" "--jobs 2 --cgroup-parent a.slice"; do
		podman build --network host --no-cache $options -f stages . >log 2>&1
		echo $? $(grep -o "Unit .* was already loaded" log | head -1)
	done
	printf "FROM base\nRUN sleep 4\n" >short
	printf "FROM base\nRUN sleep 9\n" >long
	for parent in "" "--cgroup-parent /a"; do
		buildah build --network host --no-cache $parent -f long . >log 2>&1 & long=$!
		sleep 1
		buildah build --network host --no-cache $parent -f short . >/dev/null 2>&1; short=$?
		wait $long
		echo $? $short $(grep -o "exited on killed" log)
	done')
{ read -r where; read -r plain; read -r one; read -r two; read -r apart; read -r shared; } <<<"$seen"
claim "where a step runs" /a.slice/a.slice.scope/container "$where"
claim "two jobs, no parent: status" 0 "$plain"
claim "one job, a parent: status" 0 "$one"
claim "two jobs, a parent: status" "1 Unit a.slice.scope was already loaded" "$two"
claim "two builds of buildah's, a long and a short one: status" "0 0" "$apart"
claim "the same with a parent" "1 0 exited on killed" "$shared"
