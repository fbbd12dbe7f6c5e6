package request

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// startWith starts a process with one variable in its environment.
func startWith(t *testing.T, variable string) *proc.Handle {
	t.Helper()
	return hold(t, proctest.Shell(t, "", func(cmd *exec.Cmd) { cmd.Env = []string{variable} }))
}

func hold(t *testing.T, c *proctest.Child) *proc.Handle {
	t.Helper()
	h, err := proc.Open(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func pathsOf(dirs []Dir) []string {
	var paths []string
	for _, d := range dirs {
		paths = append(paths, d.Path)
	}
	return paths
}

// TestCandidatesAreTheUsersWhereTheServiceMakesThem and nowhere else.
func TestCandidatesAreTheUsersWhereTheServiceMakesThem(t *testing.T) {
	const none = "LOGLEVEL=4"
	dir := makeDir(t)
	ofTmp := strings.Replace(dir, "/var/tmp", "/tmp", 1)
	if err := os.Mkdir(ofTmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(ofTmp) })
	uid := uint32(os.Getuid())
	for _, row := range []struct {
		service, monitor string
		uid              uint32
		want, not        string // one that must be among them, or all may be missing, and one that must not
	}{
		{none, none, uid, dir, ofTmp},
		{none, "TMPDIR=/var/tmp", uid, dir, ofTmp},
		{none, "TMPDIR=/tmp", uid, ofTmp, dir},
		{"TMPDIR=/tmp", none, uid, ofTmp, dir},
		{"TMPDIR=/var/tmp", "TMPDIR=/tmp", uid, ofTmp, dir},
		{none, none, uid + 1, "", dir},           // attack 17: another user's keeps nobody's build
		{none, "TMPDIR=/var/tmp/", uid, "", dir}, // podman's own is not written so
		{none, "TMPDIR=" + t.TempDir(), uid, "", dir},
	} {
		service, monitor := startWith(t, row.service), startWith(t, row.monitor)
		dirs, err := NewWatcher(proc.NewReader()).dirsOf(t.Context(), service, monitor, row.uid)
		got := pathsOf(dirs)
		if err != nil || row.want != "" && !slices.Contains(got, row.want) || slices.Contains(got, row.not) {
			t.Errorf("%+v: %v, %v", row, got, err)
		}
	}
}

// TestCandidateIsNoOlderThanItsService: a service that was killed leaves directories.
// Where the clock was set since, or nobody knows, it may be this service's.
func TestCandidateIsNoOlderThanItsService(t *testing.T) {
	w := NewWatcher(proc.NewReader())
	dir, err := look(makeDir(t))
	if err != nil {
		t.Fatal(err)
	}
	kept := dir.Birth != 0                        // else it may be this service's
	proctest.After(t, time.Now(), slack+slack/10) // the time of a start is exact to this
	service := startWith(t, "X=")
	young, err := look(makeDir(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.clock.older(dir, service); got != kept {
		t.Errorf("a directory that is older than the service is: %v", got)
	}
	if w.clock.older(young, service) {
		t.Error("a directory is older than the service that has made it")
	}
	set := w.clock
	set.epoch = set.epoch.Add(-time.Hour)
	if set.older(dir, service) || newClock().older(dir, service) {
		t.Error("a directory is older by a clock that was set, or that nobody knows")
	}
}

// TestArchivesRequestIsNotThatOfAContextElsewhere: who builds where the context lies has
// a directory without one.
func TestArchivesRequestIsNotThatOfAContextElsewhere(t *testing.T) {
	archive, empty := makeDir(t), makeDir(t)
	remove(t, filepath.Join(empty, podman.RequestContext))
	service := startWith(t, "X=")
	for told, want := range map[string]bool{"": true, "/home/user/context": false, archive + "/buildah123": true} {
		dirs, err := NewWatcher(proc.NewReader()).candidates(t.Context(), service, service, uint32(os.Getuid()), told)
		got := pathsOf(dirs)
		if err != nil || !slices.Contains(got, empty) || slices.Contains(got, archive) != want {
			t.Errorf("%q: %v, %v", told, got, err)
		}
	}
}

// TestPlaceOfADirectory is the same for two that are one, however they are reached.
func TestPlaceOfADirectory(t *testing.T) {
	mount := func(device, root, point string) *procfs.MountInfo {
		return &procfs.MountInfo{MajorMinorVer: device, Root: root, MountPoint: point}
	}
	host := []*procfs.MountInfo{mount("8:1", "/", "/"), mount("0:30", "/", "/tmp")}
	for _, row := range []struct {
		name        string
		inside      []*procfs.MountInfo
		varTmp, tmp bool // are the host's
	}{
		{name: "the host's", inside: host, varTmp: true, tmp: true},
		{name: "PrivateTmp", inside: append(slices.Clone(host),
			mount("0:30", "/systemd-private-1/tmp", "/tmp"), mount("8:1", "/var/tmp/systemd-private-1/tmp", "/var/tmp"))},
		{name: "a bind of itself", inside: append(slices.Clone(host), mount("8:1", "/var/tmp", "/var/tmp")), varTmp: true, tmp: true},
		{name: "below it, and of a longer name", inside: append(slices.Clone(host), mount("0:40", "/", "/var/tmp/x"), mount("0:40", "/", "/var/tmpfs")), varTmp: true, tmp: true},
		{name: "hidden again", inside: append(slices.Clone(host), mount("0:41", "/", "/var/tmp"), mount("8:1", "/var/tmp", "/var/tmp")), varTmp: true, tmp: true},
		{name: "another root", inside: []*procfs.MountInfo{mount("8:2", "/", "/")}},
		{name: "none"},
	} {
		for dir, same := range map[string]bool{"/var/tmp": row.varTmp, "/tmp": row.tmp} {
			if got := placeOf(dir, row.inside) == placeOf(dir, host); got != same {
				t.Errorf("%s: %s is the host's: %v", row.name, dir, got)
			}
		}
	}
}
