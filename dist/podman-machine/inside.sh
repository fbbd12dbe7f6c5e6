#!/bin/sh
# The part of install.sh and uninstall.sh that runs in the machine, as root, from
# the directory that they have copied there. It finds out where this machine can
# be written to, leaves the work to ../install.sh and ../uninstall.sh, and looks
# at what came of it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dist=$here/..
cd /
# Found at boot wherever the programs are, and before /var is mounted.
unit_dir=/etc/systemd/system
conf_d=/etc/containers/containers.conf.d
drop_in=$conf_d/50-buildwatch.conf
sudoers=/etc/sudoers.d/50-buildwatch

say() { echo "==> $*"; }

die() {
	echo "buildwatch: $*" >&2
	exit 1
}

# can_run_from DIR: may programs be put there, and run? Where it does not exist,
# its parent is asked. Looked at, since images differ: /usr is read-only, and
# /usr/local is a link into /var on some, and a part of /usr on others.
can_run_from() {
	dir=$1
	[ -d "$dir" ] || dir=$(dirname "$dir")
	probe=$(mktemp "$dir/.buildwatch.XXXXXXXX" 2>/dev/null) || return 1
	result=1
	if printf '#!/bin/sh\n' >"$probe" && chmod 0755 "$probe" && "$probe" 2>/dev/null; then
		result=0
	fi
	rm -f "$probe"
	return $result
}

# choose_prefix: where it is installed already, else the first that can be used.
# buildwatchctl --machine looks in the same ones.
choose_prefix() {
	prefix=$(sed -n 's|^ExecStart=\(.*\)/bin/buildwatchd$|\1|p' "$unit_dir/buildwatchd.service" 2>/dev/null || true)
	[ -z "$prefix" ] || return 0
	for prefix in /usr/local /opt/buildwatch; do
		if can_run_from "$prefix"; then
			return 0
		fi
	done
	prefix=
}

# host_mounted: is /etc/containers the host's ~/.config/containers? podman 6
# mounts it there. What is written to it changes the user's own configuration.
host_mounted() { awk '$5 == "/etc/containers" {found = 1} END {exit !found}' /proc/self/mountinfo; }

wanted_drop_in() { sed "s|@PREFIX@|$prefix|g" "$dist/containers/50-buildwatch.conf.in"; }

# is_on_host: has the user put the drop-in there? From Windows it may have CRs.
is_on_host() { [ -e "$drop_in" ] && [ "$(tr -d '\r' <"$drop_in")" = "$(wanted_drop_in)" ]; }

# as USER COMMAND: as podman machine ssh would run it for that user.
as() {
	if [ "$1" = root ]; then
		sh -c "$2"
	else
		runuser --login "$1" --command "XDG_RUNTIME_DIR=/run/user/$(id -u "$1"); export XDG_RUNTIME_DIR; $2"
	fi
}

# find_users: who runs containers here? Root, and those who linger, as podman
# sets its machine's user up; if podman works for them as things are.
find_users() {
	users=
	for file in root /var/lib/systemd/linger/*; do
		user=${file##*/}
		id "$user" >/dev/null 2>&1 || continue
		if as "$user" 'podman info' >/dev/null 2>&1; then
			users="$users $user"
		else
			echo "podman does not work for $user, also without a change from here"
		fi
	done
}

# withdraw WHY: builds must not suffer from what does not work.
withdraw() {
	if [ -n "$conf_d" ]; then
		rm -f "$drop_in"
		die "$1. The drop-in $drop_in was taken back: builds go on without buildwatch"
	fi
	die "$1. Builds go on without it; if they do not, remove 50-buildwatch.conf on the host"
}

verify() {
	for unit in buildwatchd.socket buildwatchd.service; do
		systemctl is-active --quiet "$unit" || withdraw "$unit is not active: systemctl status $unit says why"
	done
	version=$("$prefix/bin/buildwatchctl" version) || withdraw 'buildwatchctl does not answer'
	case $version in
	*'not running'*) withdraw 'buildwatchctl finds no daemon' ;;
	esac
	echo "$version"
	bad=
	for user in $users; do
		found=$(as "$user" "podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}} {{.Host.OCIRuntime.Version}}'" | sed -n 1p) || found=
		name=${found%% *}
		case $found in
		'' | '  ') withdraw "podman info fails for $user" ;;
		"$name $prefix/libexec/buildwatch/$name "*"$name version "*) echo "podman of $user: $name, by $prefix/libexec/buildwatch/$name" ;;
		*) bad="$bad $user ($found)" ;;
		esac
	done
	[ -z "$bad" ] || die "installed, but podman does not use the wrapper for:$bad. Does a containers.conf of theirs name another runtime?"
}

# Of sudo's own path /usr/local/bin is a part on some distributions, /opt/buildwatch/bin
# on none.
found_by_sudo() { as "$1" "sudo -n sh -c 'command -v buildwatchctl'" >/dev/null 2>&1; }

# sudo_path: what sudo searches instead of its caller's PATH, or nothing.
sudo_path() { sudo -V | sed -n "s/^Value to override user's \$PATH with: //p"; }

