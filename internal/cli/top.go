package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Seconds between two looks of top: the default, and the least, which the daemon is to
// bear from many at once.
const (
	topDelay    = 2
	minTopDelay = 0.2
)

type topFlags struct {
	batch      bool
	delay      float64
	iterations atLeastOne
	sort       string
	filter     []string
}

func (a *app) top() *cobra.Command {
	var flags topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what builds use, again and again",
		Long: `Show what builds use of the host, again and again: CPU time, where 100 % is one
CPU, memory, what they read from disks and write to them, and processes. What was
used before the first look counts from the build's beginning. What the kernel does
not count for a build is "-".

On a terminal the keys are

  up, down     choose a build (or k, j)
  enter        show all that is known of it, as "show ID" does
  s            stop it, after a question
  o            order by the next of ` + joinNames(topOrders()) + `
  esc          back to the list
  q, Ctrl+C    end

Where standard input or output is no terminal, $TERM is "dumb", or with --batch a
table is printed at each look.`,
		Example: `  buildwatchctl top --sort memory
  buildwatchctl top --batch --iterations 1 --filter user=ci`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.defaultMachine(cmd.Flags()); err != nil {
				return err
			}
			return a.runTop(cmd.Context(), a.source(cmd.Flags()), flags)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.batch, "batch", "b", false, "print a table at each look, on a terminal, too")
	f.Float64VarP(&flags.delay, "delay", "d", topDelay, "`seconds` between two looks")
	f.VarP(&flags.iterations, "iterations", "n", "end after this `number` of looks")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "show only builds that `key=value` fits, as in list")
	f.StringVar(&flags.sort, "sort", "cpu", "order by `key`, the most first: "+joinNames(topOrders()))
	for _, name := range []string{"delay", "iterations"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(topOrders(), cobra.ShellCompDirectiveNoFileComp))
	completeFlags(cmd)
	return cmd
}

// watched is what top looks at, and how.
type watched struct {
	source
	wanted filter
	meter  meter
	now    func() time.Time
}

// look asks for the builds, and says what they use.
func (w *watched) look(ctx context.Context) (glance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*patience, errors.New("the list of builds was waited for too long"))
	defer cancel()
	builds, err := w.list(ctx)
	if err != nil {
		return glance{}, err
	}
	now := w.now()
	return w.meter.read(w.wanted.apply(builds), now), nil
}

func (a *app) runTop(ctx context.Context, from source, flags topFlags) error {
	switch {
	case !(flags.delay >= minTopDelay && flags.delay <= 3600): // no number either
		return fmt.Errorf("--delay %v: not between %v and 3600 seconds", flags.delay, minTopDelay)
	case !slices.Contains(topOrders(), flags.sort):
		return fmt.Errorf("--sort %q: the values are %s", flags.sort, joinNames(topOrders()))
	}
	wanted, err := newFilter(filterKeys, flags.filter, a.Now())
	if err != nil {
		return err
	}
	w := &watched{source: from, wanted: wanted, now: a.Now}
	delay := time.Duration(flags.delay * float64(time.Second))
	if a.hasTerminal() && !flags.batch {
		return fail(a.topOnTerminal(ctx, newTopView(ctx, w, flags.sort, delay, int(flags.iterations), a.Colour)))
	}
	err = a.topInPlain(ctx, w, flags, delay)
	if unasked, ok := errors.AsType[noMachine](err); ok {
		a.complain(unasked.Error())
		return exitCode(exitUsage)
	}
	return fail(err)
}

// hasTerminal reports whether keys can be read and a screen be drawn.
func (a *app) hasTerminal() bool {
	in, ok := a.In.(*os.File)
	return ok && a.Columns > 0 && term.IsTerminal(int(in.Fd())) && a.Getenv("TERM") != "dumb"
}

// topInPlain prints a table at each look, for a pipe or a file.
func (a *app) topInPlain(ctx context.Context, w *watched, flags topFlags, delay time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readerGone(ctx, a.Out, cancel)
	for n := 1; ; n++ {
		g, err := w.look(ctx)
		if err != nil {
			return err
		}
		if n > 1 {
			fmt.Fprintln(a.Out)
		}
		g.sort(flags.sort)
		if err := g.print(a.Out, a.width()); err != nil {
			return err
		}
		if n == int(flags.iterations) {
			return nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}
