//go:build linux

package cli

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

func TestShow(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	run(t, socket, "show", "bcdf", "bcdz").expect(t, 0, `    Build: bcdf2345
    State: running
     Mode: local, held by its scope
  Created: 2026-01-02T03:02:53Z, 72s ago
    Owner: 4711 podman build
     User: alice (1000)
     Arch: aarch64,riscv64
      CPU: 12.3s
    Scope: buildwatch-bcdf2345.scope
   Cgroup: /user.slice/buildwatch-bcdf2345.scope
Processes: 5
           PID       STATE  WCHAN              ARCH     COMMAND
           ├─10      S      do_wait            aarch64  sh (/usr/bin/qemu-aarch64)
           │ ├─11    S      do_wait            aarch64  make (/usr/bin/qemu-aarch64)
           │ │ └─12  R      -                  aarch64  cc1 (/usr/bin/qemu-aarch64)
           │ └─13    S      hrtimer_nanosleep  -        sleep
           └─20      S      do_wait            -        sh

    Build: bcdz2345
    State: stuck (owner_exited)
      Why: it was ended, and something has survived SIGKILL: there is nothing more to send
    Until: the kernel lets go of what is left
    Known: owner: PID 815 has ended (pidfd, since 2026-01-02T03:03:54Z): ends it
         : containers: 1 process is there (cgroup.events, now)
     Mode: api, held by its scope
  Created: 2026-01-01T21:34:05Z, 5h30m ago
    Owner: 815 podman system service --with-a-long-name (exited)
     User: 1001 (1001)
     Arch: -
      CPU: 1h6m
    Scope: buildwatch-bcdz2345.scope
   Cgroup: /user.slice/buildwatch-bcdz2345.scope
   Ladder: kill at 2026-01-02T03:03:55Z, 2s, ran out of time, left 3
         : stop at 2026-01-02T03:03:57Z, 2.3ms, no such unit
Processes: 1
           PID   STATE  WCHAN                ARCH  COMMAND
           └─30  D      request_wait_answer  -     cat, survived SIGKILL
`, "")
}

func TestShowTriesAllIDs(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	r := run(t, socket, "show", "x", "bcdf", "bcd", "y", "--format", "{{.ID}}")
	r.expect(t, 1, "bcdf2345\n", `buildwatchctl: no build with ID "x": "buildwatchctl list --all" shows those there are, and those there were
buildwatchctl: ID "bcd" fits several builds: bcdz2345, bcdf2345: give more of it
buildwatchctl: no build with ID "y": "buildwatchctl list --all" shows those there are, and those there were
`)
	run(t, socket, "show", "x", "--json").expect(t, 1, "[]\n", "buildwatchctl: no build with ID \"x\": \"buildwatchctl list --all\" shows those there are, and those there were\n")
}

func TestShowJSONIsTheAPIs(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, args := range [][]string{{"show", "--json", "bcdz"}, {"show", "--format", "json", "bcdz"}} {
		var got []api.BuildDetail
		if err := json.Unmarshal([]byte(run(t, socket, args...).out), &got); err != nil {
			t.Fatal(err)
		}
		want := twoBuilds()[1]
		want.Arch = []string{}
		if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestShowTemplates(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, test := range []struct{ format, want string }{
		{`{{.ID}} {{.State}} {{.EndedAt}}.`, "bcdz2345 stuck .\n"},
		{`{{range .ProcessTree}}{{.PID}} {{.PPID}} {{.Command}} {{.Exe}} {{.Arch}} {{.State}} {{.WChan}} {{.Cgroup}} {{.Survivor}}{{end}}`, "30 1 cat   D request_wait_answer  true\n"},
		{`{{range .Ladder}}{{.Rung}} {{.StartedAt}} {{.Duration}} {{.TimedOut}} {{.Survivors}} {{.Error}};{{end}}`, "kill 2026-01-02T03:03:55Z 2s true 3 ;stop 2026-01-02T03:03:57Z 2.3ms false 0 no such unit;\n"},
		{`{{.Verdict}}, {{.ChangesWhen}}{{range .Facts}}; {{.Name}} {{.Value}} {{.Since}} {{.Source}} {{.Decides}}{{end}}`,
			"it was ended, and something has survived SIGKILL: there is nothing more to send, the kernel lets go of what is left; owner PID 815 has ended 2026-01-02T03:03:54Z pidfd end; containers 1 process is there  cgroup.events \n"},
		{`{{json (index .Ladder 0)}}`, `{"rung":"kill","started_at":"2026-01-02T03:03:55Z","duration_seconds":2,"timed_out":true,"survivors":3}` + "\n"},
		{`table {{.ID}}\t{{.UID}}`, "ID        UID\nbcdz2345  1001\n"},
	} {
		run(t, socket, "show", "bcdz", "--format", test.format).expect(t, 0, test.want, "")
	}
}

// TestTreeOfAnything: whatever PIDs and parents are told, every process is drawn
// once, if it can be reached at all.
func TestTreeOfAnything(t *testing.T) {
	deep := make([]api.Process, 10000)
	for i := range deep {
		deep[i] = api.Process{PID: i + 2, PPID: i + 1, Command: "bomb"}
	}
	for name, test := range map[string]struct {
		processes []api.Process
		lines     int
	}{
		"none":              {nil, 0},
		"its own parent":    {[]api.Process{{PID: 5, PPID: 5}}, 2},
		"same PID twice":    {[]api.Process{{PID: 5}, {PID: 5}}, 2},
		"each other's":      {[]api.Process{{PID: 5, PPID: 6}, {PID: 6, PPID: 5}}, 3},
		"child first":       {[]api.Process{{PID: 6, PPID: 5}, {PID: 5, PPID: 1}}, 3},
		"PID that is 0":     {[]api.Process{{PID: 0, PPID: 0}, {PID: 5, PPID: 0}}, 3},
		"ten thousand deep": {deep, 10001},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := writeTree(&out, "", test.processes, 0); err != nil {
				t.Fatal(err)
			}
			if got := bytes.Count(out.Bytes(), []byte("\n")); got != test.lines {
				t.Errorf("%d lines, want %d:\n%.1000s", got, test.lines, out.String())
			}
			for line := range strings.Lines(out.String()) {
				if len(line) > 300 {
					t.Fatalf("a line of %d bytes", len(line))
				}
			}
		})
	}
}
