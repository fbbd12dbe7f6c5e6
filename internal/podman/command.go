package podman

import (
	"slices"
	"strings"
)

// Purpose is what a process of a program that can build is there for.
type Purpose string

// Purposes.
const (
	// Builds: it builds, and does nothing else.
	Builds Purpose = "builds"
	// Serves: it is podman's API service, and builds for its clients.
	Serves Purpose = "serves"
	// Unknown: it may do something else as well, or what it does is not known.
	Unknown Purpose = "unknown"
)

// A Command is what may be shown of a command line, and what it means. Nothing else of
// it is kept: --build-arg holds tokens.
type Command struct {
	Name    string // program and verb, such as "podman build"
	Purpose Purpose
}

// verb is a verb of podman's or buildah's. Two words of it may be a command and the
// command below that.
type verb struct {
	words   []string
	purpose Purpose
	// stages: it makes the working containers of a build, which it removes when it ends in
	// order, and no others.
	stages bool
}

// podmanVerbs are those that build. `kube play` builds on its way, and then runs an
// application. A .build file of Quadlet's is run as `podman build`. `podman compose`
// executes another program, which asks the API service.
//
// Source: containers/podman 4.3 to 6.0, cmd/podman: images/build.go, images/buildx.go,
// farm/build.go, kube/play.go, system/service.go, compose.go;
// pkg/systemd/quadlet/quadlet.go, ConvertBuild.
var podmanVerbs = []verb{
	{[]string{"build"}, Builds, true},
	{[]string{"image", "build"}, Builds, true},
	{[]string{"buildx", "build"}, Builds, true},
	{[]string{"builder", "build"}, Builds, true},
	{[]string{"farm", "build"}, Builds, true},
	{[]string{"system", "service"}, Serves, true},
	{[]string{"kube", "play"}, Unknown, true},
	{[]string{"play", "kube"}, Unknown, true},
	{[]string{"compose"}, Unknown, false},
	{[]string{"run"}, Unknown, false},
}

// buildahVerbs are those that build: `run` runs one step of a build.
//
// Source: containers/buildah 1.28 to 1.43, cmd/buildah/build.go and run.go.
var buildahVerbs = []verb{
	{[]string{"build"}, Builds, true},
	{[]string{"build-using-dockerfile"}, Builds, true},
	{[]string{"bud"}, Builds, true},
	{[]string{"run"}, Builds, false},
}

// grammar is how a program's command line is read up to its verb.
type grammar struct {
	verbs []verb
	// switches are the flags before which no value follows, rootSwitches those of them
	// that are known before the first word only.
	switches, rootSwitches []string
	values                 []string // the flags with a value
	// dashes: "--" ends the search for a verb. podman's takes it for a flag with a value.
	dashes bool
}

// Source: containers/podman 4.3 to 6.0, cmd/podman/root.go, rootFlags, whose root
// command has TraverseChildren.
var podmanGrammar = grammar{
	verbs:        podmanVerbs,
	switches:     []string{"--transient-store", "--trace", "--help", "--syslog"},
	rootSwitches: []string{"--noout", "--remote", "-r", "--debug", "-D"},
	values: []string{
		"--ssh", "--connection", "-c", "--url", "--host", "-H", "--config", "--context", "--identity", "--tls-cert", "--tls-key",
		"--tls-ca", "--tls-details", "--out", "--module", "--cgroup-manager", "--cpu-profile", "--memory-profile", "--conmon",
		"--network-config-dir", "--network-cmd-path", "--default-mounts-file", "--events-backend", "--hooks-dir", "--cdi-spec-dir",
		"--max-workers", "--namespace", "--network-backend", "--root", "--registries-conf", "--runroot", "--imagestore",
		"--pull-option", "--runtime", "--db-backend", "--storage-driver", "--tmpdir", "--volumepath", "--storage-opt",
		"--log-level", "--runtime-flag",
	},
}

// Source: containers/buildah 1.28 to 1.43, cmd/buildah/main.go, mainInit.
var buildahGrammar = grammar{
	verbs:    buildahVerbs,
	switches: []string{"--debug", "--transient-store"},
	values: []string{
		"--registries-conf", "--registries-conf-dir", "--short-name-alias-conf", "--root", "--runroot", "--cgroup-manager",
		"--storage-driver", "--imagestore", "--storage-opt", "--userns-uid-map", "--userns-gid-map", "--default-mounts-file",
		"--log-level", "--cpu-profile", "--memory-profile",
	},
	dashes: true,
}

