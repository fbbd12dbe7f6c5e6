#!/bin/sh
# How long a host takes to end while builds run: inside a VM (testmachine run --vm), which
# is ended by it. It prints the uptime at which the VM is told to, and the kernel says last,
# on the console, when it ended. Not in a container:
# that one's shutdown empties the host's table of binfmt_misc.
#
#   vm-shutdown.sh with|without [poweroff|reboot] [BUILDS]
set -eu

! systemd-detect-virt --container --quiet || { echo 'this is no VM' >&2; exit 1; }
mode=$1 how=${2:-poweroff} builds=${3:-20}
if [ "$mode" = without ]; then
	systemctl --quiet disable --now buildwatchd.socket buildwatchd.service
	rm /etc/containers/containers.conf.d/50-buildwatch.conf
fi
dir=$(mktemp -d)
cd "$dir"
cp /usr/share/buildwatch-test/amd64/busybox .
printf 'FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nCOPY --chmod=755 busybox /bin/sh\n' >Containerfile
podman build --quiet --tag base . >/dev/null
mkdir steps
printf 'FROM base\nRUN /bin/busybox sleep 4004 & /bin/busybox sleep 4004 & wait\n' >steps/Containerfile
i=0
while [ "$i" -lt "$builds" ]; do
	i=$((i + 1))
	setsid nohup podman build --pull=never --network=none --layers=false steps >"$i.log" 2>&1 </dev/null &
	[ $((i % 4)) != 0 ] || sleep 3
done
until [ "$(pgrep --count --full --exact '/bin/busybox sleep 4004')" -ge $((2 * builds)) ]; do sleep 2; done
if [ "$mode" = with ]; then
	echo "$(buildwatchctl list -q | wc -l) builds are listed, there are $(find /sys/fs/cgroup/system.slice -maxdepth 1 -name "buildwatch-*.scope" | wc -l) scopes"
	systemctl show -p MemoryCurrent,MemoryPeak,MemoryMax,TasksCurrent,TasksMax buildwatchd.service
	cat /sys/fs/cgroup/system.slice/buildwatchd.service/memory.events.local
fi
echo "$mode buildwatch, $builds builds: told to $how at $(cut -d' ' -f1 /proc/uptime)"
systemctl "$how"
