package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// maxPlanned is how many processes an action of a plan names for a person.
const maxPlanned = 20

// planAll shows what a stop would do to each build. Nothing is sent.
func (a *app) planAll(ctx context.Context, ids []string, request api.StopRequest, ignore, asJSON bool) []error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	plans := []api.Plan{}
	var errs []error
	for _, id := range ids {
		p, err := c.Plan(ctx, id, request)
		switch {
		case err == nil:
			plans = append(plans, p)
		case ignore && isGone(err):
		default:
			errs = append(errs, err)
		}
	}
	if asJSON {
		return append(errs, writeJSON(a.Out, plans))
	}
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		errs = append(errs, writePlan(a.Out, p))
	}
	return errs
}

// writePlan shows a plan to a person.
func writePlan(out io.Writer, p api.Plan) error {
	var text bytes.Buffer
	b := row{build: api.Build{BuildHead: p.Build}}
	fmt.Fprintf(&text, "Build %s (%s, %s of %s): nothing is sent. A stop would do this:\n", b.ID(), b.State(), b.Owner(), b.User())
	left := false
	for i, action := range p.Actions {
		if action.If == api.PlanProcessesLeft && !left {
			fmt.Fprintln(&text, "And if processes are left:")
		}
		left = action.If == api.PlanProcessesLeft
		fmt.Fprintf(&text, "%3d. %s\n", i+1, describeAction(action))
		for j, process := range action.Processes {
			if j == maxPlanned {
				fmt.Fprintf(&text, "       and %d more\n", len(action.Processes)-maxPlanned)
				break
			}
			fmt.Fprintf(&text, "       %d %s\n", process.PID, orNone(quote(process.Command)))
		}
	}
	_, err := out.Write(text.Bytes())
	return err
}

// meansText says how an action is done.
var meansText = map[api.PlanMeans]string{
	api.MeansPidfd:      "by descriptor",
	api.MeansKillUnit:   "KillUnit",
	api.MeansStopUnit:   "StopUnit",
	api.MeansCgroupKill: "cgroup.kill",
	api.MeansFUSEAbort:  "FUSE abort",
}

func describeAction(action api.PlanAction) string {
	text := say(action.Kind)
	if action.If == api.PlanOwnerLives {
		text = "if it still lives, " + text
	}
	if action.Rung != "" {
		text = quote(string(action.Rung)) + ": " + text
	}
	var details []string
	if how := meansText[action.Means]; how != "" {
		details = append(details, strings.TrimSpace(strings.TrimSpace(quote(action.Signal)+" "+how)+" "+quote(action.On)))
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(append(details, humanStep(time.Duration(action.Limit))+" at most"), ", "))
}
