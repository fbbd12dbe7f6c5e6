#!/bin/bash
# github.com/openshift/imagebuilder v1.2.22 (what podman and buildah expand a Containerfile's variables with) and
# github.com/moby/buildkit v0.34.2, package frontend/dockerfile/shell (Docker's)
#
# Expansions that both take, without an error of imagebuilder's, and that come out differently:
# 1. `${VERSION:?must be set}` of a variable that is unset or empty is "must be set", the message itself, and no error;
# 2. `${TAG#v}` of v1 is v1: what would leave a single character is not removed. Of v12 it is 12;
# 3. `${IMAGE##*/}` of quay.io/team/app is team/app, and `${IMAGE%%/*}` quay.io/team: a * does not match a slash, so the
#    longest match is the shortest.
# BuildKit, and every shell, make an error, 1, app and quay.io of these.
#
# One would have guessed that an expansion which is accepted is the shell's: `${IMAGE##*/}` is how everybody takes the last
# part of a path, and `:?` is there to end the build.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/openshift/imagebuilder@v1.2.22 github.com/moby/buildkit@v0.34.2
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/openshift/imagebuilder"
)

func main() {
	word, env := os.Args[1], []string{"ONE=v1", "TWELVE=v12", "IMAGE=quay.io/team/app", "EMPTY="}
	podman, err := imagebuilder.ProcessWord(word, env)
	if err != nil {
		podman = "error"
	}
	docker, err := shell.NewLex('\\').ProcessWordWithMatches(word, shell.EnvsFromSlice(env))
	if err != nil {
		docker.Result = "error"
	}
	fmt.Printf("%s, %s\n", podman, docker.Result)
}
GO
both() { # both WORD EXPANDED: by imagebuilder, by buildkit
	claim "$1" "$2" "$(gorun "$1")"
}
both '${TWELVE#v}' "12, 12"
both '${IMAGE%/*}' "quay.io/team, quay.io/team"
both '${EMPTY:-default}' "default, default"
both '${UNSET:?must be set}' "must be set, error"
both '${EMPTY:?must be set}' "must be set, error"
both '${ONE#v}' "v1, 1"
both '${ONE%%1}' "v1, v"
both '${IMAGE##*/}' "team/app, app"
both '${IMAGE%%/*}' "quay.io/team, quay.io"
