# What install.sh and uninstall.sh share: read by them, with $1, the machine, or
# nothing. Runs on the host, in any POSIX sh; only podman and tar are asked for.

# Git for Windows turns arguments that look like paths into Windows' own.
export MSYS_NO_PATHCONV=1 MSYS2_ARG_CONV_EXCL='*'

top=$here/../..
shipped=

say() { echo "==> $*"; }

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# on_machine COMMAND: a line for the shell of the machine's user.
on_machine() { "$podman" machine ssh "$machine" "$1"; }

# find_podman: in the PATH, from a Linux shell in Windows by its Windows name, else where
# Homebrew, podman's own installer and MacPorts put it.
find_podman() {
	for podman in podman podman.exe "${HOMEBREW_PREFIX:-/opt/homebrew}/bin/podman" /opt/podman/bin/podman /opt/homebrew/bin/podman /usr/local/bin/podman /opt/local/bin/podman; do
		if command -v "$podman" >/dev/null 2>&1; then
			return 0
		fi
	done
	die 'podman is not installed here'
}

# choose_machine: the one of podman's default connection, which it marks unless that is root's
# in the machine, else the only one. buildwatchctl chooses alike.
choose_machine() {
	all=$("$podman" machine list --format '{{.Name}}' </dev/null | tr -d '\r')
	[ -n "$all" ] || die 'podman has no machine here: podman machine init --now makes one'
	machine=$(printf '%s\n' "$all" | sed -n 's/\*$//p')
	[ -n "$machine" ] || machine=$("$podman" system connection list --format '{{.Name}} {{.Default}}' </dev/null 2>/dev/null | tr -d '\r' | sed -n 's/-root true$//p')
	printf '%s\n' "$all" | grep -qxF -e "$machine" -e "$machine*" || machine=$all
	case $machine in
	*[!a-zA-Z0-9_.-]*)
		machine='podman-machine-default'
		printf '%s\n' "$all" | grep -qxF "$machine" || die "podman has several machines, and none by default: $(basename "$0") MACHINE"
		;;
	esac
}

find_podman
# podman machine ssh would run a name that is no machine's as a command in the
# default machine.
case $# in
0) choose_machine ;;
1) machine=$1 ;;
*) die "usage: $(basename "$0") [MACHINE]" ;;
esac
state=$("$podman" machine inspect --format '{{.State}}' "$machine" </dev/null | tr -d '\r') || state=
case $state in
running) ;;
'') die "podman has no machine \"$machine\": podman machine list shows those there are" ;;
*) die "the machine \"$machine\" is not running but $state: podman machine start $machine" ;;
esac

# ship PATH...: copies these of the checkout to a directory of the machine, which
# is removed in the end. No metadata of macOS: those would be files there.
ship() {
	shipped=$(COPYFILE_DISABLE=1 tar -cf - -C "$top" "$@" | on_machine 'd=$(mktemp -d /var/tmp/buildwatch-install.XXXXXXXX) && tar --no-same-owner --warning=no-unknown-keyword -xf - -C "$d" && echo "$d"' | tr -d '\r')
	case $shipped in
	/var/tmp/buildwatch-install.*) ;;
	*) die "copying to the machine failed" ;;
	esac
}

remove_shipped() {
	[ -z "$shipped" ] || on_machine "rm -rf '$shipped'" </dev/null
}
trap remove_shipped EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# inside VERB: the part that runs in the machine, as root.
inside() { on_machine "sudo -n sh '$shipped/dist/podman-machine/inside.sh' $1" </dev/null; }
