package wrapper

import (
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// systemdCgroup makes crun and runc read linux.cgroupsPath as
// "slice:prefix:name" instead of as a cgroup's path.
const systemdCgroup = "--systemd-cgroup"

// takesValue lists the flags of crun and runc that may stand before or after
// `create`, and whether a value follows. A call with any other flag is passed
// through, for its meaning is not known here.
//
// Source: containers/crun, src/crun.c and src/create.c; opencontainers/runc,
// main.go and create.go.
var takesValue = map[string]bool{
	// before the command
	"--root":       true,
	"--log":        true,
	"--log-format": true,
	"--log-level":  true,
	"--debug":      false,
	systemdCgroup:  false,
	// after it
	"--bundle":         true,
	"-b":               true,
	"--pid-file":       true,
	"--console-socket": true,
	"--preserve-fds":   true,
	"--pidfd-socket":   true,
	"--no-pivot":       false,
	"--no-new-keyring": false,
	"--no-subreaper":   false,
}

// creation is a call of the runtime that creates a build's RUN container.
type creation struct {
	bundle    string   // directory that holds config.json
	container string   // the container's ID
	placed    []string // the arguments for a container that has its cgroup in config.json
}

// parseCreate reads the arguments that follow the program's name. It returns
// false for every call that is not the creation of a build's RUN container in
// a form that is known in full.
func parseCreate(args []string) (creation, bool) {
	var c creation
	command := ""
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-" || arg == "--" || !strings.HasPrefix(arg, "-") {
			switch {
			case command == "":
				if arg != "create" {
					return creation{}, false
				}
				command = arg
			// A name tells which containers are worth a question; what the daemon does
			// rests on what the kernel says of the caller.
			case c.container == "" && strings.HasPrefix(arg, podman.ContainerPrefix):
				c.container = arg
			default:
				return creation{}, false
			}
			c.placed = append(c.placed, arg)
			continue
		}
		name, value, joined := strings.Cut(arg, "=")
		wantsValue, known := takesValue[name]
		if !known || joined && !wantsValue {
			return creation{}, false
		}
		if name == systemdCgroup {
			continue // left out of placed: cgroupsPath will be a path
		}
		c.placed = append(c.placed, arg)
		if wantsValue && !joined {
			if i++; i == len(args) {
				return creation{}, false
			}
			value = args[i]
			c.placed = append(c.placed, value)
		}
		if name == "--bundle" || name == "-b" {
			c.bundle = value
		}
	}
	if c.container == "" || !strings.HasPrefix(c.bundle, "/") {
		return creation{}, false
	}
	return c, true
}
