#!/bin/sh
# Installs what "make build" has built: make install calls it, with DESTDIR and
# PREFIX; podman-machine/inside.sh with BUILT, UNITDIR and CONF_D too, the
# directories of the programs, of units and of drop-ins for containers.conf
# (empty: no drop-in); packages/build.sh with CTL, a buildwatchctl that runs here. Every
# file appears whole or not at all, by a rename: running builds execute the wrapper ten
# times a second.
set -eu

here=$(dirname "$0")
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
built=${BUILT:-$here/../build}
unit_dir=${UNITDIR:-$PREFIX/lib/systemd/system}
conf_d=${CONF_D-/etc/containers/containers.conf.d}
ctl=${CTL:-$built/buildwatchctl}
libexec=$DESTDIR$PREFIX/libexec/buildwatch

# put MODE FROM TO
put() {
	install -d "$(dirname "$3")"
	install -m "$1" "$2" "$3.tmp$$"
	mv -fT "$3.tmp$$" "$3"
}

# put_template FROM TO: @PREFIX@ filled in.
put_template() {
	install -d "$(dirname "$2")"
	sed "s|@PREFIX@|$PREFIX|g" "$1" >"$2.tmp$$"
	chmod 0644 "$2.tmp$$"
	mv -fT "$2.tmp$$" "$2"
}

# put_completion SHELL TO: buildwatchctl itself writes the script.
put_completion() {
	install -d "$(dirname "$2")"
	if "$ctl" completion "$1" >"$2.tmp$$"; then
		chmod 0644 "$2.tmp$$"
		mv -fT "$2.tmp$$" "$2"
	else # built for another architecture
		rm -f "$2.tmp$$"
		echo "$2 is not installed: buildwatchctl does not run here" >&2
	fi
}

# put_config FROM TO: what an administrator has changed is never overwritten.
put_config() {
	if [ ! -e "$2" ]; then
		put 0644 "$1" "$2"
	elif ! cmp -s "$1" "$2"; then
		put 0644 "$1" "$2.new"
		echo "$2 was changed here and stays as it is; the new default is $2.new"
	fi
}

# label PATH...: SELinux labels as the host's policy has them for these paths. A
# file's first label depends on where it was made, and systemd starts no program
# with a wrong one.
label() {
	if [ -z "$DESTDIR" ] && command -v restorecon >/dev/null; then
		restorecon -R "$@" # does nothing where SELinux is off
	fi
}

# update_catalog: the texts that journalctl -x shows.
update_catalog() {
	if [ -z "$DESTDIR" ] && command -v journalctl >/dev/null; then
		journalctl --update-catalog || echo "journalctl -x does not explain buildwatch's entries" >&2
	fi
}

umask 022
for program in buildwatchd buildwatchctl buildwatch-runtime buildwatch-keeper buildwatch-reclaim; do
	[ -x "$built/$program" ] || {
		echo "$built/$program is missing: run make build first" >&2
		exit 1
	}
done

put 0755 "$built/buildwatchd" "$DESTDIR$PREFIX/bin/buildwatchd"
put 0755 "$built/buildwatchctl" "$DESTDIR$PREFIX/bin/buildwatchctl"
put 0755 "$built/buildwatch-keeper" "$libexec/buildwatch-keeper"
put 0755 "$built/buildwatch-reclaim" "$libexec/buildwatch-reclaim"
put 0755 "$built/buildwatch-runtime" "$libexec/buildwatch-runtime"
put 0755 "$here/register.sh" "$libexec/register"
put_template "$here/containers/50-buildwatch.conf.in" "$DESTDIR$PREFIX/share/buildwatch/50-buildwatch.conf"
for unit in buildwatchd.socket buildwatchd-metrics.socket buildwatchd.service; do
	put_template "$here/systemd/$unit.in" "$DESTDIR$unit_dir/$unit"
done
put 0644 "$here/systemd/buildwatch.catalog" "$DESTDIR$PREFIX/lib/systemd/catalog/buildwatch.catalog"
for page in "$here"/../man/*.[158]; do
	put 0644 "$page" "$DESTDIR$PREFIX/share/man/man${page##*.}/$(basename "$page")"
done
put_completion bash "$DESTDIR$PREFIX/share/bash-completion/completions/buildwatchctl"
put_completion zsh "$DESTDIR$PREFIX/share/zsh/site-functions/_buildwatchctl"
put_completion fish "$DESTDIR$PREFIX/share/fish/vendor_completions.d/buildwatchctl.fish"
put_config "$here/buildwatchd.toml" "$DESTDIR/etc/buildwatch/buildwatchd.toml"

label "$DESTDIR$PREFIX/bin/buildwatchd" "$DESTDIR$PREFIX/bin/buildwatchctl" "$libexec" \
	"$DESTDIR$unit_dir/buildwatchd.socket" "$DESTDIR$unit_dir/buildwatchd-metrics.socket" "$DESTDIR$unit_dir/buildwatchd.service" \
	"$DESTDIR/etc/buildwatch"

update_catalog

# Last: from here on podman uses what is all in place. Of a host that is made elsewhere the
# configuration is not known: its rows are those of the template. A package registers itself.
if [ -z "$DESTDIR" ]; then
	CONF_D=$conf_d PREFIX=$PREFIX sh "$here/register.sh" on
elif [ -n "$conf_d" ]; then
	for runtime in crun runc; do
		ln -sfT buildwatch-runtime "$libexec/$runtime"
	done
	put_template "$here/containers/50-buildwatch.conf.in" "$DESTDIR$conf_d/50-buildwatch.conf"
fi
