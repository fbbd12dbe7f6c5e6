#!/bin/sh
# Removes what install.sh installed: make uninstall calls it, with DESTDIR and
# PREFIX; podman-machine/inside.sh with UNITDIR and CONF_D too.
set -eu

here=$(dirname "$0")
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
libexec=$PREFIX/libexec/buildwatch
unit_dir=${UNITDIR:-$PREFIX/lib/systemd/system}
conf_d=${CONF_D-/etc/containers/containers.conf.d}

# First: podman processes that start from here on do without the wrapper.
if [ -z "$DESTDIR" ]; then
	CONF_D=$conf_d PREFIX=$PREFIX sh "$here/register.sh" off
else
	rm -f "${DESTDIR:?}$conf_d/50-buildwatch.conf" "$DESTDIR$libexec/crun" "$DESTDIR$libexec/runc"
fi

if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
	systemctl disable --quiet --now buildwatchd.socket buildwatchd-metrics.socket buildwatchd.service || true
fi
rm -f "$DESTDIR$unit_dir/buildwatchd.socket" "$DESTDIR$unit_dir/buildwatchd-metrics.socket" \
	"$DESTDIR$unit_dir/buildwatchd.service"
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

rm -f "$DESTDIR$libexec/buildwatch-runtime" "$DESTDIR$libexec/buildwatch-keeper" "$DESTDIR$libexec/buildwatch-reclaim" \
	"$DESTDIR$libexec/register" "$DESTDIR$PREFIX/share/buildwatch/50-buildwatch.conf" \
	"$DESTDIR$PREFIX/bin/buildwatchd" "$DESTDIR$PREFIX/bin/buildwatchctl"

rm -f "$DESTDIR$PREFIX/lib/systemd/catalog/buildwatch.catalog"
if [ -z "$DESTDIR" ] && command -v journalctl >/dev/null; then
	journalctl --update-catalog || true
fi

for page in "$here"/../man/*.[158]; do
	rm -f "$DESTDIR$PREFIX/share/man/man${page##*.}/$(basename "$page")"
done
rm -f "$DESTDIR$PREFIX/share/bash-completion/completions/buildwatchctl" \
	"$DESTDIR$PREFIX/share/zsh/site-functions/_buildwatchctl" \
	"$DESTDIR$PREFIX/share/fish/vendor_completions.d/buildwatchctl.fish"

rm -rf "$DESTDIR/var/lib/buildwatch" # the daemon's copy of its configuration

# The configuration goes only if nobody changed it.
config=$DESTDIR/etc/buildwatch/buildwatchd.toml
rm -f "$config.new"
if [ -e "$config" ]; then
	if cmp -s "$here/buildwatchd.toml" "$config"; then
		rm -f "$config"
	else
		echo "$config was changed here and stays"
	fi
fi
rmdir "$DESTDIR$libexec" "$DESTDIR$PREFIX/share/buildwatch" "$DESTDIR/etc/buildwatch/buildwatchd.toml.d" "$DESTDIR/etc/buildwatch" 2>/dev/null || true
