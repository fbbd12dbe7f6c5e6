//go:build linux

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// endedBuilds are one that root has stopped, and one that has completed.
func endedBuilds() []api.Ended {
	by := uint32(0)
	return []api.Ended{
		{
			ID: "past2345", Name: "nightly", Reason: api.ReasonStopped, AskedBy: &by, User: api.User{UID: 1000, Name: "alice"},
			Command: "podman build", OwnerPID: 42, OwnerUnit: "gitlab-runner.service", Mode: api.ModeLocal, Placement: api.PlacementScope,
			Arch: []string{"aarch64"}, Scope: "buildwatch-past2345.scope", CreatedAt: now.Add(-10 * time.Minute), EndedAt: now.Add(-5 * time.Minute),
			DurationSeconds: 300, EndingSeconds: 0.0148, CPUSeconds: 12.34, MemoryPeakBytes: 3 << 29,
			ProcessesEnded: map[string]int{"aarch64": 5, "native": 1},
			Rungs:          []api.EndedRung{{Rung: api.RungKill, Duration: api.Seconds(14200 * time.Microsecond)}, {Rung: api.RungStop, Duration: api.Seconds(2 * time.Second), Survivors: 1, TimedOut: true}},
			Survivors:      1,
			Reclaimed:      &api.Reclaimed{Removed: 7, Left: 1, Bytes: 4 << 20, Duration: api.Seconds(300 * time.Millisecond), Why: "1 used by a process"},
		},
		{
			ID: "pasz2345", Reason: api.ReasonCompleted, User: api.User{UID: 1001}, Command: "buildah build", OwnerPID: 7, OwnerUnit: "session-3.scope",
			Mode: api.ModeLocal, Placement: api.PlacementScope, Arch: []string{}, CreatedAt: now.Add(-2 * time.Minute), EndedAt: now.Add(-time.Minute),
			DurationSeconds: 60, ProcessesEnded: map[string]int{}, Rungs: []api.EndedRung{},
		},
	}
}

// runWith runs buildwatchctl as UID 1000 where these builds have ended. asked is the last query.
func runWith(t *testing.T, socket string, past []api.Ended, failing error, args ...string) (result, history.Query) {
	t.Helper()
	var out, err bytes.Buffer
	var asked history.Query
	code := Main(args, Environment{
		Out: &out, Err: &err, Now: nowIs, Getenv: only(socketVariable, socket), UID: 1000,
		Past: func(_ context.Context, q history.Query, each func(api.Ended) error) error {
			for _, e := range past {
				if q.Storage {
					e = api.Ended{ID: e.ID, Reclaimed: e.Reclaimed}
				} else {
					asked = q
					e.Reclaimed = nil // is in another entry
				}
				if q.ID != "" && e.ID != q.ID {
					continue
				}
				if err := each(e); err != nil {
					return err
				}
			}
			return failing
		},
	})
	return result{code, out.String(), err.String()}, asked
}

func TestHistory(t *testing.T) {
	socket, _ := start(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"history"}, `ENDED         ID        REASON     LASTED  NAME       USER   COMMAND
Jan  2 02:59  past2345  stopped    5m0s    nightly    alice  podman build
Jan  2 03:03  pasz2345  completed  60s     session-3  1001   buildah build
`},
		{[]string{"history", "-n", "1", "-q"}, "pasz2345\n"},
		{[]string{"history", "--filter", "reason=stopped", "--format", "{{.ID}} {{.AskedBy}} {{.ProcessesEnded}} {{.MemoryPeak}} {{.Rungs}}"},
			"past2345 0 5 aarch64, 1 native 1.5G kill 14.2ms; stop 2s, ran out of time, left 1\n"},
		{[]string{"history", "--filter", "reason=stopped", "--format", "{{.ID}} {{.Storage}}"}, "past2345 7 removed, 4.0M, in 300ms; 1 left: 1 used by a process\n"},
		{[]string{"history", "--filter", "arch=linux/arm64", "--filter", "name=nig", "-q"}, "past2345\n"},
		{[]string{"list", "-a", "-q"}, "past2345\npasz2345\n"},
		{[]string{"list", "-l", "--format", "{{.ID}} {{.Status}} {{.State}}"}, "pasz2345 completed gone\n"},
		{[]string{"list", "-a", "-f", "state=gone", "-f", "reason=completed", "-q"}, "pasz2345\n"},
	} {
		r, q := runWith(t, socket, endedBuilds(), nil, test.args...)
		if r.out != test.want || r.code != 0 || r.err != "" || q.UID != 1000 {
			t.Errorf("%q: asked %+v, exit code %d, %s\n%s\nwant\n%s", test.args, q, r.code, r.err, r.out, test.want)
		}
	}
	r, _ := runWith(t, socket, endedBuilds(), nil, "history", "--json")
	var got []api.Ended
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || !reflect.DeepEqual(got, endedBuilds()) {
		t.Errorf("%v: %s", err, r.out)
	}
	if r, _ := runWith(t, socket, nil, nil, "history", "--json"); r.out != "[]\n" || r.code != 0 {
		t.Errorf("none is %+v as JSON", r)
	}
}

