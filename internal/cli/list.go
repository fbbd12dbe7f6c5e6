package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
)

// patience is how long the daemon may take for an answer that needs no waiting.
const patience = 10 * time.Second

// defaultTable is what list prints without --format.
const defaultTable = "table {{.ID}}\t{{.State}}\t{{.Age}}\t{{.Owner}}\t{{.User}}\t{{.Arch}}\t{{.Processes}}\t{{.CPU}}\t{{.Scope}}"

type listFlags struct {
	format, sort                       string
	json, quiet, noTruncate, noHeading bool
	filter                             []string
}

func (a *app) list() *cobra.Command {
	var flags listFlags
	cmd := &cobra.Command{
		Use:        "list",
		SuggestFor: []string{"ls", "ps"},
		Short:      "List the builds",
		Long: `List the builds that there are, oldest first. Below the table standard error
says which are stuck, stalled, or abandoned and only reported; on a terminal their
rows are red, unless $NO_COLOR is set.

--format takes "json" or a Go template, which is filled in for each build; with
"table " before it, columns that have \t between them are aligned below a heading.
Its placeholders:
` + placeholderHelp() + `
It may use the functions json, join, split, lower and upper.

--filter takes key=value. It may be given several times: of the same key one must
fit, and all keys must. The keys:
` + filterHelp() + `
The states:
` + wordHelp(api.States()) + `
The reasons:
` + wordHelp(api.Reasons()) + `
The modes:
` + wordHelp(api.Modes()) + `
The placements:
` + wordHelp(api.Placements()),
		Example: `  buildwatchctl list --filter state=stuck --quiet
  buildwatchctl list --format '{{.ID}}\t{{.State}}'
  buildwatchctl list --format 'table {{.ID}}\t{{.Cgroup}}' --no-trunc`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runList(cmd.Context(), flags)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.json, "json", false, "print a JSON array, same as --format json")
	f.StringVar(&flags.format, "format", defaultTable, "print by a Go `template`, or json")
	f.Lookup("format").DefValue = "" // the default is the table that one sees
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print only IDs")
	f.BoolVar(&flags.noTruncate, "no-trunc", false, "do not cut long values in a table")
	f.BoolVar(&flags.noHeading, "noheading", false, "do not print a table's headings")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "show only builds that `key=value` fits")
	f.StringVar(&flags.sort, "sort", "created", "order by `key`: "+joinNames(sortNames()))
	cmd.MarkFlagsMutuallyExclusive("json", "format", "quiet")
	completeFlags(cmd)
	return cmd
}

func (a *app) runList(ctx context.Context, flags listFlags) error {
	now := a.Now()
	f, err := newFormat(flags.format, row{now: now})
	if err != nil {
		return err
	}
	wanted, err := newFilter(flags.filter, now)
	if err != nil {
		return err
	}
	order, err := newOrder(flags.sort)
	if err != nil {
		return err
	}
	builds, err := a.builds(ctx)
	if err != nil {
		return fail(err)
	}
	builds = wanted.apply(builds)
	slices.SortStableFunc(builds, order)
	switch {
	case flags.json || f.json:
		return fail(writeJSON(a.Out, builds))
	case flags.quiet:
		return fail(a.printIDs(builds))
	case f.table && len(builds) == 0:
		a.sayNone(len(wanted) > 0)
		return nil
	}
	rows := make([]any, len(builds))
	for i, b := range builds {
		rows[i] = row{build: b, now: now, table: f.table, cut: f.table && !flags.noTruncate}
	}
	head := headings()
	if flags.noHeading {
		head = nil
	}
	if flags.format != defaultTable {
		return fail(f.write(a.Out, rows, head))
	}
	var table bytes.Buffer
	if err := f.write(&table, rows, head); err != nil {
		return fail(err)
	}
	if err := a.writeTable(table.Bytes(), builds); err != nil {
		return fail(err)
	}
	a.warn(builds)
	return nil
}

// builds asks for the list of builds, which is never nil.
func (a *app) builds(ctx context.Context) ([]api.Build, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	builds, err := c.List(ctx)
	if builds == nil {
		builds = []api.Build{}
	}
	return builds, err
}

func (a *app) printIDs(builds []api.Build) error {
	for _, b := range builds {
		if _, err := fmt.Fprintln(a.Out, quote(b.ID)); err != nil {
			return err
		}
	}
	return nil
}

// sayNone tells a person why there is nothing to see. It goes to stderr: for a
// program, nothing is nothing.
func (a *app) sayNone(filtered bool) {
	if filtered {
		fmt.Fprintln(a.Err, "no builds fit the filter")
		return
	}
	fmt.Fprintln(a.Err, "no builds are running")
}
