package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// exitUnwell is doctor's exit code for a host on which something fails.
const exitUnwell = 30

func (a *app) doctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what a working set-up needs, and what mends it",
		Long: fmt.Sprintf(`Look one by one for what a working set-up needs: of the kernel and of systemd, the
daemon, its configuration, whether podman of root and of the caller would run the
wrapper, the real runtimes, emulators, leftovers, the clock. Each line is ok, warn or
fail, and below it stands what mends it. Nothing is changed.

"check" is for monitoring, and looks at the daemon and at builds only. doctor is for
a person: after an installation, an upgrade of podman, or when something is amiss.

Exit codes: 0 if nothing fails, warnings or not; %d if something fails.`, exitUnwell),
		Example: `  sudo buildwatchctl doctor
  buildwatchctl doctor --json | jq '.checks[] | select(.state != "ok")'`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runDoctor(cmd.Context(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document")
	return cmd
}
