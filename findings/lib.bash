# shellcheck shell=bash
# What the scripts of this directory share; sourced, not run.
#
# A script gets $work, a temporary directory that is gone at its end, and $cache
# (/var/cache/findings, or $FINDINGS_CACHE), which may be removed at any
# time. Exit status: 0 as stated, 1 otherwise, 2 if nothing could be seen.
set -euo pipefail
export LC_ALL=C
cache=${FINDINGS_CACHE:-/var/cache/findings}
work=$(mktemp -d)
started=() # PIDs that cleanup ends
undo=()    # commands that cleanup runs, the last one first

cleanup() {
	local status=$? i
	trap - EXIT
	set +e
	for i in "${started[@]}"; do kill -9 "$i" && wait "$i"; done 2>/dev/null
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do eval "${undo[i]}"; done
	cd / && rm -rf --one-file-system "$work"
	exit "$status"
}
trap cleanup EXIT
trap 'echo "$(basename "$0"): line $LINENO failed" >&2' ERR
trap 'exit 130' INT TERM HUP

say() { echo "$*"; }
unseen() {
	echo "$(basename "$0"): could not be seen: $*" >&2
	exit 2
}
# claim WHAT STATED SEEN
claim() {
	if [ "$2" != "$3" ]; then
		echo "$(basename "$0"): NOT as stated: $1: stated '$2', seen '$3'" >&2
		exit 1
	fi
	say "as stated: $1: $3"
}
need() {
	local program
	for program; do command -v "$program" >/dev/null || unseen "needs $program"; done
}

# stated_kernel SERIES: a fact of the kernel's can't choose its kernel. It is tried
# on whichever runs.
stated_kernel() {
	case $(uname -r) in
	"$1".*) say "kernel $(uname -r)" ;;
	*) say "NOTE: stated for kernel $1, this is $(uname -r)" ;;
	esac
}

