package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// leftover is one thing that a dead build has left in storage. The JSON names are stable.
type leftover struct {
	Kind    string    `json:"kind"` // container, bundle or request
	What    string    `json:"what"` // a container's ID, or a path
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	Kept    string    `json:"kept,omitempty"` // why it stays, for people
	Removed bool      `json:"removed,omitempty"`
}

// pruner finds and removes them, as who calls it. Those that were shown are removed, and no others.
type pruner interface {
	Find(ctx context.Context, before time.Time) ([]leftover, error)
	Remove(ctx context.Context, before time.Time, shown []leftover) ([]leftover, error)
}

type pruneFlags struct {
	force, dryRun, json bool
	filter              []string
}

func (a *app) prune() *cobra.Command {
	var flags pruneFlags
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what dead builds have left in storage",
		Long: `Show what dead builds of yours have left in storage, and remove it after a question:
working containers with their mounts, bundles, and directories of API requests. It is
safe while other builds run: what may be a living build's stays, and so does what a
process uses, and each container of "buildah from".

buildwatchd removes by itself what it has seen to be a dead build's. This is for what
builds have left that nobody saw. A working container that a build was told to keep
(--rm=false) looks the same: look at the list.

Everybody prunes their own storage, root that of root. buildwatchd is not needed.`,
		Example: `  buildwatchctl prune --dry-run
  buildwatchctl prune --force --filter until=24h`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			before, err := a.pruneBefore(flags.filter)
			if err != nil {
				return err
			}
			if flags.force && flags.dryRun {
				return errors.New("takes either --force or --dry-run")
			}
			if flags.json && !flags.force && !flags.dryRun {
				return errors.New("takes --json with --force or --dry-run only")
			}
			return a.runPrune(cmd.Context(), flags, before)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.force, "force", "f", false, "remove it without a question")
	f.BoolVar(&flags.dryRun, "dry-run", false, "remove nothing: show what would be removed")
	f.StringArrayVar(&flags.filter, "filter", nil, "only what was made before: `until=age`, such as until=24h")
	f.BoolVar(&flags.json, "json", false, "print a JSON array")
	_ = cmd.RegisterFlagCompletionFunc("filter", cobra.FixedCompletions([]string{"until="}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	return cmd
}

// pruneBefore is the moment before which something must have been made.
func (a *app) pruneBefore(filter []string) (time.Time, error) {
	before := a.Now()
	for _, one := range filter {
		value, ok := strings.CutPrefix(one, "until=")
		age, err := time.ParseDuration(value)
		if !ok || err != nil || age < 0 {
			return time.Time{}, fmt.Errorf("--filter %q: not until=age, such as until=24h", one)
		}
		if at := a.Now().Add(-age); at.Before(before) {
			before = at
		}
	}
	return before, nil
}

func (a *app) runPrune(ctx context.Context, flags pruneFlags, before time.Time) error {
	if a.Pruner == nil {
		return fail(errors.New("prune: builds run on Linux: use it there, or with --machine"))
	}
	found, err := a.Pruner.Find(ctx, before)
	if err != nil {
		return fail(err)
	}
	able, bytes := 0, int64(0)
	for _, one := range found {
		if one.Kept == "" {
			able, bytes = able+1, bytes+one.Bytes
		}
	}
	if !flags.json {
		a.showLeftovers(found)
	}
	switch {
	case flags.dryRun:
		return a.leftoversJSON(flags, found)
	case able == 0:
		return a.leftoversJSON(flags, nil)
	case !flags.force:
		yes, err := a.ask(fmt.Sprintf("Remove %d of these, %s in all? [y/N] ", able, limits.Rounded(uint64(bytes))))
		if err != nil || !yes {
			return fail(err)
		}
	}
	done, err := a.Pruner.Remove(ctx, before, found)
	errs := []error{err}
	removed, back := 0, int64(0)
	for _, one := range done {
		switch {
		case one.Removed:
			removed, back = removed+1, back+one.Bytes
		case one.Kept != "" && !keptBefore(found, one):
			errs = append(errs, fmt.Errorf("%s %s stays: %s", one.Kind, one.What, one.Kept))
		}
	}
	if flags.json {
		return fail(append(errs, a.leftoversJSON(flags, done))...)
	}
	fmt.Fprintf(a.Out, "%d removed, %s\n", removed, limits.Rounded(uint64(back)))
	return fail(errs...)
}

func keptBefore(found []leftover, one leftover) bool {
	for _, other := range found {
		if other.What == one.What {
			return other.Kept != ""
		}
	}
	return false
}

func (a *app) showLeftovers(found []leftover) {
	if len(found) == 0 {
		fmt.Fprintln(a.Err, "Dead builds have left nothing.")
		return
	}
	table := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tWHAT\tSIZE\tAGE\tSTAYS")
	for _, one := range found {
		kept := one.Kept
		if kept == "" {
			kept = "-"
		}
		what := one.What
		if one.Kind == "container" {
			what = what[:min(len(what), 12)]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.Kind, oneLine(what), limits.Rounded(uint64(one.Bytes)), a.Now().Sub(one.Created).Round(time.Second), kept)
	}
	_ = table.Flush()
}

func (a *app) leftoversJSON(flags pruneFlags, found []leftover) error {
	if !flags.json {
		return nil
	}
	if found == nil {
		found = []leftover{}
	}
	content, err := json.MarshalIndent(found, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(a.Out, "%s\n", content)
	}
	return fail(err)
}

// ask asks a question of who sits at the terminal.
func (a *app) ask(question string) (yes bool, err error) {
	if file, ok := a.In.(*os.File); a.In == nil || ok && !term.IsTerminal(int(file.Fd())) {
		return false, errors.New("prune asks before it removes anything, and there is no terminal: use --force or --dry-run")
	}
	fmt.Fprint(a.Err, question)
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}
