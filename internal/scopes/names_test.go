package scopes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/limits"
)

func TestUnitNames(t *testing.T) {
	for _, id := range []string{"bcdfghjk", "2", "a-b"} {
		unit := UnitName(id)
		if got, ok := ParseUnitName(unit); !ok || got != id {
			t.Errorf("ParseUnitName(%q) = %q, %v; want %q", unit, got, ok, id)
		}
	}
	for _, unit := range []string{
		"", "buildwatch-", ".scope", "buildwatch-.scope", "buildwatch.scope", "buildwatch-x", "buildwatch-x.service",
		"buildwatch-x.scope.d", " buildwatch-x.scope", "crun-buildah-buildah1.scope", "xbuildwatch-x.scope",
	} {
		if id, ok := ParseUnitName(unit); ok {
			t.Errorf("ParseUnitName(%q) = %q", unit, id)
		}
	}
}

// TestContainerIsPlacedOnlyInARealScope: a builder in a cgroup namespace of its own makes
// the cgroups that it was told below its own.
func TestContainerIsPlacedOnlyInARealScope(t *testing.T) {
	for cgroup, want := range map[string]bool{
		"/system.slice/buildwatch-bcdf2345.scope/payload/run-buildah-buildah1":                                  true,
		"/system.slice/buildwatch-bcdf2345.scope":                                                               true,
		"/user.slice/user-1000.slice/buildwatch-bcdf2345.scope/payload/leaf":                                    true,
		"/system.slice/ci.service/system.slice/buildwatch-bcdf2345.scope/payload/run-buildah-buildah1":          false,
		"/user.slice/user-1000.slice/user@1000.service/app.slice/buildwatch-bcdf2345.scope/payload/run-buildah": false,
		"/buildah-buildah1": false,
		"/":                 false,
		"":                  false,
	} {
		if got := Holds(cgroup); got != want {
			t.Errorf("Holds(%q) = %v", cgroup, got)
		}
	}
}

func TestErrorsOfSystemdAreRecognisedByName(t *testing.T) {
	const (
		exists   = "org.freedesktop.systemd1.UnitExists"
		none     = "org.freedesktop.systemd1.NoSuchUnit"
		property = "org.freedesktop.DBus.Error.PropertyReadOnly"
	)
	shapes := map[string]func(name string) error{
		"a value":           func(name string) error { return dbus.Error{Name: name} },
		"a pointer":         func(name string) error { return &dbus.Error{Name: name} },
		"a wrapped value":   func(name string) error { return fmt.Errorf("call: %w", dbus.Error{Name: name}) },
		"a wrapped pointer": func(name string) error { return fmt.Errorf("call: %w", &dbus.Error{Name: name}) },
	}
	for shape, make := range shapes {
		for _, row := range []struct {
			is   func(error) bool
			name string
		}{{isUnitExists, exists}, {isNoSuchUnit, none}, {isUnknownProperty, property}} {
			for _, name := range []string{exists, none, property, "", row.name + "x"} {
				if got := row.is(make(name)); got != (name == row.name) {
					t.Errorf("%s: %q is taken for %q: %v", shape, name, row.name, got)
				}
			}
		}
	}
	// A message can say anything: only the name counts.
	if isNoSuchUnit(errors.New(none)) || isNoSuchUnit(dbus.Error{Body: []any{none}}) || isNoSuchUnit(nil) {
		t.Error("an error without the name is recognised")
	}
}

func TestPropertiesOfAScope(t *testing.T) {
	for _, plain := range []bool{false, true} {
		got := map[string]any{}
		for _, p := range properties(Spec{}, "user-1000.slice", []uint32{4711}, plain) {
			if _, twice := got[p.Name]; twice {
				t.Errorf("%s stands there twice", p.Name)
			}
			got[p.Name] = p.Value.Value()
		}
		want := map[string]any{
			"Slice": "user-1000.slice", "Delegate": true, "CollectMode": "inactive-or-failed",
			"KillSignal": int32(unix.SIGKILL), "TimeoutStopUSec": uint64(1_000_000), "OOMPolicy": "continue",
			"TasksMax": limits.Infinity,
		}
		if plain {
			delete(want, "OOMPolicy")
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("plain %v: %s is %#v, want %#v", plain, name, got[name], value)
			}
		}
		if pids, ok := got["PIDs"].([]uint32); !ok || len(pids) != 1 || pids[0] != 4711 {
			t.Errorf("PIDs is %#v", got["PIDs"])
		}
		if extra := len(got) - len(want) - 2; extra != 0 { // PIDs and Description
			t.Errorf("plain %v: %d properties more: %v", plain, extra, got)
		}
	}
	var _ []systemd.Property = properties(Spec{}, "", nil, false)
}

