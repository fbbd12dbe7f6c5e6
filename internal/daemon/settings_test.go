package daemon

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/logging"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// configure writes the configuration of a host.
func configure(t *testing.T, root, content string) {
	t.Helper()
	dir := filepath.Join(root, filepath.Dir(config.MainFile))
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(root, config.MainFile), []byte(content), 0o600))
}

func quiet(t *testing.T) *logging.Log {
	t.Helper()
	log, err := logging.New("error")
	must(t, err)
	t.Cleanup(log.Close)
	log.SetOutput(t.Output())
	return log
}

// TestBadConfigurationChangesNothingWhenItIsLoadedAnew, and says so until it is mended.
func TestBadConfigurationChangesNothingWhenItIsLoadedAnew(t *testing.T) {
	root, kept := t.TempDir(), t.TempDir()
	configure(t, root, "[policy]\nabandoned = \"report\"\n")
	s := choose(root, kept, quiet(t))
	if s.problem() != "" || s.current().Policy.Abandoned != config.AbandonedReport {
		t.Fatalf("started with %q, %+v", s.problem(), s.current())
	}
	configure(t, root, "[policy]\nabandoned = \"repotr\"\n")
	if s.reload() {
		t.Error("a bad configuration is taken")
	}
	<-s.changed
	if p := s.problem(); !strings.Contains(p, "buildwatchd.toml:2: policy.abandoned") || !strings.Contains(p, "that of before is in force") {
		t.Errorf("the problem is %q", p)
	}
	if s.current().Policy.Abandoned != config.AbandonedReport {
		t.Errorf("in force is %+v", s.current().Policy)
	}
	again := choose(root, kept, quiet(t)) // a restart
	if now := again.current(); now.Source != config.SourceLastGood || now.Policy.Abandoned != config.AbandonedReport || !strings.Contains(again.problem(), "the last good one is in force") {
		t.Errorf("after a restart: %q, %+v", again.problem(), now)
	}
	configure(t, root, "[log]\nlevel = \"info\"\n")
	run, end := context.WithCancelCause(context.Background())
	hangup := make(chan os.Signal, 1)
	hangup <- syscall.SIGHUP
	again.reloading(run, hangup, end)
	if context.Cause(run) != errReload || again.problem() != "" || again.current().Policy.Abandoned != config.AbandonedEnd {
		t.Errorf("mended: %v, %q, %+v", context.Cause(run), again.problem(), again.current())
	}
}

// TestReloadOfTheSameConfigurationCutsNobodyOff: systemd's own signal and that of
// ExecReload= come one after the other.
func TestReloadOfTheSameConfigurationCutsNobodyOff(t *testing.T) {
	root := t.TempDir()
	configure(t, root, "[policy]\nabandoned = \"report\"\n")
	s := choose(root, "", quiet(t))
	configure(t, root, "# A comment.\n[policy]\nabandoned = \"report\"\n[limits.user.ci]\nTasksMax = 5\n")
	if !s.reload() {
		t.Error("another configuration is not taken")
	}
	configure(t, root, "[policy]\n\n\nabandoned = \"report\"\n[limits.user.ci]\nTasksMax = 5\n")
	if s.reload() {
		t.Error("the same configuration starts all anew")
	}
	if now := s.inForceNow(); now.Reads != 3 || !slices.ContainsFunc(now.Values, func(v api.ConfigValue) bool {
		return v.Key == "policy.abandoned" && strings.HasSuffix(v.Origin, ":4")
	}) {
		t.Errorf("in force is %+v", now)
	}
	configure(t, root, "[policy]\nabandoned = \"repotr\"\n")
	if s.reload() || s.problem() == "" {
		t.Error("a bad configuration is taken")
	}
	configure(t, root, "[policy]\nabandoned = \"report\"\n[limits.user.ci]\nTasksMax = 5\n")
	if s.reload() || s.problem() != "" {
		t.Errorf("mended, it is %q", s.problem())
	}
}

// asked answers in turn, the last again and again; nil for a daemon that can't be asked.
type asked []*api.Config

func (a *asked) Config(context.Context) (api.Config, error) {
	next := (*a)[0]
	if len(*a) > 1 {
		*a = (*a)[1:]
	}
	if next == nil {
		return api.Config{}, errors.New("no answer")
	}
	return *next, nil
}

// TestReloadWaitsForTheDaemon, over the moment in which its parts are started anew.
func TestReloadWaitsForTheDaemon(t *testing.T) {
	root := t.TempDir()
	self := exec.Command("sleep", "60")
	must(t, self.Start())
	pid := strconv.Itoa(self.Process.Pid)
	answers := asked{{Reads: 4}, {Reads: 4}, nil, {Reads: 5}}
	if err := requestReload(t.Context(), pid, root, &answers); err != nil {
		t.Error(err)
	}
	if len(answers) != 1 {
		t.Errorf("it has waited for %d answers too few", len(answers)-1)
	}
	configure(t, root, "[policy]\nabandoned = \"repotr\"\nmax_runtime = 5\n")
	err := requestReload(t.Context(), pid, root, &asked{{Reads: 5}, {Reads: 6}})
	if err == nil || !strings.Contains(err.Error(), "buildwatchd.toml:2: ") || !strings.Contains(err.Error(), "buildwatchd.toml:3: ") {
		t.Errorf("of two mistakes it says %v", err)
	}
	if state, _ := self.Process.Wait(); state.String() != "signal: hangup" {
		t.Errorf("the daemon got %v", state)
	}
	for _, none := range []string{"", "1", "0", "-1", "x"} {
		if err := requestReload(t.Context(), none, root, &answers); err == nil || !strings.Contains(err.Error(), "systemctl reload") {
			t.Errorf("MAINPID %q: %v", none, err)
		}
	}
	if err := requestReload(t.Context(), pid, root, &asked{nil}); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("without a daemon: %v", err)
	}
}

// TestStatusLine: what systemctl status shows.
func TestStatusLine(t *testing.T) {
	for _, row := range []struct {
		count   map[api.State]int
		problem string
		want    string
	}{
		{nil, "", "STATUS=0 builds"},
		{map[api.State]int{api.StateRunning: 1}, "", "STATUS=1 build"},
		{map[api.State]int{api.StateRunning: 1, api.StateStuck: 2}, "", "STATUS=3 builds, 2 stuck"},
		{map[api.State]int{api.StateStuck: 1}, "a typo", "STATUS=1 build, 1 stuck; a typo"},
	} {
		if got := status(row.count, row.problem); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
