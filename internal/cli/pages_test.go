//go:build linux

package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// TestEveryPageFits80Columns of a terminal, with long names in it. A word that is longer
// stays whole; check, a line for each finding, and config, which is TOML, have no width.
func TestEveryPageFits80Columns(t *testing.T) {
	builds := twoBuilds()
	for i := range builds {
		b := &builds[i]
		b.Name, b.Owner.Unit = "", "gitlab-runner-of-the-big-machine@"+strings.Repeat("4711", 10)+".service"
		b.User.Name = "somebody-with-a-long-name"
		b.Owner.Command = "podman system service --with-a-long-name"
	}
	past := endedBuilds()
	for i := range past {
		past[i].OwnerUnit, past[i].User.Name = builds[0].Owner.Unit, builds[0].User.Name
	}
	socket, _ := start(t, builds...)
	for _, args := range []string{
		"list", "list --all", "list -n 3", "history", "show bcdf2345", "show past2345", "top -b -n 1", "version",
	} {
		var out, complaint bytes.Buffer
		Main(strings.Fields(args), Environment{
			Out: &out, Err: &complaint, Now: nowIs, Version: "1.2.4", Columns: columnsOfPage, Getenv: only(socketVariable, socket),
			Past: func(_ context.Context, _ history.Query, each func(api.Ended) error) error {
				for _, e := range past {
					if err := each(e); err != nil {
						return err
					}
				}
				return nil
			},
		})
		if out.Len() == 0 {
			t.Errorf("%s: prints nothing: %s", args, complaint.String())
		}
		for line := range strings.Lines(out.String()) {
			_, words, _ := strings.Cut(line, ": ")
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columnsOfPage && (words == "" || strings.Contains(strings.TrimSpace(words), " ")) {
				t.Errorf("%s: %d columns: %s", args, n, line)
			}
		}
	}
}
