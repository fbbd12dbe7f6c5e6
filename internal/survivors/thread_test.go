package survivors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func FuzzParseDevice(f *testing.F) {
	f.Add("0:65")
	f.Fuzz(func(t *testing.T, device string) {
		if number, ok := parseDevice(device); ok {
			var major, minor uint32
			if n, err := fmt.Sscanf(device, "%d:%d", &major, &minor); n != 2 || err != nil || number != major<<20|minor {
				t.Errorf("%q is device %d: %v", device, number, err)
			}
		}
	})
}

func TestParseDevice(t *testing.T) {
	t.Parallel()
	for majorMinor, want := range map[string]uint32{"0:65": 65, "8:1": 8<<20 | 1, "0:1048575": 1<<20 - 1} {
		if got, ok := parseDevice(majorMinor); !ok || got != want {
			t.Errorf("%s is %d, %v", majorMinor, got, ok)
		}
	}
	for _, bad := range []string{"", "0", "0:", ":1", "a:b", "-1:2", "0:1048576", "4096:1"} {
		if got, ok := parseDevice(bad); ok {
			t.Errorf("%q is %d", bad, got)
		}
	}
}

func TestMountsOf(t *testing.T) {
	t.Parallel()
	mounts := mountsOf([]*procfs.MountInfo{
		{MountID: 1, MajorMinorVer: "0:65", Root: "/", MountPoint: "/mnt", FSType: "fuse.sshfs",
			SuperOptions: map[string]string{"user_id": "1000", "allow_other": ""}, OptionalFields: map[string]string{"shared": "7", "master": "9"}},
		{MountID: 2, MajorMinorVer: "0:66", Root: "/", MountPoint: "/", FSType: "fusectl"},
		{MountID: 3, MajorMinorVer: "nonsense", FSType: "fuse"},
	})
	if len(mounts) != 2 || !mounts[0].fuse || !mounts[0].others || !slices.Equal(mounts[0].peers, []string{"7", "9"}) || mounts[1].fuse || mounts[1].others {
		t.Errorf("the mounts are %+v", mounts)
	}
	for path, want := range map[string]bool{"/mnt": true, "/mnt/x": true, "/mntx": false, "/": false} {
		if got := mounts[0].on(path); got != want {
			t.Errorf("%s is on /mnt: %v", path, got)
		}
	}
	if !mounts[1].on("/anything") {
		t.Error("/anything is not on /")
	}
}

// TestWaits: for the file of its system call, or for each FUSE mount in reach that has
// requests waiting.
func TestWaits(t *testing.T) {
	t.Parallel()
	hung, idle, disk := mount{id: 1, device: 65, point: "/a", fstype: "fuse", fuse: true},
		mount{id: 2, device: 66, point: "/b", fstype: "fuse", fuse: true}, mount{id: 3, device: 8 << 20, point: "/", fstype: "ext4"}
	twice := hung
	twice.id, twice.point = 4, "/c"
	waiting := map[uint32]int{65: 2}
	all := []mount{hung, idle, disk, twice}
	for _, row := range []struct {
		name string
		t    thread
		want []api.Wait
	}{
		{"a file", thread{state: "D", mounts: all, file: "/a/x", fileMount: 1}, []api.Wait{{File: "/a/x", Mount: "/a", FSType: "fuse", Connection: 65, Requests: 2}}},
		{"a file on a disk", thread{state: "D", mounts: all, file: "/x", fileMount: 3}, []api.Wait{{File: "/x", Mount: "/", FSType: "ext4"}}},
		{"a file of another namespace", thread{state: "D", mounts: all, file: "/x", fileMount: 9}, []api.Wait{{File: "/x"}}},
		{"no file", thread{state: "D", mounts: all}, []api.Wait{{Mount: "/a", FSType: "fuse", Connection: 65, Requests: 2}}},
		{"a zombie", thread{state: "Z", mounts: all}, nil},
	} {
		if got := row.t.waits(waiting); len(got) != len(row.want) || len(got) > 0 && !equal(got[0], row.want[0]) {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

func equal(a, b api.Wait) bool {
	return a.File == b.File && a.Mount == b.Mount && a.FSType == b.FSType && a.Connection == b.Connection && a.Requests == b.Requests
}

// emptyFIFO makes one that nothing comes out of, until the test's end.
func emptyFIFO(t *testing.T) string {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	return fifo
}

// TestControlIsTheKernelsOwn: a directory that anybody could have made is not taken
// for a FUSE connection.
func TestControlIsTheKernelsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint32{7, 8} {
		if conn, err := (control{dir}).open(number); !errors.Is(err, errNoControl) {
			t.Errorf("connection %d: %+v, %v", number, conn, err)
		}
	}
}

// TestLookAtALivingProcess: what a read waits for is found by its descriptor.
func TestLookAtALivingProcess(t *testing.T) {
	t.Parallel()
	fifo := emptyFIFO(t)
	cmd := exec.Command("cat", fifo)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	e, err := New(true, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	c := e.Open(uint32(os.Getuid()))
	proctest.Eventually(t, "it is seen to wait for the FIFO", func() bool {
		report := c.Look(context.Background(), Remains{PIDs: []int{cmd.Process.Pid, 1 << 30}})
		p, ok := report.Processes[cmd.Process.Pid]
		return ok && len(report.Processes) == 1 && p.State == "S" && len(p.Waits) == 1 && p.Waits[0].File == fifo
	})
	if got := c.Free(context.Background(), Remains{PIDs: []int{cmd.Process.Pid}}); len(got.Aborted) != 0 {
		t.Errorf("aborted %v", got.Aborted)
	}
}

func TestInScopeOf(t *testing.T) {
	t.Parallel()
	builders := []proc.Identity{{PID: 12}, {PID: 34}}
	for cgroup, want := range map[string]bool{
		"/user.slice/user-1000.slice/user@1000.service/user.slice/podman-34.scope": true,
		"/user.slice/podman-12.scope":       true,
		"/user.slice/podman-1.scope":        false,
		"/user.slice/podman-123.scope":      false,
		"/user.slice/podman-12.scope/inner": false,
		"":                                  false,
	} {
		if got := inScopeOf(cgroup, builders); got != want {
			t.Errorf("%q: %v", cgroup, got)
		}
	}
}
