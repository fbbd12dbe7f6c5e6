//go:build linux

package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write the manual pages that are made from the commands")

const manDir = "../../man"

// TestManualPagesAreThoseOfTheCommands: one page for buildwatchctl and one for
// each of its verbs, as podman has them.
func TestManualPagesAreThoseOfTheCommands(t *testing.T) {
	// A date of its own: the page must not change by the day.
	written := time.Date(2026, time.November, 24, 0, 0, 0, 0, time.UTC)
	root := (&app{Environment: Environment{Getenv: func(string) string { return "" }}}).root(nil)
	root.DisableAutoGenTag = true
	root.InitDefaultCompletionCmd()
	pages := map[string]bool{}
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		if !cmd.IsAvailableCommand() && cmd != root || cmd.Name() == "completion" {
			continue
		}
		cmd.DisableAutoGenTag = true
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		pages[name] = true
		var page bytes.Buffer
		header := doc.GenManHeader{
			Title: strings.ToUpper(strings.TrimSuffix(name, ".1")), Section: "1", Source: "buildwatch", Manual: "buildwatch",
			Date: &written,
		}
		if err := doc.GenMan(cmd, &header, &page); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(manDir, name)
		if *update {
			if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, page.Bytes()) {
			t.Errorf("%s is not what the commands say: go test ./internal/cli -update", path)
		}
	}
	have, err := filepath.Glob(filepath.Join(manDir, "buildwatchctl*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if !pages[filepath.Base(path)] {
			t.Errorf("%s is no command's page", path)
		}
	}
}
