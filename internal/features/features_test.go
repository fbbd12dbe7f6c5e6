package features

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestEveryFeatureOfTheKernelIsTriedOnce: all but the last, which is systemd's.
func TestEveryFeatureOfTheKernelIsTriedOnce(t *testing.T) {
	var tried []api.FeatureName
	for _, f := range Kernel(t.TempDir()) {
		tried = append(tried, f.Name)
		if f.Found == (f.Error != "") {
			t.Errorf("%s: found %v, error %q", f.Name, f.Found, f.Error)
		}
	}
	all := api.FeatureNames()
	if want := all[:len(all)-1]; !slices.Equal(tried, want) {
		t.Errorf("tried are %v, want %v", tried, want)
	}
}

func TestControllersAreThoseOfTheMount(t *testing.T) {
	mount := t.TempDir()
	if err := os.WriteFile(filepath.Join(mount, "cgroup.controllers"), []byte("cpu cpuset pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"cpu": true, "pids": true, "memory": false, "set": false} {
		if err := controller(mount, name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatATrySaysIsKept(t *testing.T) {
	if got := Try("x", func() error { return errors.New("no") }); got != (api.Feature{Name: "x", Error: "no"}) {
		t.Errorf("got %+v", got)
	}
	if got := Try("x", func() error { return nil }); got != (api.Feature{Name: "x", Found: true}) {
		t.Errorf("got %+v", got)
	}
}

// TestWhatThisKernelHas: nothing that runs these tests lacks them.
func TestWhatThisKernelHas(t *testing.T) {
	for name, try := range map[string]func() error{"pidfd": pidfd, "openat2": openat2, "inotify": inotify} {
		if err := try(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
