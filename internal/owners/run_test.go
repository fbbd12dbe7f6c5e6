package owners

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestCommandOfARunIsItsUsers, and somebody who runs the same program waits for it: else the
// caller would be moved for another.
func TestCommandOfARunIsItsUsers(t *testing.T) {
	const program = "/bin/sh"
	open := func(pid int) *proc.Handle {
		h, err := proc.Open(pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		return h
	}
	mine := uint32(os.Getuid())
	waiter := proctest.Shell(t, `exec 3<&0; /bin/sh -c 'read x; :' <&3 &`)
	caller, children := 0, fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", waiter.Process.Pid)
	proctest.Eventually(t, "it has a child", func() bool {
		content, _ := os.ReadFile(children)
		caller, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		return caller > 0
	})
	alone := open(waiter.Process.Pid) // its parent is this test
	for _, row := range []struct {
		name    string
		process *proc.Handle
		uid     uint32
		program string
		want    error
	}{
		{"as it is meant", open(caller), mine, program, nil},
		{"who connected was another user", open(caller), mine + 1, program, ErrNotYours},
		{"nobody waits for it", alone, mine, program, ErrNoWaiter},
		{"another program", open(caller), mine, "/proc/self/exe", proc.ErrOtherProgram},
	} {
		o, err := new(Finder).OfRun(Caller{Handle: row.process, UID: row.uid}, row.program)
		if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if err == nil {
			o.Close()
		}
	}
}
