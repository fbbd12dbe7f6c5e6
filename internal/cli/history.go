package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/history"
)

// historyTables are those of history.
var historyTables = tables{
	standard:     table("Ended", "ID", "Reason", "Duration", "Label", "User", "OwnerCommand"),
	wide:         table("EndedAt", "ID", "Reason", "AskedBy", "Duration", "Name", "Unit", "User", "Owner", "Arch", "CPU", "MemoryPeak", "Processes", "Survivors"),
	least:        map[string]int{"REASON": 12, "NAME": 6, "USER": 6, "COMMAND": 10},
	placeholders: endedPlaceholders,
}

type historyFlags struct {
	tableFlags
	since, until string
	follow       bool
	filter       []string
	lines        atLeastOne
}

func (a *app) history() *cobra.Command {
	var flags historyFlags
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the builds that have ended",
		Long: `List the builds that have ended, oldest first, as the journal has them: when,
why, and after how long. "buildwatchctl show ID" shows all that is known of one.

Root sees all builds, everybody else their own. How long they are kept is the
journal's to say, see journald.conf(5). Of users whose journal is not kept apart
from the system's, as those of the system's own UIDs and of a journal in /run,
only root and members of the group systemd-journal can read it.

--since and --until are about the end, and take what journalctl takes: yesterday,
"2026-01-02 15:04", -2h; also a duration ago, such as 10m, and RFC 3339.

--filter takes key=value, as in "buildwatchctl list". The keys:
` + filterHelp(historyKeys()) + `
--format takes "json" or a Go template, as in "buildwatchctl list". Its
placeholders:
` + helpOn(endedPlaceholders) + `
If there are none it says so on standard error, and exits with 1.`,
		Example: `  buildwatchctl history --since today
  buildwatchctl history -n 20 --filter reason=stopped -o wide
  buildwatchctl history --json --since yesterday | jq '.[].cpu_seconds'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runHistory(cmd.Context(), flags)
		},
	}
	f := cmd.Flags()
	f.VarP(&flags.lines, "lines", "n", "show only the last `number` of them")
	f.StringVarP(&flags.since, "since", "S", "", "show only those that ended after the `time`")
	f.StringVarP(&flags.until, "until", "U", "", "show only those that ended before the `time`")
	f.BoolVarP(&flags.follow, "follow", "f", false, "go on with those that end from now on")
	f.StringArrayVar(&flags.filter, "filter", nil, "show only builds that `key=value` fits")
	flags.add(cmd, "print a JSON array; with --follow an object for each, one a line")
	for _, name := range []string{"since", "until", "lines"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	completeFlags(cmd)
	return cmd
}

// endedView is how ended builds are printed.
type endedView struct {
	page
	out   io.Writer
	width int
}

// print prints ended builds that are all there are.
func (v endedView) print(all []api.Ended) error {
	switch {
	case v.json:
		return writeJSON(v.out, all)
	case v.flags.quiet:
		return printIDs(v.out, each(all, func(e api.Ended) string { return e.ID })...)
	}
	text, err := v.render(each(all, func(e api.Ended) any { return endedRow{build: e, table: v.table} }), v.width)
	if err == nil {
		_, err = v.out.Write(text)
	}
	return err
}

// printOne prints one of those that come, below no heading: the width of what will come
// is not known.
func (v endedView) printOne(e api.Ended) error {
	if v.json {
		document, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintln(v.out, escapeJSON(document))
		}
		return err
	}
	v.flags.noHeading = true
	return v.print([]api.Ended{e})
}

func (v endedView) printEach(all []api.Ended) error {
	for _, e := range all {
		if err := v.printOne(e); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) runHistory(ctx context.Context, flags historyFlags) error {
	p, err := historyTables.page(flags.tableFlags, endedRow{})
	if err != nil {
		return err
	}
	view := endedView{page: p, out: a.Out, width: a.width()}
	wanted, err := newFilter(historyKeys(), flags.filter, a.Now())
	if err != nil {
		return err
	}
	q := history.Query{Since: a.journalTimeOf(flags.since), Until: a.journalTimeOf(flags.until)}
	if len(wanted) == 0 && !flags.follow {
		q.Last = int(flags.lines)
	}
	read, err := a.readAll(ctx, q)
	switch {
	case errors.Is(err, history.ErrTimes):
		return badTimes(flags.since, flags.until)
	case err != nil:
		return fail(err)
	}
	seen := map[string]bool{}
	for _, e := range read {
		seen[e.ID] = true
	}
	all := lastOf(wanted.ended(read), int(flags.lines))
	if view.json || strings.Contains(flags.format, "Storage") {
		a.withStorage(ctx, q, all)
	}
	show := view.print
	if flags.follow && view.json {
		show = view.printEach
	}
	if len(all) > 0 || view.json {
		if err := show(all); err != nil {
			return fail(err)
		}
	}
	switch {
	case flags.follow:
		return fail(a.followHistory(ctx, view, wanted, seen))
	case len(all) == 0 && !view.json:
		return a.sayNoHistory(ctx, len(wanted) > 0 || q.Since != "" || q.Until != "")
	}
	return nil
}

// badTimes is the error for what journalctl does not take.
func badTimes(since, until string) error {
	const like = `not a time such as yesterday, "2026-01-02 15:04", 10m or -2h`
	switch {
	case until == "":
		return fmt.Errorf("--since %q: %s", since, like)
	case since == "":
		return fmt.Errorf("--until %q: %s", until, like)
	}
	return fmt.Errorf("--since %q and --until %q: not two times, the earlier one first", since, until)
}

// followHistory prints what ends after those that were read.
func (a *app) followHistory(ctx context.Context, view endedView, wanted filter, seen map[string]bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readerGone(ctx, a.Out, cancel)
	// What ended while the others were printed is not to be missed.
	since := a.Now().Add(-time.Minute)
	return a.read(ctx, history.Query{Since: journalTime(since), Follow: true}, func(e api.Ended) error {
		if seen[e.ID] || !wanted.matches(asBuild(e)) {
			return nil
		}
		return view.printOne(e)
	})
}

// journalTimeOf gives journalctl a time that a user has typed: it does not know all of
// those that the other verbs do.
func (a *app) journalTimeOf(given string) string {
	if strings.HasPrefix(given, "-") || strings.HasPrefix(given, "+") {
		return given
	}
	if t, err := pointInTime(given, a.Now()); err == nil {
		return journalTime(t)
	}
	return given
}

// sayNoHistory tells a person why there is nothing to see.
func (a *app) sayNoHistory(ctx context.Context, filtered bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := asked(ctx, a, (*client.Client).Info)
	switch {
	case err == nil && info.NoJournal:
		return fail(errors.New("buildwatchd's log does not go to the journal, so ended builds are kept nowhere"))
	case filtered:
		return fail(errors.New("no ended builds fit"))
	case a.UID != 0:
		return fail(errors.New("no ended builds in the journals that you may read"))
	}
	return fail(errors.New("no ended builds in the journal"))
}

func lastOf[T any](all []T, n int) []T {
	if n > 0 && len(all) > n {
		return all[len(all)-n:]
	}
	return all
}
