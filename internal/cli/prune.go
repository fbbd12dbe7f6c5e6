package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// leftover is one thing that a dead build has left in storage. The JSON names are stable.
type leftover struct {
	User    string    `json:"user,omitempty"` // whose, where others were asked for
	Kind    string    `json:"kind"`           // container, bundle or request
	What    string    `json:"what"`           // a container's ID, or a path
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
	force, dryRun, json, allUsers bool
	filter, users                 []string
}

var errNoPruner = errors.New("builds run on Linux: use it there, or with --machine")

func (a *app) prune() *cobra.Command {
	var flags pruneFlags
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove what dead builds have left in storage",
		Long: `Show what dead builds of yours have left in storage, and remove it after a question:
working containers with their mounts, bundles, directories of API requests, and other
temporary directories and files, secrets among them. It is safe while other builds run:
what may be a living build's stays, and so does what a process uses, and each container of
"buildah from".

buildwatchd removes by itself what it has seen to be a dead build's. This is for what
builds have left that nobody saw. A working container that a build was told to keep
(--rm=false) looks the same: look at the list.

Everybody prunes their own storage, root that of root, or of those that are named: as
these users, by a program that is started for each. buildwatchd is not needed.`,
		Example: `  buildwatchctl prune --dry-run
  buildwatchctl prune --force --filter until=24h
  sudo buildwatchctl prune --all-users`,
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
	f.StringArrayVar(&flags.users, "user", nil, "not yours but that of the `user`; for root, more than once if wanted")
	f.BoolVar(&flags.allUsers, "all-users", false, "that of root and of all who have subordinate UIDs, and so can build; for root")
	_ = cmd.RegisterFlagCompletionFunc("user", cobra.NoFileCompletions)
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

// pruners are those of the users that are asked for, by name; "" is who asks.
func (a *app) pruners(flags pruneFlags) (names []string, by map[string]pruner, err error) {
	if len(flags.users) == 0 && !flags.allUsers {
		if a.Pruner == nil {
			return nil, nil, errNoPruner
		}
		return []string{""}, map[string]pruner{"": a.Pruner}, nil
	}
	if names = flags.users; flags.allUsers {
		if names, err = a.Builders(); err != nil {
			return nil, nil, err
		}
	}
	if a.UID != 0 {
		return nil, nil, errors.New("storage of others is root's to prune")
	}
	by = map[string]pruner{}
	for _, name := range names {
		if by[name], err = a.PrunerOf(name); err != nil {
			return nil, nil, err
		}
	}
	return names, by, nil
}

// findLeftovers has those of all users, as far as they can be told.
func (a *app) findLeftovers(ctx context.Context, names []string, by map[string]pruner, before time.Time) (found []leftover, failed []error) {
	for _, name := range names {
		its, err := by[name].Find(ctx, before)
		failed = append(failed, err)
		for _, one := range its {
			one.User = name
			found = append(found, one)
		}
	}
	return found, failed
}

// removeLeftovers removes from each user's storage what was found there.
func (a *app) removeLeftovers(ctx context.Context, names []string, by map[string]pruner, before time.Time, found []leftover) (done []leftover, failed []error) {
	for _, name := range names {
		var its []leftover
		for _, one := range found {
			if one.User == name && one.Kept == "" {
				its = append(its, one)
			}
		}
		if len(its) == 0 {
			continue
		}
		its, err := by[name].Remove(ctx, before, its)
		failed = append(failed, err)
		for _, one := range its {
			one.User = name
			done = append(done, one)
		}
	}
	return done, failed
}

func (a *app) runPrune(ctx context.Context, flags pruneFlags, before time.Time) error {
	names, by, err := a.pruners(flags)
	if err != nil {
		return fail(fmt.Errorf("prune: %w", err))
	}
	found, errs := a.findLeftovers(ctx, names, by, before)
	if failed := fail(errs...); failed != nil && len(found) == 0 {
		return failed
	}
	able, bytes := 0, int64(0)
	for _, one := range found {
		if one.Kept == "" {
			able, bytes = able+1, bytes+one.Bytes
		}
	}
	if !flags.json {
		if err := a.showLeftovers(found); err != nil { // what nobody could look at is not removed
			return fail(append(errs, err)...)
		}
	}
	switch {
	case flags.dryRun:
		return fail(append(errs, a.leftoversJSON(flags, found))...)
	case able == 0:
		return fail(append(errs, a.leftoversJSON(flags, nil))...)
	case !flags.force:
		yes, err := a.ask(fmt.Sprintf("Remove %d of these, %s in all? [y/N] ", able, limits.Rounded(uint64(bytes))))
		if err != nil || !yes {
			return fail(append(errs, err)...)
		}
	}
	done, failed := a.removeLeftovers(ctx, names, by, before, found)
	errs = append(errs, failed...)
	removed, back := 0, int64(0)
	for _, one := range done {
		switch {
		case one.Removed:
			removed, back = removed+1, back+one.Bytes
		case one.Kept != "":
			errs = append(errs, fmt.Errorf("%s %s stays: %s", one.Kind, oneLine(one.What), oneLine(one.Kept)))
		}
	}
	if flags.json {
		return fail(append(errs, a.leftoversJSON(flags, done))...)
	}
	_, err = fmt.Fprintf(a.Out, "%d removed, %s\n", removed, limits.Rounded(uint64(back)))
	return fail(append(errs, err)...)
}

func (a *app) showLeftovers(found []leftover) error {
	if len(found) == 0 {
		fmt.Fprintln(a.Err, "Dead builds have left nothing.")
		return nil
	}
	var text bytes.Buffer
	users := slices.ContainsFunc(found, func(one leftover) bool { return one.User != "" })
	if users {
		fmt.Fprint(&text, "USER\t")
	}
	fmt.Fprintln(&text, "KIND\tWHAT\tSIZE\tAGE\tSTAYS")
	for _, one := range found {
		what := one.What
		if one.Kind == "container" {
			what = what[:min(len(what), 12)]
		}
		if users {
			fmt.Fprintf(&text, "%s\t", oneLine(one.User))
		}
		fmt.Fprintf(&text, "%s\t%s\t%s\t%s\t%s\n", one.Kind, oneLine(what), limits.Rounded(uint64(one.Bytes)), a.Now().Sub(one.Created).Round(time.Second), oneLine(orNone(one.Kept)))
	}
	return align(a.Out, text.Bytes())
}

func (a *app) leftoversJSON(flags pruneFlags, found []leftover) error {
	if !flags.json {
		return nil
	}
	if found == nil {
		found = []leftover{}
	}
	return writeJSON(a.Out, found)
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
