#!/bin/sh
# Runs podman's and buildah's own tests in the test machine (make upstream), with the wrapper
# registered and without it, and says of which the results differ. There is no network: an
# image of busybox stands in for all of theirs, and the tests in ./network are left out.
# What the stand-in does not have fails both times.
#
#   run.sh SUITE FILTER FILE…     FILTER: a regular expression of tests' names; FILE: such as bud
set -eu

here=$PWD/test/upstream
from=$PWD/build/upstream/$1
filter=$2
shift 2
register=$PWD/dist/register.sh
upstream=/var/tmp/upstream
results=/var/tmp/results
images=$upstream/images
drop_in=/etc/containers/containers.conf.d/50-buildwatch.conf
export PREFIX=/usr/local BATS_TEST_TIMEOUT=180

# stand_in DIR: an image of busybox with what tests of builds look for in Alpine's.
stand_in() {
	root=$(mktemp -d)
	mkdir -p "$root/bin" "$root/etc" "$root/home/podman" "$root/root" "$root/tmp" "$root/usr/bin" "$root/usr/local/bin" "$root/usr/sbin" "$root/var/tmp"
	chmod 0755 "$root"
	chmod 1777 "$root/tmp" "$root/var/tmp"
	install /usr/share/buildwatch-test/amd64/busybox "$root/bin/busybox"
	for name in $("$root/bin/busybox" --list); do
		[ "$name" = busybox ] || ln -s /bin/busybox "$root/bin/$name"
	done
	ln -s bin "$root/sbin"
	ln -s /bin/env "$root/usr/bin/env"
	printf '%s\n' root:x:0:0:root:/root:/bin/sh bin:x:1:1:bin:/bin:/bin/false daemon:x:2:2:daemon:/sbin:/bin/false \
		guest:x:405:100:guest:/dev/null:/bin/false nobody:x:65534:65534:nobody:/:/bin/false >"$root/etc/passwd"
	printf '%s\n' root:x:0:root bin:x:1:root,bin,daemon daemon:x:2:root,bin,daemon users:x:100: nobody:x:65534: >"$root/etc/group"
	echo 'Welcome to Alpine Linux 3.20' >"$root/etc/issue"
	echo 3.20.3 >"$root/etc/alpine-release"
	printf 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n' >"$root/etc/os-release"
	echo localhost >"$root/etc/hostname"
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	echo 20241011 >"$root/home/podman/testimage-id"
	container=$(buildah from scratch)
	buildah copy --quiet "$container" "$root" / >/dev/null
	buildah config --cmd /bin/sh --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
	buildah commit --quiet --format docker "$container" "dir:$1" >/dev/null
	buildah rm "$container" >/dev/null
	rm -rf "$root"
}

# leave_out FILE.bats: skips the tests in it that need a network.
leave_out() {
	awk -v list="$here/network" -v file="$(basename "$1" .bats)" '
		BEGIN { while ((getline line < list) > 0) left[line] = 1 }
		{ print }
		/^@test "/ { name = $0; sub(/^@test "/, "", name); sub(/" *\{$/, "", name); if (file ": " name in left) print "skip \"it needs a network\"" }
	' "$1" >"$1.new"
	mv "$1.new" "$1"
}

# prepare: the tests, and the images where they look for them before they ask a registry.
prepare() {
	mkdir -p "$results" "$images"
	cp -r "$from/." "$upstream"
	# A machine has no controller of PIDs, and may not raise limits.
	printf '[containers]\npids_limit = 0\n' >/etc/containers/containers.conf.d/10-upstream.conf
	leave_out "$upstream/podman/test/system/070-build.bats"
	leave_out "$upstream/podman/test/system/030-run.bats"
	leave_out "$upstream/buildah/tests/bud.bats"
	leave_out "$upstream/buildah/tests/run.bats"
	# The tests build their HTTP server with Go.
	cat >"$upstream/buildah/bin/go" <<-EOF
		#!/bin/sh
		cp "$upstream/buildah/bin/serve" "\$3"
	EOF
	chmod +x "$upstream/buildah/bin/go"
	sed 's/"nofile=500:500",/&\n"nproc=4096:4096",/' "$upstream/buildah/tests/containers.conf" >"$upstream/containers.conf"
	stand_in "$images/docker.io-library-alpine-"
	for image in docker.io-library-busybox- docker.io-library-ubuntu- quay.io-libpod-testimage-20221018-; do
		cp -r "$images/docker.io-library-alpine-" "$images/$image"
	done
}

# podmans FILE: TAP of one of podman's files.
podmans() {
	podman system reset --force >/dev/null 2>&1
	tag=$(sed -n 's/^PODMAN_TEST_IMAGE_TAG=.*"\(.*\)"}/\1/p' "$upstream/podman/test/system/helpers.bash")
	skopeo copy --quiet "dir:$images/docker.io-library-alpine-" "containers-storage:quay.io/libpod/testimage:$tag"
	(cd "$upstream/podman" && PODMAN=/usr/bin/podman bats --tap --filter "$filter" "test/system/$1.bats")
}

# buildahs FILE: TAP of one of buildah's, which have a configuration of their own.
buildahs() {
	cp "$upstream/containers.conf" "$upstream/buildah/tests/containers.conf"
	[ ! -e "$drop_in" ] || cat "$drop_in" >>"$upstream/buildah/tests/containers.conf"
	(cd "$upstream/buildah" && _BUILDAH_IMAGE_CACHEDIR=$images BUILDAH_BINARY=/usr/bin/buildah bats --tap --filter "$filter" "tests/$1.bats")
}

# try KIND FILE: the results, a line for each test, in $results/FILE.KIND.
try() {
	case $2 in
	[0-9]*) podmans "$2" ;;
	*) buildahs "$2" ;;
	esac >"$results/$2.$1.tap" 2>&1 || true # that tests fail is no failure
	sed -nE "s/ # timeout after [0-9.]+s$//;s/^(ok|not ok) [0-9]+ (\[[0-9]+\] )?(.*)/\3: \1/p" "$results/$2.$1.tap" >"$results/$2.$1"
	printf '%s, %s the wrapper: %s pass, %s fail, %s are skipped\n' "$2" "$1" "$(grep -v ' # skip' "$results/$2.$1" | grep -c ': ok$')" \
		"$(grep -c ': not ok$' "$results/$2.$1")" "$(grep -c ' # skip' "$results/$2.$1")"
}

prepare
status=0
for file; do
	sh "$register" on
	systemctl start buildwatchd.socket buildwatchd.service
	try with "$file"
	systemctl stop buildwatchd.socket buildwatchd.service
	sh "$register" off
	try without "$file"
	grep -Fx -f "$results/$file.with" "$results/$file.without" | sed -n "s/^\(.*\): not ok$/$file, fails both ways: \1/p"
	if [ ! -s "$results/$file.without" ]; then
		echo "$file: nothing was tried:"
		tail -n 20 "$results/$file.without.tap"
		status=1
	fi
	if ! diff "$results/$file.without" "$results/$file.with" >"$results/$file.diff"; then
		echo "$file: without the wrapper (<) and with it (>) these results differ:"
		cat "$results/$file.diff"
		sed -n 's/^> \(.*\): not ok$/\1/p' "$results/$file.diff" | while read -r name; do
			awk -v name="$name" 'index($0, name) && /^not ok/ { on = 1; print; next } /^(ok|not ok) / { on = 0 } on' "$results/$file.with.tap"
		done
		status=1
	fi
done
[ $status -ne 0 ] || echo 'the same results'
exit $status
