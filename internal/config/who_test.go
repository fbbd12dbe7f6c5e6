package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/limits"
)

func TestLimitsOfBuildsByUserAndMode(t *testing.T) {
	root := tree(t, map[string]string{
		MainFile: "[limits]\nMemoryMax = \"4G\"\nTasksMax = 500\nCPUQuota = \"150%\"\n[limits.user.ci]\nMemoryMax = \"16G\"\n" +
			"[limits.user.\"a b\"]\nIOWeight = 10\n[limits.mode.api]\nTasksMax = \"\"\n",
		AdminDropIns + "/1.toml": "[limits]\nCPUQuota = \"\"\nuser.1000.TasksMax = 9\nmode = {run = {CPUWeight = \"idle\"}}\n",
	})
	first := load(t, root)
	want := limits.Grants{
		All: limits.Properties{"MemoryMax": "4G", "TasksMax": "500"},
		User: map[string]limits.Properties{
			"ci": {"MemoryMax": "16G"}, "a b": {"IOWeight": "10"}, "1000": {"TasksMax": "9"},
		},
		Mode: map[string]limits.Properties{"api": {"TasksMax": ""}, "run": {"CPUWeight": "idle"}},
	}
	if got := first.Limits.Builds; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var printed strings.Builder
	must(t, first.Print(&printed))
	second := load(t, tree(t, map[string]string{MainFile: printed.String()}))
	if !reflect.DeepEqual(second.Limits, first.Limits) {
		t.Errorf("printed as\n%s\nloaded as %+v", printed.String(), second.Limits)
	}
	if line := "\n[limits.user.ci]\nMemoryMax = \"16G\"  # " + root + MainFile + ":6\n"; !strings.Contains(printed.String(), line) {
		t.Errorf("%q is not in\n%s", line, printed.String())
	}
}

func TestMistakesInLimitsOfBuildsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"[limits]\nMemoryMax = \"4 GB\"":             `2: limits.MemoryMax: "4 GB" is not allowed: a size such as`,
		"[limits]\nMemoryMax = 1.5":                  "2: limits.MemoryMax: must be a string or an integer, not a number with a fraction",
		"[limits]\nMemoryMx = \"4G\"":                "did you mean limits.MemoryMax?",
		"[limits]\nRuntimeMaxSec = 4":                "2: limits.RuntimeMaxSec: unknown key",
		"[limits]\nSlice = \"x.slice\"":              "2: limits.Slice: unknown key",
		"[limits.user.ci]\nmemorymax = \"4G\"":       "2: limits.user.ci.memorymax: unknown key, did you mean MemoryMax?",
		"[limits.user.ci]\nconnections_per_user = 1": "2: limits.user.ci.connections_per_user: unknown key",
		"[limits.mode.remote]\nTasksMax = 1":         "1: limits.mode.remote: unknown section",
		"[limits.users.ci]\nTasksMax = 1":            "1: limits.users.ci: unknown section",
		"[limits.user.\"\"]\nTasksMax = 1":           "unknown section",
		"[limits.user]\nci = 1":                      "2: limits.user.ci: is a section",
		"[[limits.user.ci]]\nTasksMax = 1":           "must be a section",
		"[limits.user.a.b]\nTasksMax = 1":            "unknown section",
	} {
		_, err := Load(tree(t, map[string]string{MainFile: text}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
