package observe

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestWhatIsTrustedAsABuilder: a file that only root can have put there.
func TestWhatIsTrustedAsABuilder(t *testing.T) {
	p := &programs{systems: map[[2]uint32]bool{{8, 1}: true}}
	host, users := proc.FileID{Major: 8, Minor: 1}, proc.FileID{Minor: 77}
	for _, test := range []struct {
		name    string
		program proc.Program
		want    bool
	}{
		{"installed", proc.Program{FileID: host, Owned: true}, true},
		{"a user's own", proc.Program{FileID: host, Owned: true, Owner: 1000}, false},
		{"one that others may write", proc.Program{FileID: host}, false},
		{"root's by the word of a user's file system", proc.Program{FileID: users, Owned: true}, false},
	} {
		if got := p.trusts(test.program); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestUsersOwnBuilderSaysSomethingOfThatUserAlone: wherever it is, if nobody else may write it.
func TestUsersOwnBuilderSaysSomethingOfThatUserAlone(t *testing.T) {
	users := proc.Program{Owner: 1000, Owned: true}
	writable, roots := users, users
	writable.Owned, roots.Owner = false, 0
	for _, test := range []struct {
		name    string
		program proc.Program
		uids    [4]uint32
		want    bool
	}{
		{"its own", users, [4]uint32{1000, 1000, 1000, 1000}, true},
		{"another user's", users, [4]uint32{1001, 1001, 1001, 1001}, false},
		{"run by root", users, [4]uint32{}, false},
		{"with somebody else's rights", users, [4]uint32{1000, 0, 0, 0}, false},
		{"others may write it", writable, [4]uint32{1000, 1000, 1000, 1000}, false},
		{"root's, which is trusted by where it is", roots, [4]uint32{}, false},
	} {
		if got := isItsOwn(test.program, test.uids); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
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

// TestOtherProgramsThatBuildAreWatched from when one was seen: its next step is noticed as
// it begins, as podman's is.
func TestOtherProgramsThatBuildAreWatched(t *testing.T) {
	content, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "sleep") // which may be one of many in a file
	if err := os.WriteFile(other, content, 0o755); err != nil {
		t.Fatal(err)
	}
	execute := func() int {
		cmd := exec.Command(other, "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd.Process.Pid
	}
	n, err := openNotices()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	first := execute() // Start returns when it runs that program
	program, err := proc.ProgramOf(first)
	if err != nil {
		t.Fatal(err)
	}
	program.Owner, program.Owned = 0, true // also where the tests run without root
	p := &programs{systems: map[[2]uint32]bool{{program.Major, program.Minor}: true}, others: map[proc.FileID]bool{}, watch: n.add}
	users := program
	users.Owner = 1000
	if p.learn(first, users); len(p.others) != 0 {
		t.Error("a program that is a user's is watched")
	}
	another := program
	another.Inode++
	if p.learn(first, another); len(p.others) != 0 {
		t.Error("a program is watched that the process does not run")
	}
	p.learn(first, program)
	p.learn(first, program)
	if len(p.others) != 1 {
		t.Fatalf("%d programs are watched", len(p.others))
	}
	execute()
	limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got := n.wait(limit); got != aBuilder {
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
		p := &programs{
			systems: map[[2]uint32]bool{{program.Major, program.Minor}: true}, others: map[proc.FileID]bool{},
			watch: func(*os.File) error { return nil },
		}
		p.learnAgain(child, test.ppid, test.above)
		if len(p.others) != test.want {
			t.Errorf("%s: %d programs are watched", test.name, len(p.others))
		}
	}
}

// TestThisProgramIsNoBuilder, whatever it is called.
func TestThisProgramIsNoBuilder(t *testing.T) {
	p := &programs{systems: map[[2]uint32]bool{}}
	p.refresh()
	if is, _ := p.builder(selfPID); is {
		t.Error("it is taken for one")
	}
	if is, _ := p.builder(1 << 22); is {
		t.Error("a process that is not there is taken for one")
	}
}
