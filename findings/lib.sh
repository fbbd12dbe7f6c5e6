# shellcheck shell=bash
# What the scripts of this directory share; sourced, not run.
#
# A script gets $work, a temporary directory that is gone at its end, and $cache
# (/var/cache/buildwatch-findings, or $FINDINGS_CACHE), which may be removed at any
# time. Exit status: 0 as stated, 1 otherwise, 2 if nothing could be seen.
set -euo pipefail
export LC_ALL=C
cache=${FINDINGS_CACHE:-/var/cache/buildwatch-findings}
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
	{ go mod init findings && go get "$@"; } >"$work/go.log" 2>&1 || unseen "$(tail -1 "$work/go.log")"
	say "with $*"
}
gorun() {
	go build -o "$work/go/prog" . 2>"$work/go.log" || unseen "$(cat "$work/go.log")"
	"$work/go/prog" "$@"
}

# cgroup: $cg is an empty cgroup (v2) of our own.
cgroup() {
	local top
	top=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
	cg=$top/findings-$$
	mkdir "$cg" 2>/dev/null || unseen "no writable cgroup v2 hierarchy (be root)"
	undo+=("find '$cg' -depth -type d -exec rmdir {} + 2>/dev/null")
}
