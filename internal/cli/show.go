package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
)

type showFlags struct {
	format string
	json   bool
}

func (a *app) show() *cobra.Command {
	var flags showFlags
	cmd := &cobra.Command{
		Use:   "show ID...",
		Short: "Show all that is known of builds, with their processes",
		Long: `Show all that is known of builds: why each is kept or being ended, since when and
by which means that is known, and what would change it; the rungs used to end it; its
processes, and what those wait for. An ID may be shortened while it is unique.

--format takes "json" or a Go template. Its placeholders are those of
"buildwatchctl list", and:
` + detailHelp + `
The rungs, in the order in which they are used:
` + wordHelp(api.Rungs()) + `
The facts:
` + wordHelp(api.FactNames()),
		Example: `  buildwatchctl show bcd2
  buildwatchctl show bcd2 --format '{{range .Facts}}{{.Name}} {{end}}'`,
		Args:              someIDs,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.runShow(cmd.Context(), flags, ids)
		},
	}
	cmd.Flags().BoolVar(&flags.json, "json", false, "print a JSON array, same as --format json")
	cmd.Flags().StringVar(&flags.format, "format", "", "print by a Go `template`, or json")
	completeFlags(cmd)
	return cmd
}

// someIDs refuses a command without IDs.
func someIDs(_ *cobra.Command, ids []string) error {
	if len(ids) == 0 {
		return errors.New("needs at least one ID")
	}
	return nil
}

func (a *app) runShow(ctx context.Context, flags showFlags, ids []string) error {
	if err := exclusive(choice{"--json", flags.json}, choice{"--format", flags.format != ""}); err != nil {
		return err
	}
	var f format
	if flags.format != "" {
		var err error
		if f, err = newFormat(flags.format, sampleDetail()); err != nil {
			return err
		}
	}
	details, errs := a.details(ctx, ids)
	switch {
	case flags.json || f.json:
		errs = append(errs, writeJSON(a.Out, details))
	case f.template != nil:
		text, err := page{format: f, tables: listTables}.render(each(details, func(d api.BuildDetail) any {
			return detailRow{row{build: d.Build, now: a.Now(), table: f.table}, d}
		}), 0)
		if err == nil {
			_, err = a.Out.Write(text)
		}
		errs = append(errs, err)
	default:
		for i, d := range details {
			if i > 0 {
				fmt.Fprintln(a.Out)
			}
			errs = append(errs, writeDetail(a.Out, d, a.Now(), a.Columns))
		}
	}
	return fail(errs...)
}

// details asks for every build, whatever becomes of the others.
func (a *app) details(ctx context.Context, ids []string) ([]api.BuildDetail, []error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	details := make([]api.BuildDetail, 0, len(ids))
	var errs []error
	for _, id := range ids {
		d, err := c.Show(ctx, id)
		if err != nil {
			var e *api.Ended
			if e, err = a.orEnded(ctx, id, err); e != nil {
				d = endedDetail(*e)
			}
		}
		var refusal *api.Error
		switch {
		case err == nil:
			details = append(details, d)
		case errors.As(err, &refusal):
			errs = append(errs, err)
		default:
			return details, append(errs, err) // no daemon: it would be said once for each ID
		}
	}
	return details, errs
}

// sampleDetail has something in every list, so that a template for it is tried
// in whole.
func sampleDetail() detailRow {
	return detailRow{detail: api.BuildDetail{ProcessTree: []api.Process{{}}, Ladder: []api.UsedRung{{}}, Explanation: api.Explanation{Facts: []api.Fact{{}}}}}
}
