package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// Tables of history: the default, and the wide one.
var (
	historyTable = table("Ended", "ID", "Reason", "Duration", "Label", "User", "OwnerCommand")
	historyWide  = table("EndedAt", "ID", "Reason", "AskedBy", "Duration", "Name", "Unit", "User", "Owner", "Arch", "CPU", "MemoryPeak", "Processes", "Survivors")
)

// leastOfHistory says which columns of the default table may be cut.
var leastOfHistory = map[string]int{"REASON": 12, "NAME": 6, "USER": 6, "COMMAND": 10}

type historyFlags struct {
	format, output, since, until               string
	json, quiet, follow, noTruncate, noHeading bool
	filter                                     []string
	lines                                      int
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
	f.IntVarP(&flags.lines, "lines", "n", 0, "show only the last `number` of them")
	f.StringVarP(&flags.since, "since", "S", "", "show only those that ended after the `time`")
	f.StringVarP(&flags.until, "until", "U", "", "show only those that ended before the `time`")
	f.BoolVarP(&flags.follow, "follow", "f", false, "go on with those that end from now on")
	f.StringArrayVar(&flags.filter, "filter", nil, "show only builds that `key=value` fits")
	f.StringVarP(&flags.output, "output", "o", "", "print `wide`, with more columns, or json")
	f.StringVar(&flags.format, "format", "", "print by a Go `template`, or json")
	f.BoolVar(&flags.json, "json", false, "print a JSON array; with --follow an object for each, one a line")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print only IDs")
	f.BoolVar(&flags.noTruncate, "no-trunc", false, "do not cut long values in a table")
	f.BoolVar(&flags.noHeading, "noheading", false, "do not print a table's headings")
	for _, name := range []string{"since", "until", "lines"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	completeFlags(cmd)
	return cmd
}

// view is how ended builds are printed.
type endedView struct {
	format
	flags    historyFlags
	out      io.Writer
	standard bool // the default table
	width    int
}

func (a *app) newEndedView(flags historyFlags) (endedView, error) {
	v := endedView{flags: flags, out: a.Out, width: a.width()}
	if err := exclusive(choice{"--json", flags.json}, choice{"--format", flags.format != ""}, choice{"--output", flags.output != ""}, choice{"--quiet", flags.quiet}); err != nil {
		return v, err
	}
	text := flags.format
	switch flags.output {
	case "":
	case "wide":
		text = historyWide
	case "json":
		text = "json"
	default:
		return v, fmt.Errorf("--output %q: the values are wide, json", flags.output)
	}
	if flags.json {
		text = "json"
	}
	if v.standard = text == ""; v.standard {
		text = historyTable
	}
	var err error
	v.format, err = newFormat(text, endedRow{})
	return v, err
}

// print prints ended builds that are all there are.
func (v endedView) print(all []api.Ended) error {
	switch {
	case v.json:
		return writeJSON(v.out, all)
	case v.flags.quiet:
		return v.printIDs(all)
	}
	head := headingsOf(endedPlaceholders)
	if v.flags.noHeading {
		head = nil
	}
	rows := make([]any, len(all))
	for i, e := range all {
		rows[i] = endedRow{build: e, table: v.table}
	}
	if !v.standard || v.flags.noTruncate {
		return v.write(v.out, rows, head)
	}
	var text bytes.Buffer
	if err := v.fill(&text, rows, head); err != nil {
		return err
	}
	return align(v.out, []byte(fitColumns(text.String(), leastOfHistory, columnsOf(historyTable, endedPlaceholders), v.width)))
}

func (v endedView) printIDs(all []api.Ended) error {
	for _, e := range all {
		if _, err := fmt.Fprintln(v.out, quote(e.ID)); err != nil {
			return err
		}
	}
	return nil
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

func (a *app) runHistory(ctx context.Context, flags historyFlags) error {
	if flags.lines < 0 {
		return fmt.Errorf("--lines %d: not a number of builds", flags.lines)
	}
	view, err := a.newEndedView(flags)
	if err != nil {
		return err
	}
	wanted, err := newFilter(historyKeys(), flags.filter, a.Now())
	if err != nil {
		return err
	}
	q := history.Query{Since: a.journalTimeOf(flags.since), Until: a.journalTimeOf(flags.until)}
	if len(wanted) == 0 && !flags.follow {
		q.Last = flags.lines
	}
	read, err := a.readAll(ctx, q)
	if err != nil {
		return fail(err)
	}
	seen := map[string]bool{}
	for _, e := range read {
		seen[e.ID] = true
	}
	all := lastOf(wanted.ended(read), flags.lines)
	if view.json || strings.Contains(flags.format, "Storage") {
		a.withStorage(ctx, q, all)
	}
	if len(all) > 0 || view.json && !flags.follow {
		if flags.follow && view.json {
			for _, e := range all {
				if err := view.printOne(e); err != nil {
					return fail(err)
				}
			}
		} else if err := view.print(all); err != nil {
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
	c := a.client()
	defer c.Close()
	info, err := c.Info(ctx)
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

// table is the format of a table with columns of these placeholders.
func table(names ...string) string {
	return "table {{." + strings.Join(names, "}}\t{{.") + "}}"
}

// columnsOf returns the headings of such a table.
func columnsOf(format string, among []placeholder) []string {
	heading := headingsOf(among)
	var columns []string
	for name := range strings.SplitSeq(strings.TrimPrefix(format, "table "), "\t") {
		columns = append(columns, heading[strings.Trim(name, "{.}")].(string))
	}
	return columns
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
