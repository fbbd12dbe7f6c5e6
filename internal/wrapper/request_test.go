package wrapper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/internal/requestdir"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// contexts makes request directories as podman's API service does, one for each
// set of files.
func contexts(t *testing.T, all ...map[string]string) []string {
	t.Helper()
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	var dirs []string
	for i, files := range all {
		dir := filepath.Join(parent, requestdir.Prefix+string(rune('1'+i)))
		for name, content := range files {
			path := filepath.Join(dir, "build", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

func configOf(args ...string) []byte {
	config, err := json.Marshal(map[string]any{"process": map[string]any{"args": args}})
	if err != nil {
		panic(err)
	}
	return config
}

func TestRequestsAreToldApartByTheirSteps(t *testing.T) {
	const one, other = "FROM scratch\nRUN echo the first\n", "FROM scratch\nRUN echo the second\n"
	shell := func(step string) []byte { return configOf("/bin/sh", "-c", step) }
	for _, row := range []struct {
		name   string
		files  []map[string]string
		config []byte
		want   []int // indices
	}{
		{"one alone", []map[string]string{{"Containerfile": one}}, shell("anything"), []int{0}},
		{"by the step", []map[string]string{{"Containerfile": one}, {"Dockerfile": other}}, shell("echo the second"), []int{1}},
		{"in a file of any name, anywhere", []map[string]string{{"a/b": one}, {"Dockerfile": other}}, shell("echo the first"), []int{0}},
		{"the same step twice", []map[string]string{{"Containerfile": one}, {"Containerfile": one + "RUN true\n"}}, shell("echo the first"), []int{0, 1}},
		{"a step that is written nowhere", []map[string]string{{"Containerfile": one}, {"Containerfile": other}}, shell("ONBUILD's"), []int{0, 1}},
		{"an empty context", []map[string]string{{"Containerfile": one}, {"x/y": ""}, {}}, shell("echo the first"), []int{0}},
		{"continued lines", []map[string]string{{"Containerfile": other}, {"Containerfile": "RUN --mount=type=tmpfs,dst=/x \\\n  echo a && \\\n  # why\n  echo b\n"}},
			shell("echo a &&   echo b"), []int{1}},
		{"the other form", []map[string]string{{"Containerfile": other}, {"Containerfile": `RUN ["/bin/echo", "two words"]`}},
			configOf("/bin/echo", "two words"), []int{1}},
		{"no arguments", []map[string]string{{"Containerfile": one}, {"Containerfile": other}}, []byte(`{}`), []int{0, 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dirs := contexts(t, row.files...)
			var want []string
			for _, i := range row.want {
				want = append(want, dirs[i])
			}
			got := requests(row.config)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestLeftDirectoriesHideNoRequest: a service that is killed leaves those of its
// requests, more than may be named.
func TestLeftDirectoriesHideNoRequest(t *testing.T) {
	var all []map[string]string
	for range 3 * wire.MaxRequests {
		all = append(all, map[string]string{"Containerfile": "FROM scratch\nRUN echo of old\n"})
	}
	dirs := contexts(t, append(all, map[string]string{"Containerfile": "FROM scratch\nRUN echo now\n"})...)
	if got := requests(configOf("/bin/sh", "-c", "echo now")); !slices.Equal(got, dirs[len(all):]) {
		t.Errorf("%v, want %v", got, dirs[len(all):])
	}
	if got := requests(configOf("/bin/sh", "-c", "echo of old")); len(got) != 0 {
		t.Errorf("%d were told", len(got))
	}
}

// TestWhatCannotBeReadIsNotExcluded: files that would hold the wrapper, or that are
// too many.
func TestWhatCannotBeReadIsNotExcluded(t *testing.T) {
	const step = "echo the step"
	many := map[string]string{}
	for i := range maxFiles + 1 {
		many[strings.Repeat("x", 1+i%200)+"/"+strings.Repeat("y", 1+i/200)] = ""
	}
	dirs := contexts(t, map[string]string{"Containerfile": "RUN " + step}, many)
	if got := requests(configOf("/bin/sh", "-c", step)); len(got) != 2 {
		t.Errorf("of %v only %v are left", dirs, got)
	}
	// A FIFO and a link are no Containerfile, and hold nobody.
	dirs = contexts(t, map[string]string{"Containerfile": "RUN " + step}, map[string]string{"Containerfile": "RUN other"})
	if err := syscall.Mkfifo(filepath.Join(dirs[1], "build", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dirs[1], "build", "link")); err != nil {
		t.Fatal(err)
	}
	if got := requests(configOf("/bin/sh", "-c", step)); !slices.Equal(got, dirs[:1]) {
		t.Errorf("%v, want %v", got, dirs[:1])
	}
}

func FuzzEssence(f *testing.F) {
	f.Add("RUN [\"a\", \"b c\"] \\\n# d")
	f.Fuzz(func(t *testing.T, text string) {
		got := essence(withoutComments(text))
		if strings.ContainsAny(got, " \n\\\"#") || len(got) > len(text) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
