//go:build linux

package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// update reports whether the manual pages that are made from the commands are to be
// written: -update, which the helper of terminal programs' tests has already.
//
// Source: charmbracelet/x, exp/golden.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

const manDir = "../../man"

// manMargin is what man(1) has beside the lines of a list, their ends included.
const manMargin = 7

// TestManualPagesAreThoseOfTheCommands: one page for buildwatchctl and one for
// each of its verbs, as podman has them.
func TestManualPagesAreThoseOfTheCommands(t *testing.T) {
	// A date of its own: the page must not change by the day.
	written := time.Date(2026, time.November, 24, 0, 0, 0, 0, time.UTC)
	root := (&app{Environment: Environment{Getenv: func(string) string { return "" }}}).root(nil)
	root.DisableAutoGenTag = true
	pages := map[string]bool{}
	var all strings.Builder
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
		text := forReading(page.String())
		for line := range strings.Lines(text) { // filled is what does not begin so
			if strings.HasPrefix(line, "  ") && len(line) > columnsOfPage-manMargin {
				t.Errorf("%s, on a page: %s", name, line)
			}
		}
		all.WriteString(text)
		path := filepath.Join(manDir, name)
		if update() {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(path); err != nil || string(have) != text {
			t.Errorf("%s is not what the commands say: go test ./internal/cli -update", path)
		}
	}
	for _, reference := range regexp.MustCompile(`buildwatchctl-[a-z]+\(1\)`).FindAllString(all.String(), -1) {
		if !pages[strings.Replace(reference, "(1)", ".1", 1)] {
			t.Errorf("there is no page %s", reference)
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

// forReading mends what the generator makes: lists, which are indented, stay as they are
// set, and no page is referred to that there is not.
func forReading(page string) string {
	page = strings.ReplaceAll(page, `\fBbuildwatchctl-completion(1)\fP, `, "")
	var b strings.Builder
	inList, inExample := false, false
	for line := range strings.Lines(page) {
		isList := strings.HasPrefix(line, "  ") && !inExample
		if isList != inList {
			b.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[isList])
			inList = isList
		}
		switch strings.TrimSpace(line) {
		case ".EX", ".nf":
			inExample = true
		case ".EE", ".fi":
			inExample = false
		}
		b.WriteString(line)
	}
	return b.String()
}
