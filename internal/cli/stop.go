package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

type stopFlags struct {
	all, ignore, dryRun, json bool
	filter                    []string
	seconds                   int
}

func (a *app) stop() *cobra.Command {
	var (
		flags   stopFlags
		request api.StopRequest
	)
	cmd := &cobra.Command{
		Use:   "stop {ID... | --all | --filter key=value}",
		Short: "End builds, and wait until they are gone",
		Long: `End builds, and wait until no process of them is left. The RUN containers are
killed first, so that a living podman or buildah sees the step fail and tidies up
after itself. The ID of each build that is gone is printed.

A build of which no RUN step runs gets no signal: its next step is refused, and
without another it completes. That is waited for as long as an owner may tidy up.

An ID may be shortened while it is unique. --filter is as in "buildwatchctl list".

--dry-run sends nothing. It shows, in the order of the ladder, which processes would
get which signal by which means, and what would follow if that did not do. The means:
` + wordHelp(api.AllPlanMeans()),
		Example: `  buildwatchctl stop bcd2
  buildwatchctl stop --dry-run bcd2
  buildwatchctl stop --filter user=alice --time 0`,
		ValidArgsFunction: a.completeIDs,
		Args: func(_ *cobra.Command, ids []string) error {
			chosen := flags.all || len(flags.filter) > 0
			switch {
			case chosen && len(ids) > 0:
				return errors.New("takes either IDs, or --all or --filter")
			case !chosen && len(ids) == 0:
				return errors.New("needs at least one ID, --all or --filter")
			case flags.json && !flags.dryRun:
				return errors.New("takes --json with --dry-run only")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, ids []string) error {
			if cmd.Flags().Changed("time") {
				if flags.seconds < 0 || flags.seconds > int(api.MaxOwnerTimeout/time.Second) {
					return fmt.Errorf("--time %d: not between 0 and %d seconds", flags.seconds, int(api.MaxOwnerTimeout/time.Second))
				}
				request.OwnerTimeout = new(api.Seconds(time.Duration(flags.seconds) * time.Second))
			}
			return a.runStop(cmd.Context(), flags, request, ids)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.all, "all", "a", false, "stop all builds that you may see")
	f.StringArrayVarP(&flags.filter, "filter", "f", nil, "stop the builds that `key=value` fits")
	f.BoolVarP(&flags.ignore, "ignore", "i", false, "take a build that is not there for done")
	f.IntVarP(&flags.seconds, "time", "t", 0, "`seconds` that a living owner has to tidy up (default as buildwatchd is configured)")
	f.BoolVar(&flags.dryRun, "dry-run", false, "send nothing: show what would be done")
	f.BoolVar(&flags.json, "json", false, "with --dry-run: print a JSON array")
	completeFlags(cmd)
	return cmd
}

func (a *app) runStop(ctx context.Context, flags stopFlags, request api.StopRequest, ids []string) error {
	wanted, err := newFilter(filterKeys, flags.filter, a.Now())
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		builds, err := a.builds(ctx)
		if err != nil {
			return fail(err)
		}
		for _, b := range wanted.apply(builds) {
			if b.Live() {
				ids = append(ids, b.ID)
			}
		}
		if len(ids) == 0 && !flags.json {
			a.sayNone(len(wanted) > 0)
			return nil
		}
		// One that ends by itself meanwhile is what was asked for.
		flags.ignore = true
	}
	if flags.dryRun {
		return fail(a.planAll(ctx, unique(ids), request, flags.ignore, flags.json)...)
	}
	return fail(a.stopAll(ctx, unique(ids), request, flags.ignore)...)
}

// stopAll stops all builds at once, and says of each what came of it in the order
// in which they were given.
func (a *app) stopAll(ctx context.Context, ids []string, request api.StopRequest, ignore bool) []error {
	c := a.client()
	defer c.Close()
	outcomes := make([]chan error, len(ids))
	stopped := make([]api.Build, len(ids))
	for i, id := range ids {
		outcomes[i] = make(chan error, 1)
		go func() {
			var err error
			stopped[i], err = stopOne(ctx, c, id, request)
			outcomes[i] <- err
		}()
	}
	var errs []error
	for i := range ids {
		err := <-outcomes[i]
		switch {
		case err == nil:
			if err := printIDs(a.Out, stopped[i].ID); err != nil {
				errs = append(errs, err)
			}
		case ignore && isGone(err):
		default:
			errs = append(errs, err)
		}
	}
	// What keeps the daemon from answering is said once, not for each ID.
	seen := make(map[string]bool)
	return slices.DeleteFunc(errs, func(err error) bool {
		again := seen[err.Error()]
		seen[err.Error()] = true
		return again
	})
}

// stopOne returns a build that is gone, or an error.
func stopOne(ctx context.Context, c *client.Client, id string, request api.StopRequest) (api.Build, error) {
	b, err := c.Stop(ctx, id, request)
	switch {
	case err != nil:
		return b, err
	case b.State == api.StateGone:
		return b, nil
	case b.Refusing:
		return b, fmt.Errorf(`build %s is to end, but no RUN step of it runs, so its owner, PID %d, got no signal: its next step is refused, and until then it may complete ("buildwatchctl show %s")`, b.ID, b.Owner.PID, b.ID)
	case b.State != api.StateStuck:
		return b, fmt.Errorf(`build %s is still %s: "buildwatchctl show %s" shows it`, b.ID, b.State, b.ID)
	}
	return b, fmt.Errorf(`build %s is stuck, %s survived SIGKILL: "buildwatchctl show %s" shows all of it`, b.ID, survivors(ctx, c, b), b.ID)
}

// survivors names what is left of a build that is stuck.
func survivors(ctx context.Context, c *client.Client, b api.Build) string {
	const most = 5
	detail, err := c.Show(ctx, b.ID)
	if err != nil {
		return fmt.Sprintf("%d of its processes", b.Processes)
	}
	var names []string
	more := 0
	for _, p := range detail.ProcessTree {
		switch {
		case !p.Survivor:
		case len(names) == most:
			more++
		default:
			names = append(names, fmt.Sprintf("%d %s (%s in %s)", p.PID, orNone(quote(p.Command)), orNone(quote(p.State)), orNone(quote(p.WChan))))
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Sprintf("%d of its processes", b.Processes)
	case more > 0:
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

func unique(ids []string) []string {
	var once []string
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}
