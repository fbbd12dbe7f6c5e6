package runtimes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Host is where rows are looked at as an administrator sees them: when the wrapper is
// registered, and when the daemon starts. Files of users are not looked at.
type Host struct {
	Root     string                            // of the file system
	Libexec  string                            // the directory of the wrapper's links
	LookPath func(name string) (string, error) // exec.LookPath
	// Registering: the drop-in is about to be put in its place, and counts as if it were there.
	Registering bool
}

// ThisHost is the host that this program runs on.
func ThisHost(libexec string) Host { return Host{Root: "/", Libexec: libexec, LookPath: exec.LookPath} }

// Rows returns the drop-in's rows: the wrapper, and after it what stood there before,
// so that podman goes on by itself where the wrapper is missing. A runtime that podman
// would only find by $PATH has none: the wrapper does not look there. why says so.
func (h Host) Rows() (rows string, why []string) {
	files := h.files(0)
	for _, name := range podman.Runtimes() {
		paths := slices.DeleteFunc(slices.Clone(row(name, files)), IsWrapper)
		if found, err := h.LookPath(name); err == nil && !slices.ContainsFunc(paths, h.exists) && !IsWrapper(found) {
			why = append(why, fmt.Sprintf("%s is found by $PATH only, at %s: builds with it are not placed into scopes, unless [engine.runtimes] of %s names that path", name, found, podman.MainConfig))
			continue
		}
		quoted := make([]string, 0, len(paths)+1)
		for _, path := range append([]string{filepath.Join(h.Libexec, name)}, paths...) {
			quoted = append(quoted, fmt.Sprintf("%q", path))
		}
		rows += fmt.Sprintf("%s = [%s]\n", name, strings.Join(quoted, ", "))
	}
	return rows, why
}

// files are those of root, or of a user, without the user's own.
func (h Host) files(uid int) []string { return podman.ConfigFilesBelow(h.Root, "", uid, list) }

func (h Host) exists(path string) bool {
	info, err := os.Stat(filepath.Join(h.Root, path))
	return err == nil && info.Mode().IsRegular()
}

// Bypasses says which files make builds go round the wrapper, root's or users', where
// nothing else is asked for: by a row that replaces the drop-in's, or by a default that
// is another runtime. Such builds are observed.
func (h Host) Bypasses() []string {
	var found []string
	for _, uid := range []int{0, noUID} {
		found = append(found, h.bypasses(h.files(uid))...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// noUID is a user for whom no directory is meant.
const noUID = 1<<32 - 2

func (h Host) bypasses(files []string) []string {
	type setting struct {
		file  string
		paths []string
	}
	last := map[string]setting{}
	byDefault := struct{ file, runtime string }{}
	if h.Registering {
		files = withDropIn(files, filepath.Join(h.Root, podman.DropInsOfMain, DropIn))
	}
	for _, file := range files {
		said := read(file)
		if h.Registering && filepath.Base(file) == DropIn {
			said.Rows = map[string][]string{}
			for _, name := range podman.Runtimes() {
				said.Rows[name] = []string{filepath.Join(h.Libexec, name)}
			}
		}
		for name, paths := range said.Rows {
			last[name] = setting{file, paths}
		}
		if said.Default != "" {
			byDefault.file, byDefault.runtime = file, said.Default
		}
	}
	var found []string
	for _, name := range podman.Runtimes() {
		row, ok := last[name]
		if ok && filepath.Base(row.file) != DropIn && !slices.ContainsFunc(row.paths, h.leadsToUs) {
			found = append(found, fmt.Sprintf("%s has a row for %s that replaces that of %s: builds with %s go round the wrapper. Where they should not, name %s first in that row",
				row.file, name, DropIn, name, filepath.Join(h.Libexec, name)))
		}
	}
	if d := byDefault.runtime; d != "" && !slices.Contains(podman.Runtimes(), d) {
		found = append(found, fmt.Sprintf("%s has %q as the runtime that is used by default: builds go round the wrapper, which stands before crun and runc by these names only", byDefault.file, d))
	}
	return found
}

// withDropIn has the drop-in among the files, where podman will read it.
func withDropIn(files []string, dropIn string) []string {
	isOurs := func(file string) bool { return filepath.Base(file) == DropIn }
	if slices.ContainsFunc(files, isOurs) {
		return files
	}
	after := slices.IndexFunc(files, func(file string) bool {
		return filepath.Base(file) > DropIn && filepath.Base(file) != podman.ConfigFile
	})
	if after < 0 {
		after = len(files)
	}
	return slices.Insert(slices.Clone(files), after, dropIn)
}

// BypassesOf is Bypasses of one caller: what makes the builds go round the wrapper of
// whoever has these Files.
func (h Host) BypassesOf(files []string) []string { return h.bypasses(files) }

// Chosen is what podman takes for a runtime by these files: the first path of the row
// that is there, and what is there really; both are empty where nothing is.
func (h Host) Chosen(name string, files []string) (chosen, program string) {
	paths := table[name]
	for _, file := range files {
		if own, ok := read(file).Rows[name]; ok {
			paths = own
		}
	}
	for _, path := range paths {
		if h.exists(path) {
			chosen = path
			break
		}
	}
	for _, path := range row(name, files) {
		if h.exists(path) && !IsWrapper(path) {
			return chosen, path
		}
	}
	return chosen, ""
}

// LeadsToUs reports whether a path is that of the wrapper.
func (h Host) LeadsToUs(path string) bool { return h.leadsToUs(path) }

func (h Host) leadsToUs(path string) bool {
	return filepath.Dir(path) == filepath.Clean(h.Libexec) || IsWrapper(path)
}
