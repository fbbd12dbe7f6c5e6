package wrapper

import (
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

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
		wantsValue, known := podman.CreateFlag(name)
		if !known || joined && !wantsValue {
			return creation{}, false
		}
		if name == podman.SystemdCgroup {
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
		if name == podman.Bundle || name == podman.BundleShort {
			c.bundle = value
		}
	}
	if c.container == "" || !strings.HasPrefix(c.bundle, "/") {
		return creation{}, false
	}
	return c, true
}