func TestHistoryOfTimes(t *testing.T) {
	socket, _ := start(t)
	for given, want := range map[string]string{
		"10m": "@1767322445", "2026-01-02T03:00:00Z": "@1767322800", "yesterday": "yesterday", "-2h": "-2h",
	} {
		if _, q := runWith(t, socket, endedBuilds(), nil, "history", "--since", given, "--until", given); q.Since != want || q.Until != want {
			t.Errorf("%s is asked for as %+v", given, q)
		}
	}
}

func TestHistoryThatIsNotThere(t *testing.T) {
	socket, _ := start(t)
	for _, test := range []struct {
		args    []string
		failing error
		want    string
	}{
		{[]string{"history"}, nil, "no ended builds in the journals that you may read"},
		{[]string{"history", "--since", "1h"}, nil, "no ended builds fit"},
		{[]string{"history"}, history.ErrNoJournalctl, "there is no journalctl on this host: ended builds are in the journal of a Linux host"},
		{[]string{"history", "--since", "nonsense"}, errors.New("journalctl says: Failed to parse timestamp: nonsense"), "nonsense"},
		{[]string{"show", "past"}, nil, `no build with ID "past"`},
	} {
		if r, _ := runWith(t, socket, nil, test.failing, test.args...); r.code != 1 || !strings.Contains(r.err, test.want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: %+v, want %s", test.args, r, test.want)
		}
	}
}

// TestEndedBuildIsShown, by its ID, by the beginning of it, and by its name.
func TestEndedBuildIsShown(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, given := range []string{"past2345", "past", "nightly"} {
		r, _ := runWith(t, socket, endedBuilds(), nil, "show", given)
		r.expect(t, 0, `    Build: past2345
     Name: nightly
    State: gone (stopped)
      Why: root asked for it
  Created: 2026-01-02T02:54:05Z
    Ended: 2026-01-02T02:59:05Z, 5m0s ago, after 5m0s
     Mode: local, held by its scope
    Owner: 42 podman build
       In: gitlab-runner.service
     User: alice (1000)
     Arch: aarch64
      CPU: 12.3s
   Memory: 1.5G at most
    Scope: buildwatch-past2345.scope
   Killed: 5 aarch64, 1 native, in 14.8ms
   Ladder: kill 14.2ms
         : stop 2s, ran out of time, left 1
Survivors: 1 outlived SIGKILL, until the kernel let go of them
  Storage: 7 removed, 4.0M, in 300ms; 1 left: 1 used by a process
`, "")
	}
	r, _ := runWith(t, socket, endedBuilds(), nil, "show", "past", "--json")
	var got []api.BuildDetail
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || len(got) != 1 || got[0].State != api.StateGone || !reflect.DeepEqual(*got[0].End, endedBuilds()[0]) {
		t.Errorf("%v: %s", err, r.out)
	}
	if r, _ := runWith(t, socket, endedBuilds(), nil, "show", "pas"); r.code != 1 || !strings.Contains(r.err, "fits several") {
		t.Errorf("%+v", r)
	}
	if r, _ := runWith(t, socket, endedBuilds(), nil, "show", "bcdf"); !strings.Contains(r.out, "State: running") {
		t.Errorf("one that runs: %+v", r)
	}
}

