package observe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/share"
)

// TestWhatIsTrustedAsABuilder: whatever a user runs, and of root's what is on the host's own file
// systems.
func TestWhatIsTrustedAsABuilder(t *testing.T) {
	p := &programs{systems: map[device]bool{{8, 1}: true}, mounts: "mnt:[1]"}
	host, containers := proc.FileID{Major: 8, Minor: 1}, proc.FileID{Minor: 77}
	for _, test := range []struct {
		name    string
		program proc.Program
		uid     uint32
		mounts  string
		want    bool
	}{
		{"root's", proc.Program{FileID: host}, 0, "mnt:[2]", true},
		{"root's, in a container in the host's PID namespace", proc.Program{FileID: containers}, 0, "mnt:[2]", false},
		{"root's, of whose mounts nothing is known", proc.Program{FileID: containers}, 0, "", false},
		{"root's, in memory", proc.Program{FileID: containers}, 0, "mnt:[1]", true},
		{"a user's", proc.Program{FileID: host}, 1000, "mnt:[2]", true},
		{"a user's own copy, on a file system of the user's", proc.Program{FileID: containers}, 1000, "mnt:[2]", true},
	} {
		if got := p.trusts(test.program, test.uid, test.mounts); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestFileSystemsOfTheHost are those that hold files and ask nobody.
func TestFileSystemsOfTheHost(t *testing.T) {
	got := localFileSystems(`22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:35 / /tmp rw,nosuid shared:2 master:3 - tmpfs tmpfs rw
41 27 0:36 / /home/a\040-\040b rw - fuse.sshfs x rw
42 27 0:37 / /var/lib/containers/storage/overlay/1/merged rw - overlay overlay rw
43 27 8:17 / /srv/with\040- rw - xfs /dev/sdb1 rw
44 27 0:38 / /mnt rw - nfs4 server:/ rw
x - tmpfs tmpfs
`)
	if want := []device{{254, 1}, {0, 35}, {8, 17}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLooksAreRarerTheOlderAnUnwatchedBuilderIs.
func TestLooksAreRarerTheOlderAnUnwatchedBuilderIs(t *testing.T) {
	for age, want := range map[time.Duration]time.Duration{0: quick, time.Minute: 3750 * time.Millisecond, time.Hour: slow} {
		if got := untoldPause(age); got != want {
			t.Errorf("after %s: %s, want %s", age, got, want)
		}
	}
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// sleeper starts a program of its own, that is a copy of sleep.
func sleeper(t *testing.T, file string) (pid int) {
	t.Helper()
	cmd := exec.Command(file, "1000") // one of many in a file, it may be
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestOtherProgramsThatBuildAreWatched from when one was seen: its next step is noticed as
// it begins, as podman's is.
func TestOtherProgramsThatBuildAreWatched(t *testing.T) {
	own := proctest.Copy(t, "/bin/sleep", "sleep")
	n, err := openNotices("")
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	first := sleeper(t, own) // Start returns when it runs that program
	program, err := proc.ProgramOf(first)
	if err != nil {
		t.Fatal(err)
	}
	p := newPrograms("", nil)
	p.others.watch = n.add
	if p.learn(first, program); len(p.others.known) != 0 {
		t.Error("a program on a file system that may make us wait is watched")
	}
	p.systems[deviceOf(program)] = true
	p.learn(first, program)
	p.learn(first, program)
	p.others.doubt()
	p.learn(first, program)
	if len(p.others.known) != 1 || p.others.places.InUse() != 1 {
		t.Fatalf("%d programs are watched, for which %d places are taken", len(p.others.known), p.others.places.InUse())
	}
	sleeper(t, own)
	if got := n.wait(within(t, 10*time.Second)); !slices.Equal(got, []notice{aBuilder}) {
		t.Errorf("notice of %q", got)
	}
	p.others.drop(func(other) bool { return true })
	sleeper(t, own)
	if got := n.wait(within(t, 10*time.Millisecond)); len(got) != 0 {
		t.Errorf("notice of %q, which is watched no longer", got)
	}
}

// TestOneUsersProgramsKeepNobodyElsesFromBeingWatched: a user can make any number of them.
func TestOneUsersProgramsKeepNobodyElsesFromBeingWatched(t *testing.T) {
	live := 0
	o := others{places: share.NewPool(watched), watch: func(*os.File) (func(), error) {
		live++
		return func() { live-- }, nil
	}}
	const user, other = 1000, 1001
	for i := range uint64(2 * watched.User) {
		o.add(share.Account{UID: user}, proc.FileID{Inode: i}, nil)
	}
	o.add(share.Account{UID: other}, proc.FileID{Inode: 1 << 20}, nil)
	if live != watched.User+1 || len(o.known) != live || o.places.InUse() != live {
		t.Errorf("%d are watched, %d known, %d places taken", live, len(o.known), o.places.InUse())
	}
	if o.has(proc.FileID{Inode: 0}) || !o.has(proc.FileID{Inode: uint64(2*watched.User - 1)}) || !o.has(proc.FileID{Inode: 1 << 20}) {
		t.Error("others are watched than those that were seen last")
	}
}

// TestWhatIsHeardOfABuilderThatIsNotKnown: it reads the drop-in, or has its UIDs mapped, and no
// builder that is known was executed for that.
func TestWhatIsHeardOfABuilderThatIsNotKnown(t *testing.T) {
	var h heard
	at := time.Unix(1000, 0)
	for i, row := range []struct {
		after time.Duration
		news  []notice
		look  bool
		// since the row's moment
		strange, began bool
	}{
		{0, nil, false, false, false},
		{0, []notice{aBuilder, aDropIn}, true, false, false}, // podman
		{explains / 2, []notice{aDropIn}, false, false, false},
		{0, []notice{aMapper}, true, false, true}, // rootless podman; or somebody else, just now
		{explains, []notice{aDropIn}, true, true, true},
		{explains, []notice{aMapper}, true, true, true},
	} {
		at = at.Add(row.after)
		if look := h.take(row.news, at); look != row.look || h.strange.Equal(at) != row.strange || h.began.Equal(at) != row.began {
			t.Errorf("row %d: look: %v, %+v at %v", i, look, h, at)
		}
	}
}

// TestSlowBuilderThatIsKnownIsNoStrangeOne: it reads the drop-in seconds after it was executed.
func TestSlowBuilderThatIsKnownIsNoStrangeOne(t *testing.T) {
	since, _, err := proc.Boot()
	if err != nil {
		t.Fatal(err)
	}
	now, young, old := time.Now(), uint64(since/proc.Tick), uint64(max(0, since-2*explainsAlive)/proc.Tick)
	for name, row := range map[string]struct {
		strange  time.Time
		youngest uint64
		want     bool
	}{
		"it lives":                         {now, young, false},
		"none lives":                       {now, 0, true},
		"one lives that is older":          {now, old, true},
		"one was started since, by and by": {now.Add(-10 * explains), young, true},
	} {
		h := heard{strange: row.strange}
		if h.explain(row.youngest); h.strange.IsZero() == row.want {
			t.Errorf("%s: %v", name, h.strange)
		}
	}
}

// TestReadersOfTheDropInAreHeard.
func TestReadersOfTheDropInAreHeard(t *testing.T) {
	dropIn := filepath.Join(t.TempDir(), "50-buildwatch.conf")
	if err := os.WriteFile(dropIn, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := openNotices(dropIn)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	n.refresh()
	if _, err := os.ReadFile(dropIn); err != nil {
		t.Fatal(err)
	}
	if got := n.wait(within(t, 10*time.Second)); !slices.Equal(got, []notice{aDropIn}) {
		t.Errorf("notice of %q", got)
	}
}

// TestAnOCIRuntimesCopyOfItselfIsNotWatched: buildah executes it ten times a second. What
// has executed itself again in a user namespace is watched.
func TestAnOCIRuntimesCopyOfItselfIsNotWatched(t *testing.T) {
	shell := proctest.Start(t, exec.Command("/bin/bash", "-c", `/bin/bash -c 'echo $$; read -r line; true'; true`))
	child, err := strconv.Atoi(shell.Line(t))
	if err != nil {
		t.Fatal(err)
	}
	program, err := proc.ProgramOf(child)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		ppid  int
		above string
		want  int
	}{
		{"a copy of a copy", shell.Process.Pid, podman.Unreachable, 0},
		{"a copy that has taken the place of what executed it", selfPID, "/usr/bin/podman", 0},
		{"it is above whom it has executed", shell.Process.Pid, "/bin/bash", 1},
	} {
		p := newPrograms("", nil)
		p.systems[deviceOf(program)] = true
		p.others.watch = func(*os.File) (func(), error) { return nil, nil }
		p.learnAgain(child, test.ppid, test.above)
		if len(p.others.known) != test.want {
			t.Errorf("%s: %d programs are watched", test.name, len(p.others.known))
		}
	}
}

// TestThisProgramIsNoBuilder, whatever it is called.
func TestThisProgramIsNoBuilder(t *testing.T) {
	p := newPrograms("", nil)
	p.refresh()
	if is, _ := p.builder(selfPID); is {
		t.Error("it is taken for one")
	}
	if is, _ := p.builder(1 << 22); is {
		t.Error("a process that is not there is taken for one")
	}
}

// TestDropInThatIsReplacedIsWatchedAtOnce: an upgrade does so, and `uninstall` and `install` again.
func TestDropInThatIsReplacedIsWatchedAtOnce(t *testing.T) {
	dropIn := filepath.Join(t.TempDir(), "50-buildwatch.conf")
	put := func() error { return os.WriteFile(dropIn, nil, 0o644) }
	if err := put(); err != nil {
		t.Fatal(err)
	}
	n, err := openNotices(dropIn)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	held, err := os.Open(dropIn) // whoever has it open keeps the old one's watch
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for what, replace := range map[string]func() error{
		"by a rename": func() error {
			return errors.Join(os.WriteFile(dropIn+".new", nil, 0o644), os.Rename(dropIn+".new", dropIn))
		},
		"after its removal": func() error { return errors.Join(os.Remove(dropIn), put()) },
	} {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		n.wait(within(t, 10*time.Second)) // takes up what has happened
		if _, err := os.ReadFile(dropIn); err != nil {
			t.Fatal(err)
		}
		if got := n.wait(within(t, 10*time.Second)); !slices.Contains(got, aDropIn) {
			t.Errorf("%s: notice of %q", what, got)
		}
	}
}
