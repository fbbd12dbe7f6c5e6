package podman

import (
	"strconv"
	"strings"
)

// KeepsContainers reports whether a builder with this command line leaves its working
// containers on purpose. Who has so long a command line that it was not read to its end may.
//
// Source: containers/buildah 1.28 to 1.43, pkg/cli/build.go, GenBuildOptions:
// RemoveIntermediateCtrs, ForceRmIntermediateCtrs.
func KeepsContainers(args []string) bool {
	length := 0
	for _, arg := range args {
		length += len(arg) + 1
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name != "--rm" && name != "--force-rm" {
			continue
		}
		if remove, err := strconv.ParseBool(value); err != nil || !remove {
			return true
		}
	}
	return length > maxArgs
}

// maxArgs is how many bytes of a command line are read for certain: of 4 KiB the last argument
// may be cut off.
const maxArgs = 3 << 10