# let_sudo_find: the place of buildwatchctl comes last in the path of the machine's users,
# who may do all by sudo anyway; of nobody else's. Rules that sudo does not like, or that do
# not help, are taken back: podman itself needs sudo in its machine.
let_sudo_find() {
	path=$(sudo_path)
	lacking=
	for user in $users; do
		case $user in
		root | *[!a-zA-Z0-9_-]*) continue ;;
		esac
		if as "$user" 'sudo -n true' 2>/dev/null && ! found_by_sudo "$user"; then
			lacking="$lacking $user"
		fi
	done
	case $lacking:$path in
	:* | *: | *:*[!a-zA-Z0-9_./:-]*) ;;
	*)
		for user in $lacking; do
			printf 'Defaults:%s secure_path = "%s"\n' "$user" "$path:$prefix/bin"
		done | (umask 0337 && cat >"$sudoers.new")
		if visudo -cqf "$sudoers.new"; then
			mv -fT "$sudoers.new" "$sudoers"
		fi
		rm -f "$sudoers.new"
		;;
	esac
	for user in $lacking; do
		if found_by_sudo "$user"; then
			echo "sudo of $user finds buildwatchctl, by $sudoers"
			continue
		fi
		rm -f "$sudoers"
		echo "sudo of $user does not find buildwatchctl by its name alone: sudo $prefix/bin/buildwatchctl"
	done
}

# mention_services: a service that runs has looked the runtime up already.
mention_services() {
	for user in $users; do
		systemctl=systemctl
		[ "$user" = root ] || systemctl='systemctl --user'
		if as "$user" "$systemctl is-active --quiet podman.service" 2>/dev/null; then
			echo "podman's API service of $user is running: its builds are supervised from its next start on (it ends 5 s after its last client)"
		fi
	done
}

install() {
	say 'Looking for a place for programs'
	choose_prefix
	[ -n "$prefix" ] || die 'neither /usr/local nor /opt can be written to and run from. Nothing was changed'
	echo "$prefix"
	if host_mounted; then
		conf_d=
		if ! is_on_host; then
			{
				echo "buildwatch: this machine shows the host's ~/.config/containers (Windows: %APPDATA%\\containers)"
				echo "as its /etc/containers, as machines of podman 6 do. What is to be there is yours to put there."
				echo "Save the lines below on the host, as ~/.config/containers/containers.conf.d/50-buildwatch.conf,"
				echo "and run this again. They do no harm where buildwatch is not installed. Nothing was changed."
				echo
				wanted_drop_in
			} >&2
			exit 1
		fi
		echo "the drop-in on the host is as it should be"
	fi

	find_users
	say "Installing in $prefix"
	chmod 0755 "$here"/../../build/linux-*/*
	BUILT=$(echo "$here"/../../build/linux-*) DESTDIR='' PREFIX=$prefix UNITDIR=$unit_dir CONF_D=$conf_d \
		sh "$dist/install.sh" || withdraw 'not all could be installed'

	say 'Starting the daemon'
	systemctl daemon-reload || withdraw 'systemd does not take the units'
	systemctl enable --quiet buildwatchd.socket buildwatchd.service || withdraw 'systemd does not enable the units'
	systemctl start buildwatchd.socket || withdraw 'buildwatchd.socket does not start'
	# Of an upgrade the old one runs. Builds do not notice.
	systemctl restart buildwatchd.service || withdraw 'buildwatchd does not start: journalctl -u buildwatchd says why'

	say 'Looking at the result'
	verify
	let_sudo_find
	mention_services
}

uninstall() {
	choose_prefix
	[ -n "$prefix" ] || prefix=/usr/local
	if host_mounted; then
		conf_d=
		if [ -e "$drop_in" ]; then
			echo "50-buildwatch.conf is the host's: remove it there, from ~/.config/containers/containers.conf.d (Windows: %APPDATA%\\containers\\containers.conf.d)"
		fi
	fi
	find_users
	rm -f "$sudoers" "$sudoers.new"
	say "Removing what is in $prefix; the drop-in first"
	DESTDIR='' PREFIX=$prefix UNITDIR=$unit_dir CONF_D=$conf_d sh "$dist/uninstall.sh"
	if [ "$prefix" = /opt/buildwatch ] && [ -d "$prefix" ]; then
		find "$prefix" -depth -type d -empty -delete
	fi

	say 'Looking at the result'
	for unit in buildwatchd.socket buildwatchd.service; do
		if systemctl is-active --quiet "$unit"; then
			die "$unit is still active"
		fi
	done
	for user in $users; do
		found=$(as "$user" "podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'" | sed -n 1p) || die "podman info fails for $user"
		echo "podman of $user: $found"
		case $found in
		*/libexec/buildwatch/*) [ -z "$conf_d" ] || die "podman of $user still uses the wrapper" ;;
		esac
	done
}

# image: into a system's image, of which nothing runs: see Containerfile. All is below /usr,
# which is replaced as a whole when the image is; podman 5 reads drop-ins in /etc only, and
# podman 6 may have the host's there.
image() {
	case $(uname -m) in
	x86_64) arch=amd64 ;;
	aarch64) arch=arm64 ;;
	*) die "there are no programs for $(uname -m)" ;;
	esac
	BUILT=$dist/../build/linux-$arch DESTDIR='' PREFIX=/usr UNITDIR=/usr/lib/systemd/system CONF_D='' sh "$dist/install.sh"
	for conf_d in /etc/containers/containers.conf.d /usr/share/containers/containers.conf.d; do
		CONF_D=$conf_d PREFIX=/usr sh /usr/libexec/buildwatch/register on
	done
	for wanted in multi-user.target.wants/buildwatchd.service sockets.target.wants/buildwatchd.socket; do
		mkdir -p "/usr/lib/systemd/system/${wanted%/*}"
		ln -sf "../${wanted#*/}" "/usr/lib/systemd/system/$wanted"
	done
}

case ${1:-} in
install | uninstall | image) "$1" ;;
*) die "usage: inside.sh install|uninstall|image" ;;
esac
