package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/runtimes"
)

const dropIn = podman.DropInsOfMain + "/" + runtimes.DropIn

// callers are those whose podman is looked at: root, and who asks.
func (h Host) callers() map[string][]string {
	nothing := func(string) string { return "" }
	files := map[string][]string{"root": runtimes.Files(nothing, 0)}
	if h.UID != 0 {
		files["UID "+strconv.Itoa(h.UID)] = runtimes.Files(h.Getenv, h.UID)
	} else {
		files["root"] = runtimes.Files(h.Getenv, 0)
	}
	return files
}

// registered asks what podman would run, by podman's own rules.
func (h Host) registered(context.Context) []Check {
	var found []Check
	if _, err := os.Stat(h.path(dropIn)); err != nil {
		found = append(found, Check{"wrapper", Fail, dropIn + " is not there: podman does not know of the wrapper", "sudo PREFIX=" + filepath.Clean(h.Libexec+"/../..") + " " + h.Libexec + "/register on"})
	}
	if _, err := os.Stat(h.Libexec + "/" + runtimes.Program); err != nil {
		found = append(found, Check{"wrapper", Fail, "there is no wrapper in " + h.Libexec, "install buildwatch again"})
	}
	if len(found) > 0 {
		return found
	}
	on := h.runtimes()
	for who, files := range h.callers() {
		for _, bypass := range on.BypassesOf(files) {
			found = append(found, Check{"wrapper", Warn, "podman of " + who + ": " + bypass, "buildwatch goes on observing such builds; to have them placed, change that file"})
		}
		var ours []string
		for _, name := range podman.Runtimes() {
			if chosen, _ := on.Chosen(name, files); on.LeadsToUs(chosen) {
				ours = append(ours, name)
			}
		}
		if len(ours) > 0 {
			found = append(found, Check{"wrapper", OK, fmt.Sprintf("podman of %s runs %s through the wrapper", who, strings.Join(ours, " and ")), ""})
		}
	}
	slices.SortFunc(found, func(a, b Check) int { return strings.Compare(a.Says, b.Says) })
	return found
}

// realRuntimes asks the programs that the wrapper becomes.
func (h Host) realRuntimes(ctx context.Context) []Check {
	var found []Check
	on := h.runtimes()
	for _, name := range podman.Runtimes() {
		_, program := on.Chosen(name, h.callers()["root"])
		if program == "" {
			continue
		}
		said, err := h.Run(ctx, program, "--version")
		if err != nil {
			found = append(found, Check{"runtime", Warn, fmt.Sprintf("%s --version: %v", program, err), "install " + name + " again"})
			continue
		}
		found = append(found, Check{"runtime", OK, firstLine(said) + ", at " + program, ""})
	}
	if len(found) == 0 {
		return one("runtime", Fail, "neither crun nor runc is there: no RUN step can run", "install crun")
	}
	return found
}

// older looks for podman processes that were started before podman was told of the
// wrapper: they found the runtime without it, and go on so until they end.
func (h Host) older(context.Context) []Check {
	info, err := os.Stat(h.path(dropIn))
	if err != nil {
		return nil
	}
	fs, err := procfs.NewFS(h.path("/proc"))
	if err != nil {
		return nil
	}
	processes, _ := fs.AllProcs()
	var found []Check
	for _, p := range processes {
		if name := filepath.Base(strings.TrimSuffix(proc.Exe(p.PID), " (deleted)")); !podman.IsBuilder(name) {
			continue
		}
		stat, err := p.Stat()
		if err != nil {
			continue
		}
		start, err := stat.StartTime()
		if began := time.Unix(int64(start), 0); err == nil && began.Add(time.Second).Before(info.ModTime()) && stat.PPID != 0 && !findsNoRuntime(p) {
			found = append(found, Check{"older", Warn, fmt.Sprintf("PID %d (%s) was started before podman was told of the wrapper: its builds go round it", p.PID, stat.Comm),
				"a build ends by itself; a service: systemctl restart podman.service, or systemctl --user restart podman.service"})
		}
	}
	if len(found) == 0 {
		return one("older", OK, "no podman process that runs is older than the drop-in", "")
	}
	return found
}

// findsNoRuntime reports whether it is a builder's monitor of one step, or the process that only holds
// a user's namespaces open.
//
// Source: containers/podman, pkg/rootless/rootless_linux.c: it calls itself catatonit,
// or "podman pause".
func findsNoRuntime(p procfs.Proc) bool {
	args, err := p.CmdLine()
	return err == nil && (podman.IsMonitor(args) || len(args) > 1 && args[len(args)-1] == "pause")
}

// builders asks podman and buildah what they are.
func (h Host) builders(ctx context.Context) []Check {
	var found []Check
	for _, name := range podman.Builders() {
		switch said, err := h.Run(ctx, name, "--version"); {
		case err == nil:
			found = append(found, Check{"builder", OK, firstLine(said), ""})
		case !errors.Is(err, errNotThere):
			found = append(found, Check{"builder", Warn, fmt.Sprintf("%s --version: %v", name, err), "mend that, or ask as the user who builds"})
		}
	}
	if len(found) == 0 {
		return one("builder", Warn, "neither podman nor buildah is in $PATH", "install podman")
	}
	return found
}

// leftovers are builds that somebody has to look at, and what a removal has left.
func (h Host) leftovers(context.Context) []Check {
	var found []Check
	for _, b := range h.Daemon.Builds {
		switch {
		case b.State == api.StateStuck, b.State == api.StateStalled, b.State == api.StateAbandoned && b.Reported:
			found = append(found, Check{"builds", Warn, fmt.Sprintf("build %s is %s", b.ID, b.State), "buildwatchctl show " + b.ID})
		case b.Placement == api.PlacementObserved:
			found = append(found, Check{"builds", Warn, fmt.Sprintf("build %s (%s) goes round the wrapper: it is observed, and what it leaves is ended all the same", b.ID, b.Owner.Command), "buildwatchctl show " + b.ID})
		}
	}
	if _, err := os.Stat(h.path("/etc/tmpfiles.d/buildwatch-removed.conf")); err == nil {
		found = append(found, Check{"leftovers", Warn, "/etc/tmpfiles.d/buildwatch-removed.conf is from an earlier removal, and removes the wrapper at the next boot", "sudo rm /etc/tmpfiles.d/buildwatch-removed.conf"})
	}
	if len(found) == 0 && h.Daemon.Err == nil {
		return one("builds", OK, fmt.Sprintf("no build needs a person (%d run)", len(h.Daemon.Builds)), "")
	}
	return found
}
