#!/bin/bash
# Debian trixie: buildah 1.39.3+ds1-1+b7
#
# The process that buildah starts for a RUN step and that waits for its end (buildah-chroot-runtime) has called
# unshare(2) in one of its threads. That thread alone is in a mount namespace with the mounts of the
# step; all other threads of the process are in the one that buildah itself is in.
#
# One would have guessed that /proc/PID/mountinfo, /proc/PID/ns/mnt, /proc/PID/root and `nsenter --target PID --mount`
# speak of the process. They speak of its first thread; what the rest of it sees, and which mounts it
# keeps busy, is in /proc/PID/task/TID alone. Linux allows it, but who would look for it in a program in Go, where
# a goroutine does not know its thread?
#
# Seen: of 8 to 9 threads one is in a namespace of its own, the first; it has the mounts below /var/tmp/buildahN.
. "$(dirname "$0")/lib.bash"
unpack trixie buildah=1.39.3+ds1-1+b7 netavark=1.14.0-2 busybox-static
mkdir "$work/run/context"
cp "$root/usr/bin/busybox" "$work/run/context"
# No limit is raised: the host may not let us.
printf '[containers]\ndefault_ulimits=["nofile=1024:4096","nproc=4096:4096"]\n' >"$work/run/containers.conf"
printf 'FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\nRUN exec sleep 7778\n' >"$work/run/context/Containerfile"
within /usr/bin/buildah --root /run/storage --runroot /run/state --storage-driver vfs build --isolation chroot --network host \
	/run/context >"$work/log" 2>&1 &
pid=$!
started+=("$pid")
children() { cat /proc/"$1"/task/*/children 2>/dev/null || true; }
step=
for _ in {1..600}; do # buildah, monitor, executor, step
	[ -e "/proc/$pid/exe" ] || break
	for monitor in $(children "$pid"); do
		for executor in $(children "$monitor"); do
			for step in $(children "$executor"); do
				grep -lqzx 7778 "/proc/$step/cmdline" 2>/dev/null && break 4
			done
		done
	done
	step=
	sleep 0.1
done
[ -n "$step" ] || unseen "no step was started: $(tail -1 "$work/log")"
started=("$step" "$executor" "$monitor" "$pid")
claim "the monitor" buildah-chroot-runtime "$(tr '\0' '\n' <"/proc/$monitor/cmdline" | head -1)"
claim "mount namespaces of the threads of buildah" 1 "$(readlink /proc/"$pid"/task/*/ns/mnt | sort -u | wc -l)"
claim "mount namespaces of the monitor's threads" 2 "$(readlink /proc/"$monitor"/task/*/ns/mnt | sort -u | wc -l)"
buildah=$(readlink "/proc/$pid/ns/mnt")
threads=(/proc/"$monitor"/task/*)
say "threads of the monitor: ${#threads[@]}"
claim "threads of the monitor that are not in buildah's" 1 "$(readlink /proc/"$monitor"/task/*/ns/mnt | grep -cvxF "$buildah")"
claim "threads of the monitor that see the step's mounts" 1 "$(grep -l /var/tmp/buildah "${threads[@]/%//mountinfo}" | wc -l)"
claim "threads of buildah that do" 0 "$({ grep -l /var/tmp/buildah /proc/"$pid"/task/*/mountinfo || true; } | wc -l)"
