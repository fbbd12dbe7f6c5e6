package podman

import (
	"bytes"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Where a distribution and an administrator configure podman, and what the files and the
// directories of drop-ins are called there. A user's own directory is called as ConfigOfUser
// says, in the user's directory for configurations or the default for that, in the home.
const (
	DistributionConfig  = "/usr/share/containers"
	AdministratorConfig = "/etc/containers"
	ConfigOfUser        = "containers"
	UserConfigDirectory = ".config"

	ConfigFile      = "containers.conf"
	ConfigDropIns   = ConfigFile + ".d"
	RootDropIns     = "containers.rootful.conf.d"
	RootlessDropIns = "containers.rootless.conf.d"
	RootlessConfig  = "containers.rootless.conf"
	MainConfig      = AdministratorConfig + "/" + ConfigFile
	DropInsOfMain   = AdministratorConfig + "/" + ConfigDropIns
	DropInSuffix    = ".conf"
)

// Variables of the environment that name the one file that is read, one that is read after
// all others, and who in a rootless podman's user namespace the user is outside of it.
const (
	ConfigVariable   = "CONTAINERS_CONF"
	OverrideVariable = ConfigVariable + "_OVERRIDE"
	RootlessVariable = "_CONTAINERS_ROOTLESS_UID"
)

// ConfigFiles lists the files that podman and buildah may read their configuration from, in
// the order in which a later one's setting replaces an earlier one's. They need not exist.
// list returns the files of a directory of drop-ins.
//
// Source: containers/common v0.64, pkg/config/new.go; container-libs of podman 6,
// storage/pkg/configfile/parse.go.
func ConfigFiles(getenv func(string) string, euid int, list func(directory string) []string) []string {
	override := getenv(OverrideVariable)
	var files []string
	if only := getenv(ConfigVariable); only != "" {
		files = []string{only}
	} else {
		files = ConfigFilesBelow("/", userDir(getenv, euid), rootlessUID(getenv, euid), list)
	}
	if override != "" {
		files = append(files, override)
	}
	return files
}

// rootlessUID is the user's number outside of the user namespace that rootless podman is
// in, and 0 for root.
//
// Source: containers/storage, pkg/unshare/unshare_linux.go, GetRootlessUID.
func rootlessUID(getenv func(string) string, euid int) int {
	if uid, err := strconv.Atoi(getenv(RootlessVariable)); err == nil && uid > 0 {
		return uid
	}
	return euid
}

// userDir is where the user's own files are, or "". Root's are believed only in root's
// own home: sudo may leave the caller's in the environment.
func userDir(getenv func(string) string, euid int) string {
	dir := getenv("XDG_CONFIG_HOME")
	if home := getenv("HOME"); dir == "" && home != "" {
		dir = path.Join(home, UserConfigDirectory)
	}
	if dir == "" || rootlessUID(getenv, euid) == 0 && !strings.HasPrefix(path.Clean(dir), "/root/") {
		return ""
	}
	return path.Join(dir, ConfigOfUser)
}

// ConfigFilesBelow are those of a host, whose root directory is given, and of a user, whose
// own directory may be none.
func ConfigFilesBelow(root, user string, uid int, list func(directory string) []string) []string {
	dropInsOf := RootDropIns
	if uid > 0 {
		dropInsOf = RootlessDropIns
	}
	dirs := []string{path.Join(root, DistributionConfig), path.Join(root, AdministratorConfig)}
	var files, dropIns []string
	for _, dir := range dirs {
		files = append(files, path.Join(dir, ConfigFile))
		special := path.Join(dir, dropInsOf)
		dropIns = append(dropIns, list(path.Join(dir, ConfigDropIns))...)
		dropIns = append(dropIns, list(special)...)
		if uid > 0 {
			dropIns = append(dropIns, list(path.Join(special, strconv.Itoa(uid)))...)
		}
	}
	if user != "" {
		files = append(files, path.Join(user, ConfigFile))
		dropIns = append(dropIns, list(path.Join(user, ConfigDropIns))...)
	}
	slices.SortStableFunc(dropIns, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	files = append(files, dropIns...)
	if uid > 0 {
		files = append(files, path.Join(root, AdministratorConfig, RootlessConfig))
	}
	return files
}

// Config is what one file of the configuration says of runtimes.
type Config struct {
	Rows    map[string][]string // by runtime
	Default string              // the runtime that is used where none is asked for
}

// ReadConfig looks for nothing but runtimes. It is the zero value for a file that says nothing
// of them, or that podman could not read either. The parser is the TOML library's own, without
// the decoder: that one would cost every call of the runtime a tenth of a millisecond.
//
// Source: containers.conf(5), [engine]: runtime, runtimes.
func ReadConfig(content []byte) Config {
	if !mentions(content) {
		return Config{}
	}
	found := Config{Rows: map[string][]string{}}
	var parser unstable.Parser
	parser.Reset(bytes.TrimPrefix(content, []byte("\ufeff"))) // as podman's own does
	var table []string
	for parser.NextExpression() {
		switch e := parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = keys(e.Key())
		case unstable.KeyValue:
			found.set(append(slices.Clone(table), keys(e.Key())...), e.Value())
		}
	}
	if parser.Error() != nil {
		return Config{}
	}
	return found
}

func keys(parts unstable.Iterator) []string {
	var list []string
	for parts.Next() {
		list = append(list, string(parts.Node().Data))
	}
	return list
}

// set takes a value that has the key, or the part of a value.
func (s *Config) set(key []string, value *unstable.Node) {
	// podman's own decoder does not mind the case of what is no name.
	is := func(i int, name string) bool { return len(key) > i && strings.EqualFold(key[i], name) }
	switch {
	case !is(0, "engine"):
	case value.Kind == unstable.InlineTable:
		for parts := value.Children(); parts.Next(); {
			s.set(append(slices.Clone(key), keys(parts.Node().Key())...), parts.Node().Value())
		}
	case is(1, "runtime") && len(key) == 2 && value.Kind == unstable.String:
		s.Default = string(value.Data)
	case is(1, "runtimes") && len(key) == 3 && value.Kind == unstable.Array:
		paths := []string{}
		for each := value.Children(); each.Next(); {
			if each.Node().Kind == unstable.String {
				paths = append(paths, string(each.Node().Data))
			}
		}
		s.Rows[key[2]] = paths
	}
}

// mentions reports whether a line that is no comment may set a runtime: most files need
// not be parsed, and every call of the runtime comes through here.
func mentions(content []byte) bool {
	for line := range strings.Lines(string(content)) {
		line = strings.TrimLeft(line, " \t")
		if len(line) > 0 && line[0] != '#' && NamesRuntimes(line) {
			return true
		}
	}
	return false
}

// NamesRuntimes reports whether a line may have the name of a table or a key of runtimes, in
// either case. It allocates nothing.
func NamesRuntimes(line string) bool {
	const part = "untime"
	for at := 0; at+len(part) <= len(line); at++ {
		same := 0
		for same < len(part) && line[at+same]|0x20 == part[same] {
			same++
		}
		if same == len(part) {
			return true
		}
	}
	return false
}
