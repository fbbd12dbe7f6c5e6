package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/limits"
)

type watchFlags struct {
	json   bool
	filter []string
}

func (a *app) watch() *cobra.Command {
	var flags watchFlags
	cmd := &cobra.Command{
		Use:   "watch [ID...]",
		Short: "Follow what happens to builds",
		Long: `Show the builds that there are and, from then on, what happens: a build begins,
comes to another state, is ended rung by rung, is gone. One line each.

With IDs, only those builds; it ends when all of them are gone. --filter is as in
"buildwatchctl list", but for the key arch. Without IDs it goes on until Ctrl+C.

When the daemon is stopped or restarted that is said on standard error, and it is
asked again until it is back; the builds that there are then are shown again. Who
reads too slowly loses events: how many is told, and the builds are shown again.

--json prints a JSON object for each event, one a line. The kinds:
` + wordHelp(shownKinds()),
		Example: `  buildwatchctl watch
  buildwatchctl watch --json | jq 'select(.kind == "gone").build.reason'`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.runWatch(cmd.Context(), flags, ids)
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "print a JSON object for each event, one a line")
	cmd.Flags().StringArrayVarP(&flags.filter, "filter", "f", nil, "show only builds that `key=value` fits")
	completeFlags(cmd)
	return cmd
}

// errSeen ends the watching: all that was asked for is gone.
var errSeen = errors.New("all that was watched is gone")

func (a *app) runWatch(ctx context.Context, flags watchFlags, ids []string) error {
	wanted, err := newFilter(filterKeys, flags.filter, a.Now())
	if err != nil {
		return err
	}
	if _, ok := wanted["arch"]; ok {
		return errors.New("--filter arch: events do not say it")
	}
	c := a.client()
	defer c.Close()
	v := &viewer{app: a, wanted: wanted, json: flags.json}
	if v.left, err = a.fullIDs(ctx, c, ids); err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	readerGone(ctx, a.Out, cancel)
	const shortest, longest = 250 * time.Millisecond, 5 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		v.ready, v.present = false, make(map[string]bool)
		err := c.Watch(ctx, v.see)
		switch {
		case errors.Is(err, errSeen):
			return nil
		case ctx.Err() != nil:
			return nil // nobody reads any more
		case !v.began, v.failed != nil:
			return fail(err)
		case v.ready:
			pause = shortest
		}
		if !v.lost {
			v.lost = true
			a.complain(err.Error() + ": asking again until it is back")
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// fullIDs asks the daemon which builds are meant; nil for all.
func (a *app) fullIDs(ctx context.Context, c *client.Client, ids []string) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	full := make(map[string]bool)
	for _, id := range ids {
		d, err := c.Show(ctx, id)
		if err != nil {
			return nil, err
		}
		full[d.ID] = true
	}
	return full, nil
}

// viewer prints events.
type viewer struct {
	app    *app
	wanted filter
	json   bool
	left   map[string]bool // the builds that were asked for and may not be gone; nil for all

	began   bool            // the daemon has answered at least once
	ready   bool            // it has told, this time, which builds there are
	lost    bool            // it was there, and is not; who reads was told
	present map[string]bool // those that it told of
	failed  error           // it can't be printed
}

// see prints an event that was asked for.
func (v *viewer) see(e api.Event) error {
	v.began = true
	switch {
	case e.Build != nil:
		if v.left != nil && !v.left[e.Build.ID] {
			return nil
		}
		if e.Kind == api.EventPresent {
			v.present[e.Build.ID] = true
		}
		if e.Kind == api.EventGone {
			delete(v.left, e.Build.ID)
		}
		if !v.wanted.matches(api.Build{BuildHead: *e.Build}) {
			return v.rest()
		}
	case e.Kind == api.EventDropped:
		v.present = make(map[string]bool)
	case e.Kind == api.EventReady:
		if v.lost {
			v.app.complain("buildwatchd is there again")
		}
		v.ready, v.lost = true, false
		v.missed()
	}
	if v.failed = v.print(e); v.failed != nil {
		return v.failed
	}
	return v.rest()
}

// missed takes the builds that are not there any more off the list of those that
// are waited for.
func (v *viewer) missed() {
	for id := range v.left {
		if !v.present[id] {
			v.app.complain(fmt.Sprintf("build %s is gone; its end was missed", quote(id)))
			delete(v.left, id)
		}
	}
}

// rest ends the watching when nothing is left to watch.
func (v *viewer) rest() error {
	if v.left != nil && len(v.left) == 0 {
		return errSeen
	}
	return nil
}

func (v *viewer) print(e api.Event) error {
	if v.json {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintln(v.app.Out, escapeJSON(line))
		}
		return err
	}
	if text := describeEvent(e); text != "" {
		_, err := fmt.Fprintf(v.app.Out, "%s  %s\n", timestamp(e.Time), text)
		return err
	}
	return nil
}

// describeEvent says what happened, in one line; nothing for what only programs
// need to know.
func describeEvent(e api.Event) string {
	if e.Build == nil {
		if e.Kind == api.EventDropped {
			return fmt.Sprintf("%s lost: they were not read in time", plural(e.Dropped, "event"))
		}
		return ""
	}
	b := row{build: api.Build{BuildHead: *e.Build}}
	state := b.stateAndReason()
	if e.Build.Reported {
		state += ", only reported"
	}
	if e.Build.Refusing {
		state += ", its next RUN step is refused"
	}
	what := quote(string(e.Kind))
	switch e.Kind {
	case api.EventPresent:
		what = fmt.Sprintf("is there: %s, %s of %s", state, b.Owner(), b.User())
	case api.EventStarted:
		what = fmt.Sprintf("begins: %s of %s, %s", b.Owner(), b.User(), b.held())
	case api.EventState:
		what = fmt.Sprintf("%s, was %s", state, orNone(quote(string(e.Was))))
	case api.EventRung:
		what = "a rung"
		if e.Rung != nil {
			r := rungRow{*e.Rung}
			what = fmt.Sprintf("rung %s: %s", r.Rung(), r.outcome())
		}
	case api.EventSurvivors:
		var names []string
		for _, p := range e.Survivors {
			names = append(names, describeStuck(processRow{p}))
		}
		what = "outlived SIGKILL: " + strings.Join(names, "; ")
	case api.EventFreed:
		what = fmt.Sprintf("FUSE connection %d, for which its last processes waited, was aborted", e.Connection)
	case api.EventReclaimed:
		what = describeReclaimed(e.Reclaimed)
	case api.EventShortage:
		what = "a shortage"
		if e.Shortage != nil {
			what = quote(e.Shortage.String())
		}
	case api.EventGone:
		what = state
		if e.Took > 0 {
			what += " after " + humanStep(time.Duration(e.Took))
		}
	}
	return strings.Join([]string{b.ID(), what}, "  ")
}

func describeReclaimed(r *api.Reclaimed) string {
	if r == nil {
		return "storage"
	}
	return "storage: " + describeStorage(*r)
}

func describeStorage(r api.Reclaimed) string {
	what := fmt.Sprintf("%d removed, %s, in %s", r.Removed, limits.Rounded(uint64(r.Bytes)), humanStep(time.Duration(r.Duration)))
	if r.Left > 0 {
		what += fmt.Sprintf("; %d left: %s", r.Left, quote(r.Why))
	}
	return what
}
