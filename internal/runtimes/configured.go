package runtimes

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/sys/unix"
)

// DropIn is the name of the file that makes podman call the wrapper. What it says is
// not what podman would do without it.
const DropIn = "50-buildwatch.conf"

// Program is the wrapper's file. Links with the runtimes' names lead to it.
const Program = "buildwatch-runtime"

// maxConfig is the size of the largest configuration file that is read, in bytes.
const maxConfig = 1 << 20

// Files lists the files that podman and buildah may read their runtimes' paths from, in
// the order in which a later one's row replaces an earlier one's. They need not exist.
//
// Up to podman 5 all main files are read, then the drop-ins of /etc, then the user's;
// podman 6 reads one main file, and then the drop-ins of all directories by their
// names. One order stands here for both: ours is a drop-in of /etc, and podman calls the
// wrapper only where no row replaces ours. So what sorts differently is what has no
// such row, or names the wrapper itself.
//
// Source: containers/common v0.64, pkg/config/new.go; container-libs of podman 6,
// storage/pkg/configfile/parse.go.
func Files(getenv func(string) string, euid int) []string {
	override := getenv("CONTAINERS_CONF_OVERRIDE")
	var files []string
	if only := getenv("CONTAINERS_CONF"); only != "" {
		files = []string{only}
	} else {
		files = configured("/", userDir(getenv, euid), rootlessUID(getenv, euid))
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
	if uid, err := strconv.Atoi(getenv("_CONTAINERS_ROOTLESS_UID")); err == nil && uid > 0 {
		return uid
	}
	return euid
}

// userDir is where the user's own files are, or "". Root's are believed only in root's
// own home: sudo may leave the caller's in the environment.
func userDir(getenv func(string) string, euid int) string {
	dir := getenv("XDG_CONFIG_HOME")
	if home := getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	if dir == "" || rootlessUID(getenv, euid) == 0 && !strings.HasPrefix(filepath.Clean(dir), "/root/") {
		return ""
	}
	return filepath.Join(dir, "containers")
}

// configured lists them below a root directory.
func configured(root, user string, uid int) []string {
	kind := "rootful"
	if uid > 0 {
		kind = "rootless"
	}
	dirs := []string{filepath.Join(root, "usr/share/containers"), filepath.Join(root, "etc/containers")}
	var files, dropIns []string
	for _, dir := range dirs {
		files = append(files, filepath.Join(dir, "containers.conf"))
		special := filepath.Join(dir, "containers."+kind+".conf.d")
		dropIns = append(dropIns, list(filepath.Join(dir, "containers.conf.d"))...)
		dropIns = append(dropIns, list(special)...)
		if uid > 0 {
			dropIns = append(dropIns, list(filepath.Join(special, strconv.Itoa(uid)))...)
		}
	}
	if user != "" {
		files = append(files, filepath.Join(user, "containers.conf"))
		dropIns = append(dropIns, list(filepath.Join(user, "containers.conf.d"))...)
	}
	slices.SortStableFunc(dropIns, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	files = append(files, dropIns...)
	if uid > 0 {
		files = append(files, filepath.Join(root, "etc/containers/containers.rootless.conf"))
	}
	return files
}

// list returns a directory's drop-ins. One that can't be read has none.
func list(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".conf") {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	return files
}

// Settings is what one file says of runtimes.
type Settings struct {
	File    string
	Rows    map[string][]string // by runtime
	Default string              // the runtime that is used where none is asked for
}

// read returns what a file says. It is the zero value for one that says nothing of
// rows, that is not there, or that podman could not read either.
func read(name string) Settings {
	content, err := readFile(name)
	if err != nil || !mentions(content) {
		return Settings{}
	}
	return parse(name, content)
}

// parse looks for nothing but runtimes. Its parser is the TOML library's own, without
// the decoder: that one would cost every call of the runtime a tenth of a millisecond.
func parse(name string, content []byte) Settings {
	found := Settings{File: name, Rows: map[string][]string{}}
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
		return Settings{}
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
func (s *Settings) set(key []string, value *unstable.Node) {
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
	for line := range bytes.Lines(content) {
		line = bytes.TrimLeft(line, " \t")
		if len(line) > 0 && line[0] != '#' && bytes.Contains(line, []byte("untime")) {
			return true
		}
	}
	return false
}

// readFile reads a regular file, without waiting for anybody.
func readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	// Not as an os.File: for one that does not block Go sets up its poller.
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxConfig {
		return nil, unix.EINVAL
	}
	content := make([]byte, 0, st.Size+1)
	for len(content) < cap(content) {
		n, err := unix.Read(fd, content[len(content):cap(content)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return content, nil
		}
		content = content[:len(content)+n]
	}
	return nil, unix.EAGAIN // it grows while it is read
}

// row is where podman would look for a runtime without our drop-in: the last row that
// the files have for it, or what podman has compiled in.
func row(name string, files []string) []string {
	paths := table[name]
	for _, file := range files {
		if filepath.Base(file) == DropIn {
			continue
		}
		if own, ok := read(file).Rows[name]; ok {
			paths = own
		}
	}
	return paths
}
