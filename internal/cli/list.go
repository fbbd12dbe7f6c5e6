package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// patience is how long the daemon may take for an answer that needs no waiting.
const patience = 10 * time.Second

// listTables are those of list.
var listTables = tables{
	standard:     table("ID", "Status", "Age", "Owner", "Label", "User", "Arch", "CPU"),
	wide:         table("ID", "State", "Reason", "Age", "Owner", "Name", "Unit", "User", "Arch", "Processes", "CPU", "Scope"),
	least:        map[string]int{"STATE": 11, "OWNER": 12, "NAME": 6, "USER": 6, "ARCH": 7},
	placeholders: placeholders,
}

type listFlags struct {
	tableFlags
	sort        string
	all, latest bool
	filter      []string
	last, watch atLeastOne
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
	f.VarP(&flags.last, "last", "n", "show only the last `number` that began, with those that have ended")
	f.BoolVarP(&flags.latest, "latest", "l", false, "show only the last one that began, same as --last 1")
	f.VarP(&flags.watch, "watch", "w", "show the list again every so many `seconds`, until Ctrl+C")
	flags.add(cmd, "print a JSON array, same as --format json")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "show only builds that `key=value` fits")
	f.StringVar(&flags.sort, "sort", "created", "order by `key`: "+joinNames(sortNames()))
	for _, name := range []string{"last", "watch"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	completeFlags(cmd)
	return cmd
}

// past reports whether builds are asked for that have ended.
func (f listFlags) past() bool { return f.all || f.last > 0 || f.latest }

func (a *app) runList(ctx context.Context, flags listFlags) error {
	switch {
	case flags.latest && flags.last > 0:
		return errors.New("takes only one of --last, --latest")
	case flags.latest:
		flags.last = 1
	}
	v := listView{flags: flags}
	var err error
	if v.page, err = listTables.page(flags.tableFlags, row{now: a.Now()}); err != nil {
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
	page
	flags  listFlags
	wanted filter
	order  func(a, b api.Build) int
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
	builds, err := a.builds(ctx)
	if err != nil {
		return err
	}
	var unknown error // those that there are, are listed all the same
	if v.flags.past() {
		var ended []api.Build
		ended, unknown = a.recent(ctx)
		builds = append(builds, ended...)
		api.SortBuilds(builds)
	}
	if err := a.printList(v, builds); err != nil {
		return err
	}
	return unknown
}

func (a *app) printList(v listView, builds []api.Build) error {
	now := a.Now()
	builds = lastOf(v.wanted.apply(builds), int(v.flags.last))
	slices.SortStableFunc(builds, v.order)
	switch {
	case v.json:
		return writeJSON(a.Out, builds)
	case v.flags.quiet:
		return printIDs(a.Out, each(builds, func(b api.Build) string { return b.ID })...)
	case v.table && len(builds) == 0:
		a.sayNone(len(v.wanted) > 0)
		return nil
	}
	cut := v.table && !v.flags.noTruncate && !v.isStandard && v.flags.output == ""
	text, err := v.render(each(builds, func(b api.Build) any {
		return row{build: b, now: now, table: v.table, cut: cut}
	}), a.width())
	switch {
	case err != nil:
		return err
	case !v.isStandard:
		_, err := a.Out.Write(text)
		return err
	}
	if err := a.writeTable(text, builds); err != nil {
		return err
	}
	a.warn(builds)
	return nil
}

// asked asks the daemon for what needs no waiting.
func asked[T any](ctx context.Context, a *app, what func(*client.Client, context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	return what(c, ctx)
}

// builds asks for the list of builds, which is never nil.
func (a *app) builds(ctx context.Context) ([]api.Build, error) {
	builds, err := asked(ctx, a, (*client.Client).List)
	if builds == nil {
		builds = []api.Build{}
	}
	return builds, err
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
