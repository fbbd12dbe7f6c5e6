#!/bin/bash
# github.com/containers/common v0.50.1 (podman 4.3.1 of Debian 12); v0.62.3 (podman 5.4) beside it
#
# A containers.conf that is not there is passed over, and so is a containers.conf.d. But the files of containers.conf.d are
# listed first and opened then, and one that is listed and can't be found any more is an error, of every podman and buildah
# command and of the processes that a build starts from itself. A package that is removed while builds run fails the build that
# lists the directory just then: "error in copier subprocess: … reading system config … no such file or directory". Here the
# file that is listed and not found is a link to nowhere, as a removed package may leave, so that no race is needed. v0.62.3
# passes such a file over.
#
# One would have guessed that what is gone counts as not there, as for the other files of the same configuration.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need setpriv
chmod 755 "$work"
install -d "$work/home/.config/containers/containers.conf.d"

# reads CALL: is the user's configuration read, and if not, is that since a file is not found?
reads() {
	cat >main.go <<-GO
		package main

		import (
			"fmt"
			"strings"

			"github.com/containers/common/pkg/config"
		)

		func main() {
			_, err := config.$1
			fmt.Println(err == nil, err != nil && strings.HasSuffix(err.Error(), "no such file or directory"))
		}
	GO
	gorun >/dev/null
	chmod 755 "$work/go" "$work/go/prog"
	env -i HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config" PATH="$PATH" setpriv --reuid 65534 --regid 65534 --clear-groups "$work/go/prog"
}

gomod github.com/containers/common@v0.50.1
claim "read, and 'not found', with an empty directory" "true false" "$(reads 'NewConfig("")')"
ln -s /nowhere "$work/home/.config/containers/containers.conf"
claim "with a containers.conf that leads nowhere" "true false" "$(reads 'NewConfig("")')"
ln -s /nowhere "$work/home/.config/containers/containers.conf.d/50-removed.conf"
claim "with a drop-in that leads nowhere" "false true" "$(reads 'NewConfig("")')"
rm -r "$work/go"
gomod github.com/containers/common@v0.62.3
claim "the same with v0.62.3" "true false" "$(reads 'New(nil)')"
