package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// Exit codes of check. They are none of podman's, ssh's, the shell's or run's own.
const (
	exitNotRunning = 10
	exitNoAnswer   = 11
	exitForbidden  = 12
	exitBadConfig  = 13
	exitStuck      = 20
	exitStalled    = 21
	exitReported   = 22
	exitUnsure     = 23
)

// checkCodes is the table of exit codes, for documentation. Of several the first
// counts that is listed.
var checkCodes = []codeMeaning{
	{0, "all is well"},
	{exitFailure, "it could not be checked, for another reason than those below"},
	{exitNotRunning, "buildwatchd is not running"},
	{exitNoAnswer, "buildwatchd does not answer within 10 s, or refuses all requests"},
	{exitForbidden, "no permission to ask buildwatchd"},
	{exitBadConfig, "the configuration is bad, and an earlier or a cautious one is in force"},
	{exitStuck, "a build is stuck: something has survived SIGKILL"},
	{exitStalled, "a build is stalled: its owner lives, and nothing of it does anything"},
	{exitReported, `a build is abandoned, and by [policy] abandoned = "report" left alone`},
	{exitUnsure, "a build has been unsure for more than a minute"},
}

type codeMeaning struct {
	code    int
	meaning string
}

// unsureTime is how long an API build may be unsure before that is worth a word.
const unsureTime = time.Minute

// finding is one thing that check has found.
type finding struct {
	Code    int    `json:"code"`
	Build   string `json:"build,omitempty"` // its ID
	Message string `json:"message"`
}

// checked is the document of check --json.
type checked struct {
	Code     int       `json:"code"`     // the exit code
	Builds   int       `json:"builds"`   // how many were looked at
	Findings []finding `json:"findings"` // the worst first; never null
}

func (a *app) check() *cobra.Command {
	var quiet, asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell scripts and monitoring whether all is well",
		Long: `Look whether the daemon answers, and whether there are builds that need somebody
to look at them. Each finding is one line on standard output; the exit code tells
the worst.

Exit codes, the worst first after 0:
` + checkHelp() + `
125 is for a wrong call, as everywhere. Root checks all builds, everybody else
their own.`,
		Example: `  buildwatchctl check || mail -s "$(hostname)" root </dev/null
  buildwatchctl check --quiet; test $? -ne 20`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := exclusive(choice{"--json", asJSON}, choice{"--quiet", quiet}); err != nil {
				return err
			}
			result := a.runCheck(cmd.Context())
			switch {
			case quiet:
			case asJSON:
				if err := writeJSON(a.Out, result); err != nil {
					return fail(err)
				}
			default:
				if err := result.write(a); err != nil {
					return fail(err)
				}
			}
			if result.Code != 0 {
				return exitCode(result.Code)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing: the exit code is the answer")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

func checkHelp() string {
	return glossary(each(checkCodes, func(c codeMeaning) [2]string { return [2]string{strconv.Itoa(c.code), c.meaning} }))
}

func (c checked) write(a *app) error {
	if len(c.Findings) == 0 {
		_, err := fmt.Fprintf(a.Out, "all is well, %s\n", plural(c.Builds, "build"))
		return err
	}
	for _, f := range c.Findings {
		if _, err := fmt.Fprintln(a.Out, oneLine(f.Message)); err != nil {
			return err
		}
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) runCheck(ctx context.Context) checked {
	builds, err := a.builds(ctx)
	if err != nil {
		code := checkCode(err)
		return checked{Code: code, Findings: []finding{{Code: code, Message: explain(err)}}}
	}
	result := checked{Builds: len(builds), Findings: append(a.configFindings(ctx), findings(builds, a.Now())...)}
	if len(result.Findings) > 0 {
		result.Code = result.Findings[0].Code
	}
	return result
}

// configFindings asks whether the daemon's configuration is what its files say.
func (a *app) configFindings(ctx context.Context) []finding {
	if info, err := asked(ctx, a, (*client.Client).Info); err == nil && info.ConfigProblem != "" {
		return []finding{{Code: exitBadConfig, Message: "buildwatchd: " + info.ConfigProblem}}
	}
	return []finding{} // that it does not answer is told by who asks for the builds
}

// checkCode is the exit code for a daemon that could not be asked.
func checkCode(err error) int {
	var refusal *api.Error
	switch {
	case errors.Is(err, client.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, client.ErrPermission):
		return exitForbidden
	case errors.As(err, &refusal), errors.Is(err, client.ErrNoAnswer), errors.Is(err, client.ErrClosed),
		errors.Is(err, client.ErrBusy), errors.Is(err, client.ErrNotBuildwatchd):
		return exitNoAnswer
	}
	return exitFailure
}

// findings lists what is wrong with builds, the worst first, and of the same the
// oldest.
func findings(builds []api.Build, now time.Time) []finding {
	found := []finding{}
	for _, kind := range []struct {
		code int
		is   func(api.Build) bool
		says string
	}{
		{exitStuck, troubles[0].is, "stuck: something has survived SIGKILL"},
		{exitStalled, troubles[1].is, "stalled: its owner lives, and nothing of it does anything"},
		{exitReported, troubles[2].is, "abandoned, and left alone by the policy"},
		{exitUnsure, func(b api.Build) bool {
			return b.State == api.StateUnsure && now.Sub(b.StateSince) > unsureTime
		}, "unsure: whether anybody wants it can't be told"},
		// No reason for an exit code: what it leaves is ended all the same.
		{0, func(b api.Build) bool {
			return b.Placement == api.PlacementObserved && b.State == api.StateRunning
		}, "in no scope of its own: buildwatchctl doctor says whether podman goes round the wrapper, the journal why a step was not placed"},
	} {
		for _, b := range builds {
			if kind.is(b) {
				r := row{build: b, now: now}
				message := fmt.Sprintf("build %s of %s is %s", r.ID(), r.User(), kind.says)
				if !b.StateSince.IsZero() {
					message += ", since " + timestamp(b.StateSince)
				}
				found = append(found, finding{kind.code, b.ID, message})
			}
		}
	}
	return found
}