# gomod MODULE@VERSION...: $work/go is a Go module with these versions. The script
# writes main.go; gorun builds and runs it.
gomod() {
	need go
	mkdir -p "$work/go" "$cache"
	cd "$work/go"
	export GOMODCACHE=$cache/gomod GOFLAGS="-mod=mod -modcacherw" GOWORK=off
	{ go mod init findings && { [ $# = 0 ] || go get "$@"; }; } >"$work/go.log" 2>&1 || unseen "$(tail -1 "$work/go.log")"
	[ $# = 0 ] || say "with $*"
}
gorun() {
	go build -o "$work/go/prog" . 2>"$work/go.log" || unseen "$(cat "$work/go.log")"
	"$work/go/prog" "$@"
}

# cgroup: $cg is an empty cgroup (v2) of our own.
cgroup() {
	local top
	top=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
	cg=$top/findings-$$-${#undo[@]}
	mkdir "$cg" 2>/dev/null || unseen "no writable cgroup v2 hierarchy (be root)"
	undo+=("find '$cg' -depth -type d -exec rmdir {} + 2>/dev/null")
}

# zombie_leader: Python for a process whose main thread has exited while another thread
# works; it writes a line as soon as that is so.
zombie_leader() {
	cat <<'PY'
import ctypes, os, sys, threading, time
def work():
    while open("/proc/self/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(60)
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # SYS_exit: this thread only
PY
}

# The releases that several scripts look at, one root file system for each.
# shellcheck disable=SC2034
TRIXIE=(trixie systemd=257.13-1~deb13u1 systemd-sysv=257.13-1~deb13u1 dbus podman=5.4.2+ds1-2+b2 buildah=1.39.3+ds1-1+b7
	crun=1.21-1 runc=1.1.15+ds1-2+b4 netavark=1.14.0-2 conmon=2.1.12-4 busybox-static python3-minimal)
# shellcheck disable=SC2034
BOOKWORM=(bookworm systemd=252.39-1~deb12u2 systemd-sysv=252.39-1~deb12u2 dbus podman=4.3.1+ds1-8+deb12u1+b3
	buildah=1.28.2+ds1-3+deb12u1+b3 crun=1.8.1-1+deb12u1 runc=1.1.5+ds1-1+deb12u1 netavark=1.4.0-3 conmon=2.1.6+ds1-1
	busybox-static python3-minimal)

# root SUITE PACKAGE=VERSION...: $root is a root file system of that Debian suite with these
# packages, from the mirror that this host's apt uses. It is kept in $cache.
root() {
	local suite=$1 site dir like
	need debootstrap systemd-nspawn apt-get
	root=$cache/$suite-$(echo "$*" | sha256sum | cut -c1-12)
	say "with Debian $*"
	mkdir -p "$cache"
	exec 8>"$cache/lock"
	flock 8
	if [ ! -d "$root" ]; then
		say "(making $root, once)"
		dir=$(mktemp -d "$cache/.making-XXXXXX")
		undo+=("rm -rf --one-file-system '$dir'")
		chmod 755 "$dir"
		site=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' |
			awk '$2 == "main" && !/security/ {print $1; exit}')
		like=/usr/share/debootstrap/scripts/$suite
		[ -e "$like" ] || like=/usr/share/debootstrap/scripts/sid
		debootstrap --variant=minbase "$suite" "$dir" "$site" "$like" >"$work/log" 2>&1 ||
			unseen "debootstrap $suite: $(tail -1 "$work/log")"
		apt-config dump --no-empty --format '%F "%v";%n' Acquire | grep -v IndexTargets >"$dir/etc/apt/apt.conf.d/99host"
		cat /etc/resolv.conf >"$dir/etc/resolv.conf"
		chroot "$dir" env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -ec '
			apt-get update && apt-get install -y --no-install-recommends "$@" && apt-get clean
			rm -rf /var/lib/apt/lists/* /etc/hostname
			cd /etc/systemd/system # binfmt_misc and the console are the host'"'"'s
			ln -sf /dev/null systemd-binfmt.service
			ln -sf /dev/null proc-sys-fs-binfmt_misc.automount
			ln -sf /dev/null console-getty.service
			' - "${@:2}" >"$work/log" 2>&1 || unseen "$(grep '^E:' "$work/log" | head -1)"
		mv "$dir" "$root"
	fi
	exec 8>&-
}

# unpack SUITE PACKAGE=VERSION...: $root has the files of these packages of Debian's and of those that they need, not
# configured: enough for `within`. It is kept in $cache. With $arch set they are those of that architecture.
unpack() {
	local suite=$1 site dir deb
	need apt-get dpkg-deb unshare chroot
	root=$cache/unpacked-$suite-$(echo "$*${arch:+ $arch}" | sha256sum | cut -c1-12)
	say "with Debian $*${arch:+ of $arch}"
	mkdir -p "$cache" "$work"/{run,lists/partial,apt/archives/partial}
	exec 8>"$cache/lock"
	flock 8
	if [ ! -d "$root" ]; then
		say "(making $root, once)"
		dir=$(mktemp -d "$cache/.making-XXXXXX")
		undo+=("rm -rf --one-file-system '$dir'")
		chmod 755 "$dir"
		mkdir -p "$dir"/{proc,sys,dev,run,root,tmp,var/tmp,etc,usr/{bin,sbin,lib,lib64}}
		ln -s usr/bin usr/sbin usr/lib usr/lib64 "$dir"
		echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
		site=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' |
			awk '$2 == "main" && !/security/ {print $1; exit}')
		echo "deb $site $suite main" >"$work/sources.list"
		: >"$work/status"
		apt() {
			apt-get -q -y -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists" \
				-o Dir::Cache="$work/apt" -o Dir::State::status="$work/status" -o Acquire::Languages=none \
				-o APT::Sandbox::User=root -o Debug::NoLocking=1 ${arch:+-o "APT::Architecture=$arch"} --no-install-recommends --download-only "$@"
		}
		{ apt update && apt install "${@:2}"; } >"$work/log" 2>&1 || unseen "$(grep '^E:' "$work/log" | head -1)"
		for deb in "$work"/apt/archives/*.deb; do
			dpkg-deb --fsys-tarfile "$deb" | tar x -C "$dir" --keep-directory-symlink
		done
		mv "$dir" "$root"
	fi
	exec 8>&-
}

# within COMMAND...: runs it in $root, in a mount namespace of its own, in the place of this shell. Its /run is $work/run.
within() {
	# shellcheck disable=SC2016
	exec unshare --mount sh -ec '
		root=$1
		mount --bind "$root" "$root"
		mount --rbind /proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount --bind "$2" "$root/run"
		mount -t tmpfs none "$root/var/tmp"
		shift 2
		exec env -i HOME=/root PATH=/usr/sbin:/usr/bin CONTAINERS_CONF=/run/containers.conf "$(command -v chroot)" "$root" "$@"
	' - "$root" "$work/run" "$@"
}

# boot: systemd of $root runs as PID 1 of a container, on a copy in memory, without network.
# inside runs a command there in a unit of its own, insh a shell's text.
boot() {
	local tries pid
	cgroup
	undo+=("for try in {1..100}; do grep -q 'populated 0' '$cg/cgroup.events' && break; sleep 0.1; done"
		"echo 1 >'$cg/cgroup.kill'")
	(
		echo $BASHPID >"$cg/cgroup.procs"
		export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0
		exec systemd-nspawn --quiet --boot --directory="$root" --machine=findings-$$ --register=no --keep-unit \
			--console=pipe --resolv-conf=off --timezone=off --link-journal=no --private-network \
			--capability=all --system-call-filter='@keyring bpf' --volatile=overlay \
			--tmpfs=/var/lib/containers:mode=0755 --tmpfs=/var/tmp:mode=1777
	) >"$work/console" 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
	for ((tries = 0; tries < 300; tries++)); do
		leader=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
		leader=${leader%% *}
		case $([ -z "$leader" ] || enter systemctl is-system-running 2>/dev/null || true) in
		running | degraded) return ;;
		esac
		sleep 0.2
	done
	unseen "the system did not start: $(tail -3 "$work/console")"
}
enter() { nsenter -t "$leader" -m -u -i -n -p -r -w -- "$@"; }
# systemd would expand ${NAME} in the arguments, and makes $ of $$.
inside() { enter systemd-run --quiet --wait --pipe --collect -- "${@//\$/\$\$}"; }
tools=
insh() { inside /bin/sh -c "$tools$1"; }

# buildable: the booted system has an image `base` with a shell, cat and sleep, and a directory /root/c to
# build in. What it does to insh: `left` lists the processes that run `sleep 7777`, `arrived` waits for one.
buildable() {
	# No limit is raised: the host may not let us.
	tools='cd /root/c
left() { grep -lzx "77[7]7" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3; }
arrived() { for try in $(seq 300); do [ -z "$(left)" ] || return 0; sleep 0.1; done; echo "no step was started" >&2; return 1; }
'
	enter mkdir -p /root/c /etc/containers
	insh 'cp "$(command -v busybox)" .
		printf "[containers]\ndefault_ulimits=[\"nofile=1024:4096\",\"nproc=4096:4096\"]\n" >/etc/containers/containers.conf
		printf "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/cat\nCOPY busybox /bin/sleep\n" >base
		printf "FROM base\nRUN exec sleep 7777\n" >hang
		podman build -q --network host -t base -f base .' >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
}
