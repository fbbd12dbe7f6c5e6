#!/bin/sh
# Tells podman and buildah of the wrapper, or takes that back. The rules for it are
# here only: install.sh and uninstall.sh call this, and so do the scripts of packages,
# in which it is PREFIX/libexec/buildwatch/register.
#
#   PREFIX=/usr register on       links for the runtimes, then the drop-in
#   PREFIX=/usr register refresh  the same, but where the administrator removed the drop-in it stays away
#   PREFIX=/usr register off      the drop-in goes, then the links
#
# CONF_D is the directory of the drop-in (empty: there is none). A podman process
# looks its runtime up once, at its start, and may live for days: the path that it
# found goes on working for as long as one lives.
set -eu

libexec=$PREFIX/libexec/buildwatch
conf_d=${CONF_D-/etc/containers/containers.conf.d}
drop_in=$conf_d/50-buildwatch.conf
# Where there is no drop-in, this tells that it was here from that the administrator removed it.
registered=/var/lib/buildwatch/registered
# The real runtimes, until the next boot, for those that still hold the wrapper's path.
snippet=/etc/tmpfiles.d/buildwatch-removed.conf

# put_link TARGET LINK
put_link() {
	ln -s "$1" "$2.tmp$$"
	mv -fT "$2.tmp$$" "$2"
}

# host_rows prints the rows that fit this host's configuration. What the daemon's program
# says of other rows is for the administrator to read.
host_rows() { "$PREFIX/bin/buildwatchd" --print-runtimes; }

on() {
	for runtime in crun runc; do
		put_link buildwatch-runtime "$libexec/$runtime"
	done
	rm -f "$snippet" # what is installed now must outlive the boot
	label "$libexec"
	[ -n "$conf_d" ] || return 0
	rows=$(host_rows) || {
		echo "$PREFIX/bin/buildwatchd can't tell this host's runtimes: podman is not told of buildwatch" >&2
		exit 1
	}
	install -d "$conf_d"
	{
		sed '/^\[engine.runtimes\]/,$d' "$PREFIX/share/buildwatch/50-buildwatch.conf"
		printf '%s\n' "$rows"
	} >"$drop_in.tmp$$"
	chmod 0644 "$drop_in.tmp$$"
	# Its time tells doctor since when podman processes find the wrapper: an upgrade is not that.
	if [ "$(cat "$drop_in.tmp$$")" = "$(cat "$drop_in" 2>/dev/null)" ]; then
		rm -f "$drop_in.tmp$$"
	else
		mv -fT "$drop_in.tmp$$" "$drop_in"
	fi
	label "$drop_in"
	install -d -m 0700 "$(dirname "$registered")"
	: >"$registered"
}

refresh() {
	if [ -n "$conf_d" ] && [ -e "$registered" ] && [ ! -e "$drop_in" ]; then
		echo "$drop_in was removed here and stays away: podman does without buildwatch"
		conf_d=
	fi
	on
}

# label PATH: SELinux labels as the host's policy has them for these paths. A file's
# first label depends on where it was made.
label() {
	if command -v restorecon >/dev/null; then
		restorecon -R "$1" # does nothing where SELinux is off
	fi
}

# podman_lives: does any process run that may have found the wrapper? By its
# executable: a process can call itself what it likes.
podman_lives() {
	for exe in /proc/[0-9]*/exe; do
		path=$(readlink "$exe" 2>/dev/null) || continue
		case ${path%' (deleted)'} in
		*/podman | */buildah | */conmon) return 0 ;;
		esac
	done
	return 1
}

# podman_begins: may a process that has just begun be reading the configuration? It lists the
# directory first and opens each file then. One that goes in between fails it, and its build,
# with podman 4.3; later ones pass it over.
#
# Source: proc_pid_stat(5), starttime; findings/drop-in-that-has-gone-fails-podman.sh.
podman_begins() {
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v now="$(cut -d ' ' -f 1 /proc/uptime)" -v hz="$(getconf CLK_TCK)" '
		/^[0-9]+ \((podman|buildah|exe)\) / { if (now - $22 / hz < 0.2) begins = 1 }
		END { exit !begins }'
}

# real_runtime NAME prints where podman would find NAME without the wrapper: the first
# path of its row that exists, the wrapper's own aside.
real_runtime() {
	printf '%s\n' "$rows" | sed -n "s/^$1 = \[\(.*\)\]$/\1/p" | tr -d '" ' | tr ',' '\n' | while read -r path; do
		case $path in "$libexec"/*) continue ;; esac
		if [ -x "$path" ]; then
			echo "$path"
			break
		fi
	done
}

off() {
	if [ -n "$conf_d" ] && [ -e "$drop_in" ]; then
		rows=$(cat "$drop_in")
	else
		rows=$(host_rows 2>/dev/null) || rows=
	fi
	# First: podman processes that start from here on do without the wrapper.
	if [ -n "$conf_d" ]; then
		for _ in 0 1 2 3 4 5 6 7 8 9; do
			podman_begins || break
			sleep 0.3
		done
		rm -f "$drop_in"
	fi
	rm -f "$registered"
	if [ ! -d "$libexec" ] || ! podman_lives; then
		rm -f "$libexec/crun" "$libexec/runc" "$snippet"
		return 0
	fi
	install -d "$(dirname "$snippet")"
	echo '# Written as buildwatch was removed; removes itself too.' >"$snippet"
	for runtime in crun runc; do
		real=$(real_runtime "$runtime")
		if [ -n "$real" ]; then
			put_link "$real" "$libexec/$runtime"
			echo "r! $libexec/$runtime" >>"$snippet"
		else
			rm -f "$libexec/$runtime"
		fi
	done
	printf 'r! %s\n' "$libexec" "$snippet" >>"$snippet"
	echo "podman or buildah is running: $libexec/crun and runc lead to the real runtimes until the next boot removes them"
}

case ${1:-} in
on | refresh | off) "$1" ;;
*)
	echo 'usage: PREFIX=/usr register on|refresh|off' >&2
	exit 2
	;;
esac
