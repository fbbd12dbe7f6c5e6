package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

func (a *app) config() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration that is in force",
		Long: `Show the configuration that the running daemon has, as TOML, with the file and line
that each value comes from. In what the files differ from it by now stands first, in
comments: that takes effect when the daemon is reloaded. What the files say alone,
"buildwatchd --print-config" shows.`,
		Example: `  buildwatchctl config | grep differs
  diff <(buildwatchctl config) <(buildwatchd --print-config)`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fail(a.runConfig(cmd.Context(), asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}

func (a *app) runConfig(ctx context.Context, asJSON bool) error {
	now, err := asked(ctx, a, (*client.Client).Config)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(a.Out, now)
	}
	files, err := a.configOfFiles()
	_, err = fmt.Fprint(a.Out, describeConfig(now, files, err))
	return err
}

// describeConfig is the configuration in force as TOML, and before it what is to be said
// of it.
func describeConfig(now api.Config, files []api.ConfigValue, filesErr error) string {
	var b strings.Builder
	b.WriteString("# The configuration in force")
	if now.LoadedAt != nil {
		b.WriteString(", from the files as they were at " + timestamp(*now.LoadedAt))
	}
	b.WriteString(".\n")
	if now.Problem != "" {
		b.WriteString("# " + oneLine(now.Problem) + "\n")
	}
	for _, line := range configDifferences(now, files, filesErr) {
		b.WriteString("# differs: " + oneLine(line) + "\n")
	}
	section := ""
	for _, v := range now.Values {
		dot := strings.LastIndexByte(v.Key, '.')
		if in := v.Key[:max(dot, 0)]; in != section {
			section = in
			fmt.Fprintf(&b, "\n[%s]\n", oneLine(section))
		}
		fmt.Fprintf(&b, "%s = %s  # %s\n", oneLine(v.Key[dot+1:]), oneLine(v.Value), oneLine(v.Origin))
	}
	return b.String()
}

// configDifferences says in what the files differ from the configuration in force.
func configDifferences(now api.Config, files []api.ConfigValue, filesErr error) []string {
	if filesErr != nil {
		var bad []string
		for line := range strings.Lines(filesErr.Error()) {
			bad = append(bad, "the files are bad now: "+strings.TrimSuffix(line, "\n"))
		}
		return bad
	}
	var found []string
	said := map[string]api.ConfigValue{}
	for _, v := range files {
		said[v.Key] = v
	}
	for _, v := range now.Values {
		there, ok := said[v.Key]
		delete(said, v.Key)
		switch {
		case files == nil: // they are not known here
		case !ok:
			found = append(found, fmt.Sprintf("%s is %s, and is not set in the files any more", v.Key, v.Value))
		case there.Value != v.Value:
			found = append(found, fmt.Sprintf("%s is %s, and %s in the files (%s)", v.Key, v.Value, there.Value, there.Origin))
		}
	}
	for _, v := range files {
		if _, ok := said[v.Key]; ok {
			found = append(found, fmt.Sprintf("%s is not set, and %s in the files (%s)", v.Key, v.Value, v.Origin))
		}
	}
	return found
}
