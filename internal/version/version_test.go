package version

import (
	"runtime/debug"
	"testing"
)

func TestRevision(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings []debug.BuildSetting
		want     string
	}{
		{"built without git", nil, ""},
		{"only a flag", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, ""},
		{"clean", []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}, "abc"},
		{"changed", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"}}, "abc-dirty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := revision(test.settings); got != test.want {
				t.Errorf("revision is %q, want %q", got, test.want)
			}
		})
	}
}
