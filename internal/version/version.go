// Package version says which build of buildwatch a program is. It knows
// nothing else and imports nothing of the project.
package version

import (
	"runtime/debug"
	"sync"
)

// Version is set by the linker, see the Makefile.
var Version = "0.1.0-dev"

// Revision returns the commit that the program was built from, with "-dirty"
// if the checkout differed from it, or "" if the build did not record it.
var Revision = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return revision(info.Settings)
})

func revision(settings []debug.BuildSetting) string {
	var commit, dirty string
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if commit == "" {
		return ""
	}
	return commit + dirty
}
