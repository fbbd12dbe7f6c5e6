//go:build integration

package integration

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// endedMessageID is that of the journal's entry of an ended build.
const endedMessageID = "MESSAGE_ID=7c1d4f0e3b5a4d1c9a62e8f0b7d35c19"

// TestEndOfABuildIsInTheJournal: in the system's, under the scope's unit, with what is
// known of it and a text that explains; and in its user's own.
func TestEndOfABuildIsInTheJournal(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		p := startBuildOf(t, who, "podman build", family, "--network=none")
		view := listedOf(t, who, familySize)
		sh(t, "%s stop %s", ctl, view.ID)
		p.wait(t)
		var out string
		eventually(t, func() (string, bool) {
			out = sh(t, "journalctl --sync; journalctl -q --no-pager -o verbose -u %s %s", view.Scope, endedMessageID)
			return out, strings.Contains(out, endedMessageID)
		})
		for _, want := range []string{
			"Build " + view.ID + " is gone (stopped)", "BUILDWATCH_REASON=stopped", "BUILDWATCH_ASKED_BY_UID=0", "BUILDWATCH_USER=" + string(who),
			"BUILDWATCH_COMMAND=podman build", "BUILDWATCH_MODE=local", "BUILDWATCH_ARCH=aarch64", "BUILDWATCH_PROCESSES_ENDED=aarch64=5",
			"BUILDWATCH_RUNGS=kill=", "BUILDWATCH_SURVIVORS=0", "BUILDWATCH_CPU_SECONDS=", "BUILDWATCH_CREATED_AT=",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the entry does not say %s:\n%s", want, out)
			}
		}
		explained := sh(t, "journalctl -q --no-pager --catalog -u %s %s", view.Scope, endedMessageID)
		if !strings.Contains(explained, "Subject: Container build "+view.ID+" has ended: stopped") {
			t.Errorf("it is not explained:\n%s", explained)
		}
		if who != root {
			own := who.sh(t, "journalctl --quiet --no-pager -o cat %s BUILDWATCH_ID=%s", endedMessageID, view.ID)
			if strings.Count(own, "\n") != 0 || !strings.Contains(own, "root asked for it") {
				t.Errorf("the user's own journal says %q", own)
			}
		}
	})
}

// chronicle is the role of what writes entries of ended builds, from a process of the
// daemon's unit or from another.
func chronicle(cgroup, number string) error {
	if err := os.WriteFile("/sys/fs/cgroup"+cgroup+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil && cgroup != "" {
		return err
	}
	journal, err := net.Dial("unixgram", "/run/systemd/journal/socket")
	if err != nil {
		return err
	}
	defer journal.Close()
	n, err := strconv.Atoi(number)
	for i := range n {
		e := api.Ended{
			ID: fmt.Sprintf("test%05d", i), Reason: api.ReasonOwnerExited, User: api.User{UID: 0, Name: "root"}, Command: "podman build",
			OwnerPID: i + 1, OwnerUnit: "gitlab-runner.service", Mode: api.ModeLocal, Placement: api.PlacementScope, Arch: []string{"aarch64"},
			Scope: fmt.Sprintf("buildwatch-test%05d.scope", i), CreatedAt: time.Now().Add(-time.Minute), EndedAt: time.Now(), DurationSeconds: 60,
			EndingSeconds: 0.01, CPUSeconds: 50, MemoryPeakBytes: 1 << 30, ProcessesEnded: map[string]int{"aarch64": 5},
			Rungs: []api.EndedRung{{Rung: api.RungKill, Duration: api.Seconds(10 * time.Millisecond)}, {Rung: api.RungStop, Duration: api.Seconds(2 * time.Millisecond)}},
		}
		entry := "MESSAGE=" + history.Sentence(e) + "\nPRIORITY=6\nSYSLOG_IDENTIFIER=buildwatchd\nMESSAGE_ID=" + api.EndedMessageID + "\n"
		for name, text := range history.Fields(e) {
			entry += "BUILDWATCH_" + name + "=" + text + "\n"
		}
		if _, err := journal.Write([]byte(entry)); err != nil {
			return err
		}
	}
	return err
}

// TestHistoryOfTenThousandBuilds: all of them are listed, how fast is told; what others
// have written in the same way is believed by nobody.
func TestHistoryOfTenThousandBuilds(t *testing.T) {
	leakCheck(t)
	const many = 10_000
	root.as(t, "chronicler", "/system.slice/buildwatchd.service", strconv.Itoa(many))
	builder.as(t, "chronicler", "", "5")
	sh(t, "journalctl --sync")
	out := sh(t, "%s history --noheading --filter id=test | tail -n 2", ctl)
	if !strings.Contains(out, fmt.Sprintf("test%05d", many-1)) {
		t.Errorf("the last are\n%s", out)
	}
	if n := sh(t, "%s history -q | grep -c ^test", ctl); n != strconv.Itoa(many) {
		t.Errorf("%s builds are listed", n)
	}
	began := time.Now()
	sh(t, "%s history >/dev/null", ctl)
	t.Logf("%d ended builds were listed in %v", many, time.Since(began))
	began = time.Now()
	sh(t, "%s history -n 10 >/dev/null", ctl)
	t.Logf("the last 10 of them in %v", time.Since(began))
	if out, err := builder.try("%s history", ctl); err == nil && strings.Contains(out, "test0000") {
		t.Errorf("what a user has made up is believed:\n%s", out)
	}
}

// TestAfterABuild: who ran it is told who ended it; wait knows when all is gone; its end
// is shown, and listed, to its user.
func TestAfterABuild(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		b := startRun(t, who, family, false, []string{"--name", "after"})
		view := b.supervised(familySize)
		if out, err := who.try("%s wait --timeout 1s after", ctl); err == nil || !strings.Contains(out, "build "+view.ID+" is still running") {
			t.Errorf("wait says %v: %s", err, out)
		}
		waited := make(chan string)
		go func() {
			out, err := who.try("%s wait after", ctl)
			waited <- fmt.Sprint(out, err)
		}()
		time.Sleep(time.Second) // it has asked who that is
		sh(t, "%s stop after", ctl)
		if out := <-waited; out != view.ID+"<nil>" {
			t.Errorf("wait says %s", out)
		}
		b.wait()
		if out := b.out.String(); !strings.Contains(out, "build "+view.ID+" was ended (stopped): ") {
			t.Errorf("run does not say who ended its build:\n%s", out)
		}
		sh(t, "journalctl --sync")
		for args, want := range map[string]string{
			"show " + view.ID[:6]: "gone (stopped)", "show after": "aarch64", "history -n 1": "after", "list --all": "stopped",
			"history -f --json | timeout 60 grep -m 1 " + view.ID: view.ID, "wait " + view.ID: view.ID,
		} {
			if out := who.sh(t, "%s %s", ctl, args); !strings.Contains(out, want) {
				t.Errorf("%s: %s, want %s in it", args, out, want)
			}
		}
	})
}
