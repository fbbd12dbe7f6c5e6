package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// tableFlags are those of verbs that print a row for each build.
type tableFlags struct {
	format, output                     string
	json, quiet, noTruncate, noHeading bool
}

// add adds them to a verb; json is the help on --json.
func (t *tableFlags) add(cmd *cobra.Command, json string) {
	f := cmd.Flags()
	f.StringVarP(&t.output, "output", "o", "", "print in a `format`: wide, with more columns, or json")
	f.BoolVar(&t.json, "json", false, json)
	f.StringVar(&t.format, "format", "", "print by a Go `template`, or json")
	f.BoolVarP(&t.quiet, "quiet", "q", false, "print only IDs")
	f.BoolVar(&t.noTruncate, "no-trunc", false, "do not cut long values in a table")
	f.BoolVar(&t.noHeading, "noheading", false, "do not print a table's headings")
}

// tables are those of a verb: the default one, of which least says how narrow a column may
// become, and the wide one.
type tables struct {
	standard, wide string
	least          map[string]int // by heading; what is not among them is never cut
	placeholders   []placeholder
}

// page is how rows are printed.
type page struct {
	format
	tables
	flags      tableFlags
	isStandard bool // the default table
}

// page reads the flags. sample is a row.
func (t tables) page(flags tableFlags, sample any) (page, error) {
	p := page{tables: t, flags: flags}
	if err := exclusive(choice{"--json", flags.json}, choice{"--format", flags.format != ""}, choice{"--output", flags.output != ""}, choice{"--quiet", flags.quiet}); err != nil {
		return p, err
	}
	text := flags.format
	switch {
	case flags.json || flags.output == "json":
		text = "json"
	case flags.output == "wide":
		text = t.wide
	case flags.output != "":
		return p, fmt.Errorf("--output %q: the values are wide, json", flags.output)
	case text == "":
		text, p.isStandard = t.standard, true
	}
	var err error
	p.format, err = newFormat(text, sample)
	return p, err
}

// render is what is printed of rows, no wider than that if it is the default table.
func (p page) render(rows []any, width int) ([]byte, error) {
	var headings map[string]any
	if !p.flags.noHeading {
		headings = headingsOf(p.placeholders)
	}
	text, err := p.fill(rows, headings)
	if err != nil || !p.table {
		return []byte(text), err
	}
	if p.isStandard && !p.flags.noTruncate {
		text = fitColumns(text, p.least, columnsOf(p.standard, p.placeholders), width)
	}
	var table bytes.Buffer
	err = align(&table, []byte(text))
	return table.Bytes(), err
}

// table is the format of a table with columns of these placeholders.
func table(names ...string) string {
	return "table {{." + strings.Join(names, "}}\t{{.") + "}}"
}

// columnsOf returns the headings of such a table.
func columnsOf(format string, among []placeholder) []string {
	heading := headingsOf(among)
	return each(strings.Split(strings.TrimPrefix(format, "table "), "\t"), func(name string) string {
		return heading[strings.Trim(name, "{.}")].(string)
	})
}

// printIDs prints the IDs of builds, one a line.
func printIDs(out io.Writer, ids ...string) error {
	for _, id := range ids {
		if _, err := fmt.Fprintln(out, quote(id)); err != nil {
			return err
		}
	}
	return nil
}

// choice is a flag of which a group allows one, and whether it was given.
type choice struct {
	name  string
	given bool
}

// exclusive refuses more than one.
func exclusive(choices ...choice) error {
	var given []string
	for _, c := range choices {
		if c.given {
			given = append(given, c.name)
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("takes only one of %s", strings.Join(given, ", "))
	}
	return nil
}
