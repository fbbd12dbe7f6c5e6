//go:build linux

package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

// checkable is a build in a state since some time.
func checkable(id string, state api.State, since time.Duration, reported bool) api.BuildDetail {
	return api.BuildDetail{Build: api.Build{BuildHead: api.BuildHead{
		ID: id, State: state, StateSince: now.Add(-since), Reported: reported, User: api.User{UID: 1000, Name: "alice"}, CreatedAt: now.Add(-time.Hour),
	}}}
}

// badlyConfigured is a daemon whose configuration files are bad.
type badlyConfigured struct{ *controltest.Builds }

func (badlyConfigured) ConfigProblem() string {
	return "the configuration is bad, the last good one is in force: /etc/buildwatch/buildwatchd.toml:3: typo"
}

// TestCheckTellsOfABadConfiguration, before all builds.
func TestCheckTellsOfABadConfiguration(t *testing.T) {
	socket := controltest.Start(t, badlyConfigured{controltest.NewBuilds(checkable("bbbb2222", api.StateStuck, time.Minute, false))}, 0)
	run(t, socket, "check").expect(t, 13, "buildwatchd: the configuration is bad, the last good one is in force: /etc/buildwatch/buildwatchd.toml:3: typo\n"+
		"build bbbb2222 of alice is stuck: something has survived SIGKILL, since 2026-01-02T03:03:05Z\n", "")
}

func TestCheckTellsTheWorst(t *testing.T) {
	stuck, stalled := checkable("bbbb2222", api.StateStuck, time.Minute, false), checkable("cccc2222", api.StateStalled, time.Minute, false)
	reported := checkable("dddd2222", api.StateAbandoned, time.Minute, true)
	unsure := checkable("ffff2222", api.StateUnsure, time.Hour, false)
	for _, test := range []struct {
		builds []api.BuildDetail
		code   int
		out    string
	}{
		{nil, 0, "all is well, 0 builds\n"},
		{[]api.BuildDetail{checkable("bbbb2222", api.StateRunning, time.Hour, false)}, 0, "all is well, 1 build\n"},
		{[]api.BuildDetail{
			checkable("bbbb2222", api.StateAbandoned, time.Second, false), checkable("cccc2222", api.StateTerminating, time.Second, false),
			checkable("dddd2222", api.StateKilling, time.Second, false), checkable("ffff2222", api.StateUnsure, time.Second, false),
		}, 0, "all is well, 4 builds\n"},
		{[]api.BuildDetail{unsure}, 23, "build ffff2222 of alice is unsure: whether anybody wants it can't be told, since 2026-01-02T02:04:05Z\n"},
		{[]api.BuildDetail{unsure, reported}, 22, "build dddd2222 of alice is abandoned, and left alone by the policy, since 2026-01-02T03:03:05Z\n" +
			"build ffff2222 of alice is unsure: whether anybody wants it can't be told, since 2026-01-02T02:04:05Z\n"},
		{[]api.BuildDetail{reported, stalled}, 21, "build cccc2222 of alice is stalled: its owner lives, and nothing of it does anything, since 2026-01-02T03:03:05Z\n" +
			"build dddd2222 of alice is abandoned, and left alone by the policy, since 2026-01-02T03:03:05Z\n"},
		{[]api.BuildDetail{stalled, stuck}, 20, "build bbbb2222 of alice is stuck: something has survived SIGKILL, since 2026-01-02T03:03:05Z\n" +
			"build cccc2222 of alice is stalled: its owner lives, and nothing of it does anything, since 2026-01-02T03:03:05Z\n"},
	} {
		socket, _ := start(t, test.builds...)
		run(t, socket, "check").expect(t, test.code, test.out, "")
		run(t, socket, "check", "--quiet").expect(t, test.code, "", "")
		var got checked
		r := run(t, socket, "check", "--json")
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != test.code || got.Code != test.code ||
			got.Builds != len(test.builds) || strings.Count(test.out, "\n") != max(len(got.Findings), 1) {
			t.Errorf("as JSON: %d, %v, %s", r.code, err, r.out)
		}
	}
}

func TestCheckOfADaemonThatCantBeAsked(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "s")
	if r := run(t, missing, "check"); r.code != exitNotRunning || !strings.Contains(r.out, "not running") || strings.Count(r.out, "\n") != 1 || r.err != "" {
		t.Errorf("no daemon: %+v", r)
	}
	refusing := answering(t, `{"code":"internal","message":"buildwatchd refuses all requests: bad"}`)
	if r := run(t, refusing, "check"); r.code != exitNoAnswer || r.out != "buildwatchd refuses all requests: bad\n" {
		t.Errorf("a daemon that refuses: %+v", r)
	}
	for err, want := range map[error]int{
		client.ErrNotRunning: 10, client.ErrNoAnswer: 11, client.ErrClosed: 11, client.ErrBusy: 11, client.ErrNotBuildwatchd: 11,
		client.ErrPermission: 12, client.ErrUnreachable: 1, errors.New("another"): 1,
	} {
		if got := checkCode(err); got != want {
			t.Errorf("%v is %d, want %d", err, got, want)
		}
	}
	if r := run(t, missing, "check", "now"); r.code != exitUsage {
		t.Errorf("called wrongly: %+v", r)
	}
}

// answering serves every request with this error.
func answering(t *testing.T, body string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+body)
			conn.Close()
		}
	}()
	return socket
}
