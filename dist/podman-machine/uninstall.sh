#!/bin/sh
# Removes buildwatch from a running podman machine. Run on the host:
#   uninstall.sh [MACHINE]
# Builds and containers in the machine go on. See README.md beside this file.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

say "Copying the scripts to the machine \"$machine\""
ship dist man
inside uninstall
say "Done"
