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

# From a Linux shell in Windows, podman has its Windows name.
podman=podman
command -v podman >/dev/null 2>&1 || podman=podman.exe
command -v "$podman" >/dev/null 2>&1 || die 'podman is not installed here'

# podman machine ssh would run a name that is no machine's as a command in the
# default machine.
[ $# -le 1 ] || die "usage: $(basename "$0") [MACHINE]"
machine=${1:-podman-machine-default}
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
