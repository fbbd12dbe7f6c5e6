// Package podmanmachinetest puts a stand-in for podman before all else in the
// PATH of a test. Its machine is this host: what podman machine ssh is to run,
// a shell here reads as sshd's would.
package podmanmachinetest

import (
	"os"
	"path/filepath"
	"testing"
)

// podman does what podman machine does with a machine that is there ("vm"), one
// that is stopped, one that ssh can't reach, and none.
const podman = `#!/bin/sh
fail() { echo "Error: $1" >&2; exit "${2:-125}"; }
case "$1 $2 $3" in
'machine list --format') printf "${MACHINES-vm*\nstopped\n}"; exit 0 ;;
'machine inspect --format')
	case $5 in
	vm | unreachable | podman-machine-default) echo running ;;
	stopped) echo stopped ;;
	*) fail "$5: VM does not exist" ;;
	esac
	exit 0 ;;
esac
[ "$*" != 'system connection list --format {{.Name}} {{.Default}}' ] || { printf "$CONNECTIONS"; exit; }
[ "$1 $2" = 'machine ssh' ] || fail "unexpected: $*"
machine=$3
shift 3
[ "$machine" != unreachable ] || { echo 'ssh: connect to host localhost port 1: Connection refused' >&2; exit 255; }
exec sh -c "$*"
`

// Machines lets the stand-in list machines, as podman does: a line for each, the default
// one with an asterisk.
func Machines(t *testing.T, list string) {
	t.Helper()
	t.Setenv("MACHINES", list)
}

// Install puts the stand-in into PATH, and a program that machines have beside
// it: a shell script.
func Install(t *testing.T, program, script string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"podman": podman, program: "#!/bin/sh\n" + script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}
