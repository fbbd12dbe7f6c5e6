package early

import (
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// directory is where a user's own configuration is, in two parts; without any, there is none.
type directory struct{ base, rest string }

// ownDirectory is the caller's by the environment, as podman.ConfigFiles has it. It returns
// false if the environment names other files, or says anything that is not plain.
func ownDirectory(env []*byte, root bool) (own directory, ok bool) {
	var home, config string
	for _, each := range env {
		variable := text(each)
		switch {
		case strings.HasPrefix(variable, podman.ConfigVariable): // and OverrideVariable
			return own, false
		case strings.HasPrefix(variable, podman.RootlessVariable+"="):
			// In a rootless podman's user namespace everybody is root.
			if variable == podman.RootlessVariable+"=0" || !allDigits(variable[len(podman.RootlessVariable+"="):]) {
				return own, false
			}
			root = false
		case home == "" && strings.HasPrefix(variable, "HOME="):
			home = variable[len("HOME="):]
		case config == "" && strings.HasPrefix(variable, "XDG_CONFIG_HOME="):
			config = variable[len("XDG_CONFIG_HOME="):]
		}
	}
	switch {
	case config != "":
		own = directory{config, "/" + podman.ConfigOfUser}
	case home != "":
		own = directory{home, "/" + podman.UserConfigDirectory + "/" + podman.ConfigOfUser}
	default:
		return own, true
	}
	if !plain(own.base) {
		return own, false
	}
	// Root's are believed only in root's own home: sudo may leave the caller's.
	if root && own.base != "/root" && !strings.HasPrefix(own.base, "/root/") {
		own = directory{}
	}
	return own, true
}

// plain reports whether a path is the only one of its meaning, but for links.
func plain(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasSuffix(path, "/") && !strings.HasSuffix(path, "/.") && !strings.HasSuffix(path, "/..") &&
		!strings.Contains(path, "//") && !strings.Contains(path, "/./") && !strings.Contains(path, "/../")
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
