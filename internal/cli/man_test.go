//go:build linux

package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
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
	root := (&app{Environment: Environment{Getenv: func(string) string { return "" }, Version: "of the package"}}).root(nil)
	pages := map[string]bool{}
	var all strings.Builder
	for _, cmd := range append([]*cobra.Command{root}, verbsWithPages(root)...) {
		name := pageName(cmd) + ".1"
		pages[name] = true
		text := manualPage(cmd)
		for line := range strings.Lines(text) { // filled is what does not begin so
			if strings.HasPrefix(line, "  ") && len(strings.ReplaceAll(line, `\`, "")) > columnsOfPage-manMargin {
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
	for _, reference := range regexp.MustCompile(`buildwatchctl\\-[a-z]+ \(1\)`).FindAllString(all.String(), -1) {
		if !pages[strings.NewReplacer(" (1)", ".1", `\`, "").Replace(reference)] {
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

func verbsWithPages(root *cobra.Command) (verbs []*cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "completion" && cmd.Name() != "help" {
			verbs = append(verbs, cmd)
		}
	}
	return verbs
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// roff has a text mean itself.
var roff = strings.NewReplacer(`\`, `\e`, "-", `\-`)

// manualPage is a command's, of the same parts as its --help.
//
// Source: man(7), groff_man_style(7).
func manualPage(cmd *cobra.Command) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.TH %s 1 2026-11-24 buildwatch buildwatch`, strings.ToUpper(roff.Replace(pageName(cmd))))
	line(".SH NAME\n%s \\- %s", roff.Replace(pageName(cmd)), roff.Replace(cmd.Short))
	line(".SH SYNOPSIS\n.B %s", roff.Replace(synopsis(cmd)))
	line(".SH DESCRIPTION")
	manText(line, cmd.Long)
	if !cmd.HasParent() {
		line(".SH COMMANDS")
		for _, verb := range verbsWithPages(cmd) {
			line(".TP\n.BR %s (1)\n%s", roff.Replace(pageName(verb)), roff.Replace(verb.Short))
		}
	}
	manFlags(line, "OPTIONS", flagRows(cmd.LocalFlags()))
	if cmd.HasParent() {
		manFlags(line, "OPTIONS OF EVERY COMMAND", flagRows(cmd.InheritedFlags()))
	}
	if cmd.HasExample() {
		line(".SH EXAMPLES\n.nf\n%s\n.fi", roff.Replace(cmd.Example))
	}
	if cmd.HasParent() {
		line(".SH SEE ALSO\n.BR buildwatchctl (1)")
		return b.String()
	}
	line("%s", `.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
not done, or not for all that was named: one line on standard error for each reason
.TP
.B 125
called wrongly, or the podman machine could not be asked
.PP
.BR buildwatchctl\-run (1),
.BR buildwatchctl\-wait (1),
.BR buildwatchctl\-check (1)
and
.BR buildwatchctl\-doctor (1)
have more.
.SH ENVIRONMENT
.TP
.B BUILDWATCH_SOCKET
the default of \fB\-\-socket\fP
.TP
.B BUILDWATCH_MACHINE
the default of \fB\-\-machine\fP
.TP
.B NO_COLOR
if it is set, nothing is printed in colour
.SH FILES
.TP
.I /run/buildwatch/control.sock
where the daemon is asked
.SH SEE ALSO
.BR buildwatchd.service (8),
.BR buildwatchd.toml (5),
.BR buildwatch\-runtime (8),
.BR podman\-build (1)`)
	return b.String()
}

// manText writes paragraphs, and as they stand the lists, which are indented.
func manText(line func(string, ...any), text string) {
	inList, after := false, false
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		isList := strings.HasPrefix(l, "  ")
		if isList != inList {
			line(map[bool]string{true: ".nf", false: ".fi"}[isList])
			inList = isList
		}
		if l == "" {
			after = true
			continue
		}
		if after {
			line(".PP")
		}
		after = false
		line("%s", roff.Replace(l))
	}
	if inList {
		line(".fi")
	}
}

func manFlags(line func(string, ...any), section string, rows []flagRow) {
	line(".SH %s", section)
	for _, row := range rows {
		names := `\fB\-\-` + roff.Replace(row.long) + `\fP`
		if row.short != "" {
			names = `\fB\-` + row.short + `\fP, ` + names
		}
		if row.value != "" {
			names += regexp.MustCompile("[^][ =]+").ReplaceAllString(row.value, `\fI${0}\fP`)
		}
		line(".TP\n%s\n%s", names, roff.Replace(row.text))
	}
}
