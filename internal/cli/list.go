package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
)

// patience is how long the daemon may take for an answer that needs no waiting.
const patience = 10 * time.Second

// Tables of list: the default, and the wide one.
var (
	defaultTable = table("ID", "Status", "Age", "Owner", "Label", "User", "Arch", "CPU")
	wideTable    = table("ID", "State", "Reason", "Age", "Owner", "Name", "Unit", "User", "Arch", "Processes", "CPU", "Scope")
)

// leastOfList says which columns of the default table may be cut.
var leastOfList = map[string]int{"STATE": 11, "OWNER": 12, "NAME": 6, "USER": 6, "ARCH": 7}

type listFlags struct {
	format, output, sort                            string
	json, quiet, noTruncate, noHeading, all, latest bool
	filter                                          []string
	last, watch                                     int
}

func (a *app) list() *cobra.Command {
	var flags listFlags
	cmd := &cobra.Command{
		Use:        "list",
		SuggestFor: []string{"ls", "ps"},
		Short:      "List the builds",
		Long: `List the builds that there are, oldest first. Below the table standard error
says which are stuck, stalled, or abandoned and only reported; on a terminal their
rows are red, unless $NO_COLOR is set. The column NAME has the name that run --name
gave, or else the systemd unit that the build was started in.

--all adds those that have ended in the last 24 hours, as the journal has them; the
column STATE says why they did. "buildwatchctl history" has all.

--format takes "json" or a Go template, which is filled in for each build; with
"table " before it, columns that have \t between them are aligned below a heading.
Its placeholders:
` + helpOn(placeholders) + `
It may use the functions json, join, split, lower and upper.

--filter takes key=value. It may be given several times: of the same key one must
fit, and all keys must. The keys:
` + filterHelp(pastKeys()) + `
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
	f.BoolVarP(&flags.all, "all", "a", false, "show builds that have ended in the last 24 hours, too")
	f.IntVarP(&flags.last, "last", "n", 0, "show only the last `number` that began, with those that have ended")
	f.BoolVarP(&flags.latest, "latest", "l", false, "show only the last one that began, same as --last 1")
	f.IntVarP(&flags.watch, "watch", "w", 0, "show the list again every so many `seconds`, until Ctrl+C")
	f.StringVarP(&flags.output, "output", "o", "", "print `wide`, with more columns, or json")
	f.BoolVar(&flags.json, "json", false, "print a JSON array, same as --format json")
	f.StringVar(&flags.format, "format", "", "print by a Go `template`, or json")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print only IDs")
	f.BoolVar(&flags.noTruncate, "no-trunc", false, "do not cut long values in a table")
	f.BoolVar(&flags.noHeading, "noheading", false, "do not print a table's headings")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "show only builds that `key=value` fits")
	f.StringVar(&flags.sort, "sort", "created", "order by `key`: "+joinNames(sortNames()))
	for _, name := range []string{"last", "watch"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	completeFlags(cmd)
	return cmd
}

// text is the format that the flags ask for, and whether that is the default table.
func (f listFlags) text() (text string, standard bool, err error) {
	if err := exclusive(choice{"--json", f.json}, choice{"--format", f.format != ""}, choice{"--output", f.output != ""}, choice{"--quiet", f.quiet}); err != nil {
		return "", false, err
	}
	switch {
	case f.json || f.output == "json":
		return "json", false, nil
	case f.output == "wide":
		return wideTable, false, nil
	case f.output != "":
		return "", false, fmt.Errorf("--output %q: the values are wide, json", f.output)
	case f.format != "":
		return f.format, false, nil
	}
	return defaultTable, true, nil
}

// past reports whether builds are asked for that have ended.
func (f listFlags) past() bool { return f.all || f.last > 0 || f.latest }

func (a *app) runList(ctx context.Context, flags listFlags) error {
	if flags.latest {
		flags.last = 1
	}
	if flags.last < 0 || flags.watch < 0 {
		return errors.New("--last and --watch take a number above 0")
	}
	text, standard, err := flags.text()
	if err != nil {
		return err
	}
	v := listView{flags: flags, standard: standard}
	if v.format, err = newFormat(text, row{now: a.Now()}); err != nil {
		return err
	}
	keys := filterKeys
	if flags.past() {
		keys = pastKeys()
	}
	if v.wanted, err = newFilter(keys, flags.filter, a.Now()); err != nil {
		return err
	}
	if v.order, err = newOrder(flags.sort); err != nil {
		return err
	}
	if flags.watch == 0 {
		return fail(a.listOnce(ctx, v))
	}
	return fail(a.listAgain(ctx, v, time.Duration(flags.watch)*time.Second))
}

// listView is how the list is chosen and printed.
type listView struct {
	format
	flags    listFlags
	standard bool // the default table
	wanted   filter
	order    func(a, b api.Build) int
}

// clearScreen has a terminal begin anew.
//
// Source: console_codes(4), ED and CUP.
const clearScreen = "\x1b[2J\x1b[H"

func (a *app) listAgain(ctx context.Context, v listView, pause time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readerGone(ctx, a.Out, cancel)
	for {
		if a.Columns > 0 {
			fmt.Fprint(a.Out, clearScreen)
		}
		if err := a.listOnce(ctx, v); err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *app) listOnce(ctx context.Context, v listView) error {
	now := a.Now()
	builds, err := a.builds(ctx)
	if err != nil {
		return err
	}
	if v.flags.past() {
		ended, err := a.recent(ctx)
		if err != nil {
			return err
		}
		builds = append(builds, ended...)
		api.SortBuilds(builds)
	}
	builds = lastOf(v.wanted.apply(builds), v.flags.last)
	slices.SortStableFunc(builds, v.order)
	switch {
	case v.json:
		return writeJSON(a.Out, builds)
	case v.flags.quiet:
		return a.printIDs(builds)
	case v.table && len(builds) == 0:
		a.sayNone(len(v.wanted) > 0)
		return nil
	}
	rows := make([]any, len(builds))
	for i, b := range builds {
		rows[i] = row{build: b, now: now, table: v.table, cut: v.table && !v.flags.noTruncate && !v.standard && v.flags.output == ""}
	}
	head := headings()
	if v.flags.noHeading {
		head = nil
	}
	if !v.standard {
		return v.write(a.Out, rows, head)
	}
	var cells, table bytes.Buffer
	if err := v.fill(&cells, rows, head); err != nil {
		return err
	}
	text := cells.String()
	if !v.flags.noTruncate {
		text = fitColumns(text, leastOfList, columnsOf(defaultTable, placeholders), a.width())
	}
	if err := align(&table, []byte(text)); err != nil {
		return err
	}
	if err := a.writeTable(table.Bytes(), builds); err != nil {
		return err
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