// TestTablesFit the width of a page, whatever is in them.
func TestTablesFit(t *testing.T) {
	long := twoBuilds()
	for i := range 12 {
		b := long[0]
		b.ID, b.State = fmt.Sprintf("bcd%05d", i), api.StateTerminating
		b.Name, b.Owner.Unit = "", strings.Repeat("unit", 20)+fmt.Sprint(i)+".service"
		b.User.Name, b.CPUSeconds = strings.Repeat("é", 40), 1e6
		b.Owner.PID = 4194304
		long = append(long, b)
	}
	past := endedBuilds()
	past[0].Reason, past[0].Command, past[0].User.Name, past[0].Name = api.ReasonClientDisconnected, strings.Repeat("podman ", 9), strings.Repeat("x", 50), strings.Repeat("n", 64)
	past[0].DurationSeconds = 1e7
	socket, _ := start(t, long...)
	for _, args := range [][]string{{"list"}, {"list", "-a"}, {"history"}} {
		r, _ := runWith(t, socket, past, nil, args...)
		if r.code != 0 || strings.Count(r.out, "\n") < 3 {
			t.Errorf("%q: %+v", args, r)
		}
		for line := range strings.Lines(r.out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columnsOfPage {
				t.Errorf("%q: %d columns: %s", args, n, line)
			}
		}
	}
}

// TestShowSaysThatMemoryWasShort: "what killed this job?" may have the answer that
// buildwatch did not.
func TestShowSaysThatMemoryWasShort(t *testing.T) {
	for kills, want := range map[uint64]bool{0: false, 2: true} {
		var out strings.Builder
		if err := writeEndedBlock(&out, endedDetail(api.Ended{ID: "bcdf2345", OOMKills: kills}), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "the kernel killed 2 of its processes for lack of memory") != want {
			t.Errorf("%d: show says\n%s", kills, out.String())
		}
	}
}

// TestHistoryOfATimeThatIsNone is a wrong call, and says so without journalctl's words.
func TestHistoryOfATimeThatIsNone(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"history --since noonish", `--since "noonish": not a time such as yesterday, "2026-01-02 15:04", 10m or -2h`},
		{"history -U noonish", `--until "noonish": not a time such as yesterday, "2026-01-02 15:04", 10m or -2h`},
		{"history --since today --until yesterday", `--since "today" and --until "yesterday": not two times, the earlier one first`},
	} {
		r, _ := runWith(t, "/nowhere", nil, history.ErrTimes, strings.Fields(test.args)...)
		r.expect(t, exitUsage, "", "buildwatchctl: "+test.want+": see \"buildwatchctl history --help\"\n")
	}
}

// TestFilterByTheUnitOfACIJob finds what the column NAME shows.
func TestFilterByTheUnitOfACIJob(t *testing.T) {
	for pattern, want := range map[string]string{
		"gitlab-runner": "past2345\n", "gitlab-runner.service": "past2345\n", "gitlab-*": "past2345\n", "session-?": "pasz2345\n", "gitlab": "", "runner.service": "",
	} {
		if r, _ := runWith(t, "/nowhere", endedBuilds(), nil, "history", "--quiet", "--filter", "unit="+pattern); r.out != want {
			t.Errorf("unit=%s: %q", pattern, r.out)
		}
	}
	if !isUnit(`ci\x2djob@1.service`, `ci\x2djob@1.service`) || !isUnit("ci-job@*", "ci-job@42.service") || isUnit("*", "") {
		t.Error("a name of systemd's does not fit itself, or no unit fits")
	}
}

// TestHistoryOfARunnerThatMayReadNoJournal says who may, and so does show.
func TestHistoryOfARunnerThatMayReadNoJournal(t *testing.T) {
	socket, _ := start(t, twoBuilds()[0])
	if r, _ := runWith(t, socket, nil, history.ErrForbidden, "list", "--all", "--quiet"); r.code != exitFailure || r.out != twoBuilds()[0].ID+"\n" {
		t.Errorf("list --all: %+v", r)
	}
	for _, args := range []string{"history", "show zzzz2345"} {
		if r, _ := runWith(t, socket, nil, history.ErrForbidden, strings.Fields(args)...); r.code != exitFailure || !strings.Contains(r.err, "the group systemd-journal may read") {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
