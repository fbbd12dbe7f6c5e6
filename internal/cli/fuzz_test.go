package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// Whatever --filter is given: no panic, and a filter or one clear error. What was
// given once more must say the same.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"", "=", "id=bcdf", "state=running", "state=", "state=RUNNING", "user=0", "user=-1", "user=4294967296", "user=root",
		"since=10m", "since=-1h", "since=9223372036854775807ns", "until=2026-01-02T15:04:05Z", "until=0000-00-00T00:00:00Z",
		"reason=owner_exited", "mode=api", "arch=aarch64", "scope=a=b", "nonsense=1", "id\x00=\xff", "since=1e9h",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	build := api.Build{BuildHead: api.BuildHead{ID: "bcdf2345", State: api.StateRunning, CreatedAt: now, User: api.User{Name: "root"}}}
	f.Fuzz(func(t *testing.T, given string) {
		wanted, err := newFilter(filterKeys, []string{given}, now)
		if err != nil {
			if said := err.Error(); strings.ContainsAny(said, "\n\x1b\x00") || !strings.HasPrefix(said, "--filter ") {
				t.Errorf("%q: the error is %q", given, said)
			}
			return
		}
		twice, err := newFilter(filterKeys, []string{given, given}, now)
		if err != nil || twice.matches(build) != wanted.matches(build) {
			t.Errorf("%q: once %v, twice %v (%v)", given, wanted.matches(build), twice.matches(build), err)
		}
		if left := wanted.apply([]api.Build{build}); (len(left) == 1) != wanted.matches(build) {
			t.Errorf("%q: %d builds pass", given, len(left))
		}
	})
}

// Whatever --format is given without an action that could run for long: no panic.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{
		"", "json", "table", "table {{.ID}}", "tablet", `{{.ID}}\t{{.State}}\n`, "{{", "}}", "{{.", "{{.Nonsense}}", "{{json .}}",
		"{{/* c */}}", "{{`\\n`}}", "\x00{{.ID}}\xff", "{{.ID.Nothing}}", `\`, `{{"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "template") || strings.Contains(text, "range") || strings.Contains(text, "printf") {
			return // may be recursive, or make much out of little; both are their user's own
		}
		sample := struct{ ID, State string }{"bcdf2345", "running"}
		made, err := newFormat(text, sample)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--format: ") {
				t.Errorf("%q: the error is %q", text, err)
			}
			return
		}
		if made.json {
			return
		}
		var out bytes.Buffer
		if made.template.Execute(&out, sample) == nil && !strings.HasSuffix(out.String(), "\n") && !strings.Contains(text, "{{") {
			t.Errorf("%q: %q does not end the line", text, out.String())
		}
	})
}
