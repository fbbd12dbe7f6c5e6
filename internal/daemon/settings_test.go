package daemon

import (
	"context"
	"os"
	"path/filepath"
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
	configure(t, root, "")
	run, end := context.WithCancelCause(context.Background())
	hangup := make(chan os.Signal, 1)
	hangup <- syscall.SIGHUP
	again.reloading(run, hangup, end)
	if context.Cause(run) != errReload || again.problem() != "" || again.current().Policy.Abandoned != config.AbandonedEnd {
		t.Errorf("mended: %v, %q, %+v", context.Cause(run), again.problem(), again.current())
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
