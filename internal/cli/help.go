package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// fitHelp has --help of a command and all below it fit a page.
func fitHelp(root *cobra.Command) {
	root.SetUsageTemplate(strings.NewReplacer(
		".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", columnsOfPage), "Available Commands:", "Commands:", "Global Flags:", "Flags of every command:",
		"Use \"{{.CommandPath}} [command] --help\" for more information about a command.", "\"{{.CommandPath}} COMMAND --help\" tells all of a command.",
	).Replace(root.UsageTemplate()))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := cmd.Long
		if text == "" {
			text = cmd.Short
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", strings.TrimRight(reflow(text, columnsOfPage), "\n"), cmd.UsageString())
	})
}

// reflow fills the paragraphs of a text anew, up to a width. Lines that are indented stay
// as they are.
func reflow(text string, width int) string {
	var b strings.Builder
	at := ""
	flush := func() {
		if at != "" {
			b.WriteString(at + "\n")
		}
		at = ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			b.WriteString(line + "\n")
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if at != "" && len(at)+1+len(word) > width {
				flush()
			}
			at = strings.TrimPrefix(at+" "+word, " ")
		}
	}
	flush()
	return b.String()
}

// wrap breaks a value into lines that fit beside its label; only where somebody looks at
// a terminal, width is not 0.
func wrap(text string, margin, width int) string {
	if width == 0 {
		return text
	}
	room := max(width-margin, columnsOfPage/2)
	lines := strings.Split(strings.TrimRight(reflow(text, room), "\n"), "\n")
	return strings.Join(lines, "\n"+strings.Repeat(" ", margin))
}
