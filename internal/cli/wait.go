package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// exitRemains is wait's exit code where something is left when its time is over: that
// of timeout(1).
const exitRemains = 124

type waitFlags struct {
	timeout string
	ignore  bool
	filter  []string
}

func (a *app) wait() *cobra.Command {
	var flags waitFlags
	cmd := &cobra.Command{
		Use:   "wait [ID...]",
		Short: "Wait until nothing of builds is left",
		Long: `Wait until no process of the builds is left; without IDs, of all builds that you
may see, also those that begin meanwhile. It is the answer to whether all is gone,
after Ctrl+C or in a script. Nothing is ended by it: "buildwatchctl stop" does that.

The ID of each build that is gone is printed. An ID may be shortened while it is
unique, and a name that run --name gave may be in its place. A build that has ended
before counts as gone, if the journal knows of it. --filter is as in
"buildwatchctl list".

When the time of --timeout is over, one line on standard error says of each build
what is left of it, and the exit code is 124. The daemon may be restarted meanwhile.`,
		Example: `  buildwatchctl wait --timeout 30s || buildwatchctl stop --all
  buildwatchctl wait --filter user=ci --timeout 1min`,
		ValidArgsFunction: a.completeIDs,
		Args: func(_ *cobra.Command, ids []string) error {
			if len(ids) > 0 && len(flags.filter) > 0 {
				return errors.New("takes either IDs or --filter")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.runWait(cmd.Context(), flags, ids)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.timeout, "timeout", "t", "", "wait no longer than this `time`, as in systemd.time(7): 90, 30s, 5min")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "wait for the builds that `key=value` fits")
	f.BoolVarP(&flags.ignore, "ignore", "i", false, "take a build that nobody knows for gone")
	_ = cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
	completeFlags(cmd)
	return cmd
}

// errTimeOver is the cause of the end of a wait.
var errTimeOver = errors.New("the time is over")

func (a *app) runWait(ctx context.Context, flags waitFlags, ids []string) error {
	wanted, err := newFilter(filterKeys, flags.filter, a.Now())
	if err != nil {
		return err
	}
	limited := ctx
	if flags.timeout != "" {
		limit, err := limits.ParseTimespan(flags.timeout)
		if err != nil {
			return fmt.Errorf("--timeout %q: %w", flags.timeout, err)
		}
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, limit, errTimeOver)
		defer cancel()
	}
	w := waiter{app: a, wanted: wanted, left: map[string]api.Build{}}
	if len(ids) > 0 {
		w.named = map[string]bool{}
	}
	for _, given := range unique(ids) {
		if err := w.name(ctx, given, flags.ignore); err != nil {
			return fail(err)
		}
	}
	return w.run(ctx, limited)
}

// waiter waits for builds.
type waiter struct {
	*app
	wanted filter
	named  map[string]bool      // IDs that are waited for; nil for all
	left   map[string]api.Build // at the last look
	looked bool                 // there was one
}

// name adds a build that is to be waited for.
func (w *waiter) name(ctx context.Context, given string, ignore bool) error {
	c := w.client()
	defer c.Close()
	ask, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := c.Show(ask, given)
	if err == nil {
		w.named[d.ID] = true
		w.left[d.ID] = d.Build
		return nil
	}
	if !isGone(err) {
		return err
	}
	e, err := w.orEnded(ask, given, err)
	switch {
	case e != nil:
		return printIDs(w.Out, e.ID)
	case ignore && isGone(err):
		return nil
	}
	return err
}

// Between two looks lies this time, more the longer it takes.
const waitPause, maxWaitPause = 50 * time.Millisecond, time.Second

// run looks again and again, until limited ends. A daemon that can't be asked for a while is
// being restarted. The first look is made whatever time was given, for it is the answer to
// what is left.
func (w *waiter) run(ctx, limited context.Context) error {
	unanswered := time.Time{}
	for pause := waitPause; ; pause = min(pause*5/4, maxWaitPause) {
		ask := limited
		if !w.looked {
			ask = ctx
		}
		gone, err := w.look(ask)
		switch {
		case err == nil && gone:
			return nil
		case err == nil:
			unanswered = time.Time{}
		case unanswered.IsZero():
			unanswered = time.Now()
		case time.Since(unanswered) > patience:
			return fail(err)
		}
		select {
		case <-time.After(pause):
		case <-limited.Done():
			if errors.Is(context.Cause(limited), errTimeOver) {
				return w.tellLeft(err)
			}
			return fail(context.Cause(limited))
		}
	}
}

// look reports whether all is gone, and prints what has gone since.
func (w *waiter) look(ctx context.Context) (gone bool, err error) {
	if w.named != nil && len(w.left) == 0 {
		return true, nil // they had ended before
	}
	builds, err := w.builds(ctx)
	if err != nil {
		return false, err
	}
	now := map[string]api.Build{}
	for _, b := range w.wanted.apply(builds) {
		if b.Live() && (w.named == nil || w.named[b.ID]) {
			now[b.ID] = b
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.left)) {
		if _, still := now[id]; !still {
			if err := printIDs(w.Out, id); err != nil {
				return false, err
			}
		}
	}
	w.left, w.looked = now, true
	return len(now) == 0, nil
}

// tellLeft says what remains; err is why the last look has failed, if it has.
func (w *waiter) tellLeft(err error) error {
	if !w.looked && err != nil {
		return fail(err)
	}
	for _, id := range slices.Sorted(maps.Keys(w.left)) {
		b := w.left[id]
		r := row{build: b}
		what := plural(b.Processes, "process")
		if b.Processes != 1 {
			what = strings.TrimSuffix(what, "s") + "es"
		}
		w.complain(fmt.Sprintf("build %s is still %s, with %s: %s of %s", r.ID(), r.stateAndReason(), what, r.Owner(), r.User()))
	}
	return exitCode(exitRemains)
}
