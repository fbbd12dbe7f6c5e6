package control_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// started is a run that got as far as to the builds.
type started struct {
	pid      int
	uid, gid uint32
	control.RunRequest
}

// startRuns serves run to peers who are who they are, or who identify says.
func startRuns(t *testing.T, identify func(syscall.Conn) (peer.Credentials, error)) (socket string, runs chan started) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	runs = make(chan started, 100)
	return controltest.Serve(t, control.New(control.Options{
		Builds: controltest.NewBuilds(), Log: log, Identify: identify,
		Run: func(_ context.Context, process *proc.Handle, uid, gid uint32, request control.RunRequest) (api.Build, error) {
			runs <- started{process.PID, uid, gid, request}
			return api.Build{BuildHead: api.BuildHead{ID: "bcdf2345", Name: request.Name}}, nil
		},
	})), runs
}

func body(t *testing.T, request api.RunRequest) string {
	t.Helper()
	document, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// TestRunIsForTheProcessThatAsks, whatever it says.
func TestRunIsForTheProcessThatAsks(t *testing.T) {
	socket, runs := startRuns(t, nil)
	code, answer := ask(t, socket, "POST", api.PathRun, body(t, api.RunRequest{
		Name: "nightly", Properties: []string{"TasksMax=7"}, Timeout: api.Seconds(time.Minute),
	}))
	var b api.Build
	if err := json.Unmarshal([]byte(answer), &b); err != nil || code != 200 || b.ID != "bcdf2345" || b.Name != "nightly" {
		t.Fatalf("%d %s", code, answer)
	}
	got := <-runs
	if got.pid != os.Getpid() || got.uid != uint32(os.Geteuid()) || got.gid != uint32(os.Getegid()) ||
		got.Name != "nightly" || got.Limits.RuntimeMax != time.Minute || len(got.Limits.Values) != 1 || got.Limits.Values[0].Value != uint64(7) {
		t.Errorf("ran %+v", got)
	}
	for _, more := range []string{`{"pid":1}`, `{"uid":0}`, `{"command":["sh"]}`, `{"slice":"system.slice"}`, `{} {}`, `[]`, `nonsense`} {
		if code, answer := ask(t, socket, "POST", api.PathRun, more); code != 400 {
			t.Errorf("%s: %d %s", more, code, answer)
		}
	}
	if len(runs) != 0 {
		t.Errorf("ran %+v", <-runs)
	}
}

// TestRunIsRefusedToNobody: a peer that the kernel does not name, or whose process
// is not held.
func TestRunIsRefusedToNobody(t *testing.T) {
	for _, uid := range []uint32{65534, 1<<32 - 1, alice} { // there is no pidfd in any of these
		socket, runs := startRuns(t, controltest.As(uid))
		if code, answer := ask(t, socket, "POST", api.PathRun, "{}"); code != 403 || len(runs) != 0 {
			t.Errorf("uid %d: %d %s, %d runs", uid, code, answer, len(runs))
		}
	}
}

// refused sends requests that the daemon must refuse by itself, and returns what
// it says of each.
func refused(t *testing.T, requests ...api.RunRequest) (answers []string) {
	t.Helper()
	socket, runs := startRuns(t, nil)
	for _, request := range requests {
		code, answer := ask(t, socket, "POST", api.PathRun, body(t, request))
		if code != 400 {
			t.Errorf("%+v: %d %s", request, code, answer)
		}
		answers = append(answers, answer)
	}
	if len(runs) != 0 {
		t.Errorf("ran %+v", <-runs)
	}
	return answers
}

func TestAttack13PropertiesThatReachOutOfTheBuild(t *testing.T) {
	for _, property := range []string{
		"Conflicts=sshd.service", "OnFailure=x.service", "SuccessAction=poweroff", "Slice=system.slice", "PIDs=1",
		"KillSignal=0", "Delegate=no", "User=root", "DeviceAllow=/dev/sda rw", "BPFProgram=x", "MemoryMaxScale=1",
		"MemoryMax\nSlice=system.slice", "memorymax=1G",
	} {
		name, _, _ := strings.Cut(property, "=")
		if first, _, cut := strings.Cut(name, "\n"); cut {
			name = first
		}
		answer := refused(t, api.RunRequest{Properties: []string{property}})[0]
		if !strings.Contains(answer, name) || !strings.Contains(answer, "is not allowed") {
			t.Errorf("%q: %s", property, answer)
		}
	}
	for _, property := range []string{"MemoryMax=1G\nSlice=system.slice", "MemoryMax=1G Slice=x", "AllowedCPUs=0-4294967295", "TasksMax=-1", "RuntimeMaxSec=0", "CPUQuota=\x00"} {
		name, _, _ := strings.Cut(property, "=")
		if answer := refused(t, api.RunRequest{Properties: []string{property}})[0]; !strings.Contains(answer, name) {
			t.Errorf("%q: %s", property, answer)
		}
	}
	refused(t,
		api.RunRequest{Properties: []string{"TasksMax=1", "TasksMax=2"}},
		api.RunRequest{Properties: []string{"RuntimeMaxSec=1"}, Timeout: api.Seconds(time.Second)},
		api.RunRequest{Properties: slices.Repeat([]string{"TasksMax=1"}, 1000)},
		api.RunRequest{Timeout: -1},
		api.RunRequest{Timeout: 1<<63 - 1},
		api.RunRequest{Properties: []string{"TasksMax=" + strings.Repeat("9", 70_000)}}, // more than a body may have
	)
}

func TestAttack14NamesThatAreMoreThanNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 300), "../x", "a@b.service", `\x2d`, "\x00", "a\x00b", "\u202egnp.exe", "a b", "-x", "%n", "a\nb", "\x1b[2J"} {
		answer := refused(t, api.RunRequest{Name: name})[0]
		if strings.ContainsAny(strings.TrimSuffix(answer, "\n"), "\x00\x1b\n\u202e") || len(answer) > 500 {
			t.Errorf("%q: the answer is not fit to be shown: %q", name, answer)
		}
	}
}
