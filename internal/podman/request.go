package podman

import (
	"path"
	"strings"
)

// The API service's handler of a build makes a directory for the request, by os.MkdirTemp
// in $TMPDIR, which podman sets to TemporaryDirectory where it is not set, and removes it
// when it returns. A context that was sent as an archive is in it.
//
// Source: containers/podman 4.3 to 6.0, pkg/api/handlers/compat/images_build.go,
// BuildImage, extractTarFile; cmd/podman/root.go, persistentPreRunE.
const (
	RequestPrefix      = "libpod_builder"
	RequestContext     = "build"
	TemporaryVariable  = "TMPDIR"
	TemporaryDirectory = "/var/tmp"
)

// IsRequest reports whether a directory is called as that of a request.
func IsRequest(directory string) bool {
	digits, ok := strings.CutPrefix(path.Base(directory), RequestPrefix)
	return ok && len(digits) <= 20 && isAll(digits, decimal)
}

// RequestOf is the request's directory that a context lies in, if it is one that was
// sent to the service as an archive.
func RequestOf(context string) (directory string, ok bool) {
	directory, base := path.Split(context)
	directory = path.Clean(directory)
	return directory, base == RequestContext && strings.HasPrefix(path.Base(directory), RequestPrefix)
}

// ContextMember begins the member that names a build's context, in the JSON document that
// the builder hands to the monitor of a step.
//
// Source: containers/buildah 1.28 to 1.44, run_common.go, runUsingRuntimeSubproc,
// runUsingRuntimeMain; run.go, RunOptions.
const ContextMember = `"ContextDir":"`