// ReadCommand reads the command line of a program, args[0] included, as the program
// itself does. In doubt the purpose is Unknown, or Serves for what may be a service: such
// a process is never signalled.
func ReadCommand(program string, args []string) Command {
	var g grammar
	switch program {
	case "podman":
		g = podmanGrammar
	case "buildah":
		g = buildahGrammar
	default:
		return otherCommand(program, args)
	}
	if len(args) == 0 {
		return Command{program, Unknown}
	}
	found, certain := g.find(args[1:])
	switch {
	case !certain && mayServe(args[1:]):
		return Command{program + " system service", Serves}
	case found == nil:
		return Command{program, Unknown}
	case !certain:
		return Command{program + " " + strings.Join(found.words, " "), Unknown}
	}
	return Command{program + " " + strings.Join(found.words, " "), found.purpose}
}

// MakesStages reports whether a program with that verb, a Command's name, makes the working
// containers of a build, which it removes when it ends in order, and no others.
func MakesStages(command string) bool {
	program, words, _ := strings.Cut(command, " ")
	of := map[string][]verb{"podman": podmanVerbs, "buildah": buildahVerbs}[program]
	return slices.ContainsFunc(of, func(v verb) bool { return v.stages && strings.Join(v.words, " ") == words })
}

// MayMakeContainers reports whether a builder of that name and command line can make working
// containers of its own accord. Each of buildah's verbs may.
func MayMakeContainers(program string, args []string) bool {
	command := ReadCommand(program, args)
	return program != builders[0] || command.Purpose != Unknown || MakesStages(command.Name)
}

// find looks for the verb, nil for one that is not among those known. It is not certain
// with a flag of which it is not known whether a value follows.
//
// Source: spf13/cobra 1.10, command.go, Traverse, which podman has asked for, and Find,
// which differ in how they take "--"; a flag that is not known has a value. No command may
// be abbreviated.
func (g grammar) find(args []string) (found *verb, certain bool) {
	var words []string
	certain, value := true, false
	for _, arg := range args {
		switch {
		case arg == "--" && g.dashes:
			return nil, certain
		case strings.HasPrefix(arg, "--") && !strings.Contains(arg, "="), isShort(arg):
			isSwitch := slices.Contains(g.switches, arg) || len(words) == 0 && slices.Contains(g.rootSwitches, arg)
			certain = certain && (isSwitch || arg == "--" || slices.Contains(g.values, arg))
			value = !isSwitch
			continue
		case value:
			value = false
			continue
		case strings.HasPrefix(arg, "-"):
			continue
		}
		words = append(words, arg)
		begun := false
		for i, v := range g.verbs {
			if slices.Equal(v.words, words) {
				return &g.verbs[i], certain
			}
			begun = begun || len(v.words) > len(words) && slices.Equal(v.words[:len(words)], words)
		}
		if !begun {
			return nil, certain
		}
	}
	return nil, certain
}

// isShort reports whether an argument is one flag of one letter, after which a value may
// follow. In others the value, if there is one, is in the same argument.
func isShort(arg string) bool { return len(arg) == 2 && arg[0] == '-' && arg != "--" && arg != "-=" }

// mayServe reports whether a command line that can't be read for certain may be that of
// the API service.
func mayServe(args []string) bool {
	i := slices.Index(args, "system")
	return i >= 0 && slices.Contains(args[i:], "service")
}

// otherCommand is that of a program of which it is not known how its command line is read: it is
// shown with its first word if that is one of the verbs known here. One that is podman's
// service by podman's grammar is taken for podman by another name.
func otherCommand(program string, args []string) Command {
	if len(args) < 2 {
		return Command{program, Unknown}
	}
	if found, certain := podmanGrammar.find(args[1:]); found != nil && certain && found.purpose == Serves {
		return Command{program + " " + strings.Join(found.words, " "), Serves}
	}
	for _, verbs := range [][]verb{buildahVerbs, podmanVerbs} {
		for _, v := range verbs {
			if len(args) > len(v.words) && slices.Equal(args[1:1+len(v.words)], v.words) {
				return Command{program + " " + strings.Join(v.words, " "), Unknown}
			}
		}
	}
	return Command{program, Unknown}
}
