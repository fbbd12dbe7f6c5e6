package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

func TestEveryFeatureHasWords(t *testing.T) {
	for _, name := range api.FeatureNames() {
		if words := featureWords[name]; words.name == "" || words.without == "" {
			t.Errorf("%s: %+v", name, words)
		}
	}
	if len(featureWords) != len(api.FeatureNames()) {
		t.Errorf("%d features have words, there are %d", len(featureWords), len(api.FeatureNames()))
	}
}

// TestHostOfAnotherDaemon: one that has not looked yet, whose systemd does not
// answer, or that knows a feature that we do not.
func TestHostOfAnotherDaemon(t *testing.T) {
	for name, test := range map[string]struct {
		host *api.Host
		want []string
	}{
		"not looked yet": {nil, nil},
		"no systemd":     {&api.Host{Kernel: "6.1"}, []string{"kernel        6.1", "systemd       does not answer"}},
		"unknown feature, and a trap for the terminal": {
			&api.Host{Kernel: "\x1b[2J", Systemd: "9", Features: []api.Feature{{Name: "telepathy"}, {Name: api.FeatureFusectl, Error: "\x1b"}}},
			[]string{`kernel        "\x1b[2J"`, "systemd       9", `missing       fusectl: ` + featureWords[api.FeatureFusectl].without + ` (\x1b)`},
		},
	} {
		if got := describeHost(test.host); !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}
