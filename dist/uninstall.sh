#!/bin/sh
# Removes what install.sh installed: make uninstall calls it, with DESTDIR and
# PREFIX; podman-machine/inside.sh with UNITDIR and CONF_D too. A podman process looks its runtime up once, at its start, and may live
# for days: the path that it found goes on working for as long as one lives.
set -eu

here=$(dirname "$0")
libexec=$PREFIX/libexec/buildwatch
unit_dir=${UNITDIR:-$PREFIX/lib/systemd/system}
conf_d=${CONF_D-/etc/containers/containers.conf.d}
drop_in=$DESTDIR$conf_d/50-buildwatch.conf
if [ -z "$conf_d" ] || [ ! -e "$drop_in" ]; then
	drop_in=$here/containers/50-buildwatch.conf.in
fi
rows=$(cat "$drop_in")
snippet=/etc/tmpfiles.d/buildwatch-removed.conf

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

# real_runtime NAME prints where podman would find NAME without the wrapper:
# the first path of the drop-in's row that exists, the wrapper's own aside.
real_runtime() {
	printf '%s\n' "$rows" | sed -n "s/^$1 = \[\(.*\)\]$/\1/p" | tr -d '" ' | tr ',' '\n' | while read -r path; do
		case $path in @PREFIX@* | "$libexec"/*) continue ;; esac
		if [ -x "$path" ]; then
			echo "$path"
			break
		fi
	done
}

# First: podman processes that start from here on do without the wrapper.
if [ -n "$conf_d" ]; then
	rm -f "$DESTDIR$conf_d/50-buildwatch.conf"
fi

if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
	systemctl disable --quiet --now buildwatchd.socket buildwatchd.service || true
fi
rm -f "$DESTDIR$unit_dir/buildwatchd.socket" \
	"$DESTDIR$unit_dir/buildwatchd.service"
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

if [ -z "$DESTDIR" ] && [ -d "$libexec" ] && podman_lives; then
	install -d /etc/tmpfiles.d
	echo '# Written by "make uninstall" of buildwatch; removes itself too.' >"$snippet"
	for runtime in crun runc; do
		real=$(real_runtime "$runtime")
		if [ -n "$real" ]; then
			ln -s "$real" "$libexec/$runtime.tmp$$"
			mv -fT "$libexec/$runtime.tmp$$" "$libexec/$runtime"
			echo "r! $libexec/$runtime" >>"$snippet"
		else
			rm -f "$libexec/$runtime"
		fi
	done
	printf 'r! %s\n' "$libexec" "$snippet" >>"$snippet"
	echo "podman or buildah is running: $libexec/crun and runc lead to the real runtimes until the next boot removes them"
else
	rm -f "$DESTDIR$libexec/crun" "$DESTDIR$libexec/runc" "$DESTDIR$snippet"
fi
rm -f "$DESTDIR$libexec/buildwatch-runtime" "$DESTDIR$libexec/buildwatch-keeper" \
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
rmdir "$DESTDIR$libexec" "$DESTDIR/etc/buildwatch/buildwatchd.toml.d" "$DESTDIR/etc/buildwatch" 2>/dev/null || true
