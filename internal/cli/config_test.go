package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestConfigThatTheFilesDifferFromIsSeen: whoever has changed a file and not reloaded.
func TestConfigThatTheFilesDifferFromIsSeen(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	now := api.Config{Source: "files", LoadedAt: &at, Values: []api.ConfigValue{
		{Key: "log.level", Value: `"info"`, Origin: "default"},
		{Key: "ladder.kill_timeout", Value: `"1s"`, Origin: "/etc/a.toml:2"},
		{Key: "limits.user.1000.TasksMax", Value: "9", Origin: "/etc/a.toml:4"},
	}}
	same := describeConfig(now, now.Values, nil)
	if want := "# The configuration in force, from the files as they were at 2026-11-27T12:00:00Z.\n\n[log]\nlevel = \"info\"  # default\n\n[ladder]\nkill_timeout = \"1s\"  # /etc/a.toml:2\n\n[limits.user.1000]\nTasksMax = 9  # /etc/a.toml:4\n"; same != want {
		t.Errorf("got\n%s\nwant\n%s", same, want)
	}
	files := []api.ConfigValue{
		{Key: "log.level", Value: `"info"`, Origin: "default"},
		{Key: "ladder.kill_timeout", Value: `"2s"`, Origin: "/etc/a.toml:2"},
		{Key: "limits.user.1001.TasksMax", Value: "7", Origin: "/etc/a.toml:4"},
	}
	changed := describeConfig(now, files, nil)
	for _, want := range []string{
		`# differs: ladder.kill_timeout is "1s", and "2s" in the files (/etc/a.toml:2)` + "\n",
		"# differs: limits.user.1000.TasksMax is 9, and is not set in the files any more\n",
		"# differs: limits.user.1001.TasksMax is not set, and 7 in the files (/etc/a.toml:4)\n",
	} {
		if !strings.Contains(changed, want) {
			t.Errorf("no %q in\n%s", want, changed)
		}
	}
	if strings.Count(changed, "# differs") != 3 {
		t.Errorf("got\n%s", changed)
	}
	bad := describeConfig(now, nil, errors.New("/etc/a.toml:2: ladder.kill_timout: unknown key\n/etc/a.toml:3: worse"))
	if strings.Count(bad, "# differs: the files are bad now: /etc/a.toml:") != 2 {
		t.Errorf("got\n%s", bad)
	}
	if elsewhere := describeConfig(now, nil, nil); strings.Contains(elsewhere, "differs") {
		t.Errorf("got\n%s", elsewhere)
	}
}