// TestBuildThatNoDefaultWouldBoundIsNotBoundedByIt: systemd bounds the tasks of each unit that
// says nothing of them.
func TestBuildThatNoDefaultWouldBoundIsNotBoundedByIt(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want any // nil for the default
	}{
		"in no unit without us": {Spec{}, limits.Infinity},
		"in units without us":   {Spec{InUnit: true}, nil},
		"limited":               {Spec{Limits: []limits.Value{{Name: "TasksMax", Value: uint64(7)}}}, uint64(7)},
		"limited, in units":     {Spec{InUnit: true, Limits: []limits.Value{{Name: "TasksMax", Value: uint64(7)}}}, uint64(7)},
		"otherwise limited":     {Spec{Limits: []limits.Value{{Name: "MemoryMax", Value: uint64(7)}}}, limits.Infinity},
	} {
		var got []any
		for _, p := range properties(test.spec, "system.slice", nil, false) {
			if p.Name == "TasksMax" {
				got = append(got, p.Value.Value())
			}
		}
		if test.want == nil && len(got) > 0 || test.want != nil && (len(got) != 1 || got[0] != test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// openDir holds an ordinary directory as if it were a cgroup: names are looked up
// in the same way.
func openDir(t *testing.T, dir string) *cgroup {
	t.Helper()
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &cgroup{dir: file, path: "/"}
	t.Cleanup(c.close)
	return c
}

func makeDirs(t *testing.T, base string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// CVE-2018-15687, CVE-2018-6954: a link in the place of a file, or of a
// directory on the way to it.
func TestNothingOutsideTheCgroupIsOpened(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base, "in/sub", "out")
	for _, name := range []string{"in/file", "in/sub/file", "out/file"} {
		if err := os.WriteFile(filepath.Join(base, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	symlink(t, "../out/file", filepath.Join(base, "in/link"))
	symlink(t, "file", filepath.Join(base, "in/inner"))
	symlink(t, "../out", filepath.Join(base, "in/dirlink"))
	symlink(t, "sub", filepath.Join(base, "in/sublink"))
	c := openDir(t, filepath.Join(base, "in"))

	for name, want := range map[string]string{"file": "in/file", "sub/file": "in/sub/file", "./file": "in/file"} {
		if got, err := c.read(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"..", "../out/file", "sub/../../out/file", filepath.Join(base, "in/file"), "/", "",
		"link", "inner", "dirlink/file", "sublink/file", "sub/none",
	} {
		if got, err := c.read(name); err == nil {
			t.Errorf("%q was opened: %q", name, got)
		}
		if err := c.write(name, "x"); err == nil {
			t.Errorf("%q was written", name)
		}
		if sub, err := c.sub(name); err == nil {
			sub.close()
			t.Errorf("%q was entered", name)
		}
	}
	if sub, err := c.ensure("dirlink"); err == nil {
		sub.close()
		t.Error("a link stands for a cgroup that has to be there")
	}
	if content, err := os.ReadFile(filepath.Join(base, "out/file")); err != nil || string(content) != "out/file" {
		t.Errorf("the file outside holds %q, %v", content, err)
	}

	// Another file system, mounted below.
	if proc, err := openDir(t, "/").sub("proc/self"); err == nil {
		proc.close()
		t.Error("another file system was entered")
	}
}

func TestOpenRootRefusesOtherFileSystems(t *testing.T) {
	for _, mount := range []string{t.TempDir(), "/proc", filepath.Join(t.TempDir(), "none")} {
		if c, err := openRoot(mount); err == nil {
			c.close()
			t.Errorf("%s passes for a cgroup v2 hierarchy", mount)
		}
	}
}

func TestUsersScopesAreInTheirSliceIfThereIsOne(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base, "user.slice/user-1000.slice", "user.slice/user-0.slice", "out")
	symlink(t, "../out", filepath.Join(base, "user.slice/user-1001.slice"))
	if err := os.WriteFile(filepath.Join(base, "user.slice/user-1002.slice"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m := &Manager{root: openDir(t, base)}
	for uid, want := range map[uint32]string{
		0: systemSlice, 1000: "user-1000.slice", 1001: systemSlice, 1002: systemSlice,
		1: systemSlice, 10001: systemSlice, 1<<32 - 1: systemSlice, // Attack 7: no slice is made for a subuid
	} {
		if got := m.sliceOf(uid); got != want {
			t.Errorf("UID %d: %s, want %s", uid, got, want)
		}
	}
}

func TestFindLooksForOurScopesOnly(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base,
		"system.slice/buildwatch-aaaaaaaa.scope/payload", "system.slice/buildwatchd.service", "system.slice/buildwatch-.scope",
		"system.slice/other.slice/buildwatch-cccccccc.scope",
		"user.slice/user-1000.slice/buildwatch-bbbbbbbb.scope", "user.slice/user-1000.slice/session-1.scope",
		"user.slice/user-1000.slice/user@1000.service/buildwatch-dddddddd.scope", // made by the user
		"user.slice/buildwatch-eeeeeeee.scope", "out/buildwatch-ffffffff.scope")
	symlink(t, "../out/buildwatch-ffffffff.scope", filepath.Join(base, "system.slice/buildwatch-ffffffff.scope"))
	symlink(t, "../out", filepath.Join(base, "user.slice/user-1.slice"))
	m := &Manager{root: openDir(t, base)}
	found := map[string]bool{}
	for _, s := range m.Find() {
		found[s.Cgroup()] = true
		if id, ok := ParseUnitName(s.Unit()); !ok || !strings.HasSuffix(s.Cgroup(), "/"+UnitName(id)) {
			t.Errorf("unit %q in %s", s.Unit(), s.Cgroup())
		}
		if _, err := s.Record(); err == nil {
			t.Errorf("%s has a record", s.Unit())
		}
		s.Close()
	}
	want := []string{"/system.slice/buildwatch-aaaaaaaa.scope", "/user.slice/user-1000.slice/buildwatch-bbbbbbbb.scope"}
	if len(found) != len(want) || !found[want[0]] || !found[want[1]] {
		t.Errorf("found %v, want %v", found, want)
	}
}
