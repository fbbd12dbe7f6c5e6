package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fitHelp has --help of a command and all below it fit a page.
func fitHelp(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := cmd.Long
		if text == "" {
			text = cmd.Short
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", strings.TrimRight(reflow(text, columnsOfPage), "\n"), usage(cmd))
	})
}

// usage is the part of a command's help that is made of the command itself.
func usage(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", synopsis(cmd))
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, verb := range cmd.Commands() {
			fmt.Fprintf(&b, "  %-*s  %s\n", verb.NamePadding(), verb.Name(), verb.Short)
		}
	}
	b.WriteString("\nFlags:\n" + besideEachOther(flagRows(cmd.LocalFlags())))
	if cmd.HasParent() {
		b.WriteString("\nFlags of every command:\n" + besideEachOther(flagRows(cmd.InheritedFlags())))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND --help\" tells all of a command.\n", cmd.CommandPath())
	}
	return b.String()
}

// synopsis is how a command is called.
func synopsis(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND [flags]"
	}
	return cmd.UseLine()
}

// flagRow is what help and manual pages say of a flag.
type flagRow struct{ short, long, value, text string }

func flagRows(flags *pflag.FlagSet) (rows []flagRow) {
	flags.VisitAll(func(f *pflag.Flag) {
		row := flagRow{short: f.Shorthand, long: f.Name}
		row.value, row.text = pflag.UnquoteUsage(f)
		isBool := f.Value.Type() == "bool"
		if f.NoOptDefVal != "" && !isBool {
			row.value = "[=" + row.value + "]"
		} else if row.value != "" {
			row.value = " " + row.value
		}
		if !isBool && !slices.Contains([]string{"", "0", "[]"}, f.DefValue) {
			row.text += " (default " + f.DefValue + ")"
		}
		rows = append(rows, row)
	})
	return rows
}

// besideEachOther sets flags beside what they are for.
func besideEachOther(rows []flagRow) string {
	names := each(rows, func(r flagRow) string {
		short := "    "
		if r.short != "" {
			short = "-" + r.short + ", "
		}
		return "  " + short + "--" + r.long + r.value
	})
	margin := len(slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) })) + 3
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "%-*s%s\n", margin, names[i], wrap(row.text, margin, columnsOfPage))
	}
	return b.String()
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
