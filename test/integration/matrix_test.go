//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/test/matrix"
)

var (
	allCells = flag.Bool("matrix.all", false, "try every cell of the matrix; without it, few that have all combinations of values")
	part     matrix.Part
	cellsOf  = flag.String("matrix.run", "", "try only cells whose name has a match of this regular expression")
)

func init() {
	flag.Var(&part, "matrix.part", "try a part of those few, such as `1/3` for the first of three: each suite of a run tries its own")
}

// How long the processes of a cancelled build may live on. The daemon is much
// faster; what it took is in the results.
const (
	afterDeath      = 3 * time.Second // of the client of a local build, or of the service
	afterDisconnect = 5 * time.Second // of the client of a service that lives on
)

// TestMatrix builds in every way that podman and buildah have, see package
// matrix. Each cell is a build that is cancelled, of which nothing may be left,
// and one that runs to its end, whose content must be whole.
func TestMatrix(t *testing.T) {
	host := whatTheMachineCannot(t)
	cells := part.From(host.Chosen())
	if *allCells {
		cells = host.All()
	}
	only := regexp.MustCompile(*cellsOf)
	report(t, matrix.Result{Versions: versions(t)})
	for n, cell := range cells {
		if !only.MatchString(cell.String()) {
			continue
		}
		t.Run(cell.String(), func(t *testing.T) {
			result := matrix.Result{Cell: cell}
			t.Cleanup(func() {
				result.Failed = t.Failed()
				report(t, result)
			})
			leakCheck(t)
			a := newAttempt(t, cell, 400000+n)
			result.GoneAfter = a.cancelled()
			a.completed()
		})
	}
}

// report writes a result for package matrix to read, on a line of its own.
func report(t *testing.T, result matrix.Result) {
	line, err := json.Marshal(result)
	must(t, err)
	fmt.Printf("%s%s\n", matrix.ResultPrefix, line)
}

func versions(t *testing.T) string {
	return strings.Join(strings.Split(sh(t, `. /etc/os-release; echo "$PRETTY_NAME"; systemctl --version | head -n 1 | sed 's/ (.*//'; podman --version; buildah --version | sed 's/ (.*//'; crun --version | head -n 1; runc --version | head -n 1; echo "kernel $(uname -r | sed 's/-.*//')"`), "\n"), ", ")
}

// whatTheMachineCannot finds out by trying what does not work there without
// buildwatch either.
func whatTheMachineCannot(t *testing.T) matrix.Host {
	t.Helper()
	return matrix.Host{NoRootCrun: rootCrunFails(t)}
}

// An attempt is a cell being tried.
type attempt struct {
	t    *testing.T
	cell matrix.Cell
	user user
	// token is in the command line of each process of the cancelled build, and of
	// no other.
	token string
	// url is where clients of the API connect.
	url   string
	relay *relay // between them and the service, where the cell cuts it
	busy  *program
}

// newAttempt makes the machine ready for a cell: the runtime and the manager are
// the configuration's, for a service reads them there.
func newAttempt(t *testing.T, cell matrix.Cell, number int) *attempt {
	t.Helper()
	a := &attempt{t: t, cell: cell, user: root, token: fmt.Sprint(number)}
	if cell.Who == matrix.Rootless {
		a.user = builder
	}
	const conf = "/etc/containers/containers.conf.d/60-matrix.conf"
	write(t, conf, fmt.Sprintf("[engine]\nruntime = %q\ncgroup_manager = %q\n", cell.Runtime, cell.Manager))
	t.Cleanup(func() {
		must(t, os.Remove(conf))
		a.user.tidy(t)
	})
	if !cell.API() {
		return a
	}
	a.user.startSocket(t)
	a.url = a.user.socket()
	if cell.Cancel == matrix.Disconnect {
		a.relay = newRelay(t, a.url, a.user)
		a.url = a.relay.path
	}
	if cell.How == matrix.RemoteBusy {
		a.busy = startProgram(t, a.user, "curl -sS --no-buffer --unix-socket "+a.user.socket()+" 'http://d/events?stream=true'", false)
	}
	return a
}

// cancelled builds, cancels, and checks that nothing of the build is left. It
// returns after how long nothing was.
func (a *attempt) cancelled() time.Duration {
	a.t.Helper()
	step := fmt.Sprintf("/bin/busybox sleep %s & /bin/busybox sleep %s & wait", a.token, a.token)
	const perContainer = 3 // the shell and its two children
	c := a.start(step)
	var held []*proc.Handle
	eventually(a.t, func() (string, bool) {
		pids := a.containersProcesses()
		if len(pids) < perContainer*a.cell.Containers() {
			return fmt.Sprintf("the build has %d processes:\n%s\n%s", len(pids), c.said(), sh(a.t, "ps -ef --forest")), false
		}
		held = append(holdAll(a.t, pids), holdAll(a.t, monitors(a.t))...)
		return "", true
	})
	for _, h := range held[:perContainer*a.cell.Containers()] {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", h.PID))
		must(a.t, err)
		if !strings.Contains(string(cgroup), "/buildwatch-") {
			a.t.Errorf("process %d of a RUN container is in %s", h.PID, cgroup)
		}
	}

	limit := afterDeath
	if a.cell.API() && a.cell.Cancel != matrix.ServiceKilled {
		limit = afterDisconnect
	}
	service := a.user.service(a.t)
	started := time.Now()
	a.cancel(c, service)
	ctx, cancel := context.WithDeadline(context.Background(), started.Add(limit))
	defer cancel()
	for _, h := range held {
		if err := h.Wait(ctx); err != nil {
			a.t.Errorf("process %d has outlived the cancel by %v:\n%s", h.PID, limit, sh(a.t, "ps -ef --forest"))
			break
		}
	}
	gone := time.Since(started)
	endAll(held) // which are gone, or the test has failed
	c.wait(a.t)
	if left := a.processes(); len(left) > 0 {
		a.t.Errorf("%d processes of the build are left:\n%s", len(left), sh(a.t, "ps -ef --forest"))
	}
	eventually(a.t, func() (string, bool) {
		builds := listed(a.t)
		return fmt.Sprintf("still listed: %+v", builds), len(builds) == 0
	})
	if a.cell.API() && a.cell.Cancel != matrix.ServiceKilled {
		a.serviceTidiesUp(service)
	}
	a.user.tidy(a.t)
	return gone
}

// serviceTidiesUp checks that a service whose RUN step was ended lives on for its
// other clients, and removes the build's working containers itself.
func (a *attempt) serviceTidiesUp(service []int) {
	a.t.Helper()
	if a.busy != nil && (!a.busy.alive() || !alive(service[0])) {
		a.t.Errorf("the service, or another client of it, has ended:\n%s\n%s", a.busy.said(),
			sh(a.t, "journalctl -q --no-pager -o short-precise -n 150 _COMM=podman + SYSLOG_IDENTIFIER=podman"))
	}
	eventually(a.t, func() (string, bool) {
		// Fails where one is removed while it is listed (podman 4.3.1).
		left, err := a.user.try("podman ps --all --external --quiet")
		return "working containers: " + left, err == nil && left == ""
	})
}

// completed builds to the end and checks the content.
func (a *attempt) completed() {
	a.t.Helper()
	c := a.start("for i in 1 2 3; do echo $i >> /ticks; /bin/busybox sleep 0.2; done")
	if status := c.wait(a.t); status != 0 {
		a.t.Fatalf("the build exits with %d:\n%s", status, c.said())
	}
	for what, content := range a.contents() {
		if content != "1\n2\n3" {
			a.t.Errorf("%s has the ticks %q:\n%s", what, content, c.said())
		}
	}
}

// contextDir makes the build's context: a busybox of each target, and a
// Containerfile with the step in as many stages as the cell has.
func (a *attempt) contextDir(step string) string {
	dir, err := os.MkdirTemp("", "matrix-")
	must(a.t, err)
	a.t.Cleanup(func() { must(a.t, os.RemoveAll(dir)) })
	must(a.t, os.Chmod(dir, 0o755))
	for _, arch := range a.cell.Targets() {
		busybox, err := os.ReadFile(filepath.Join(fixtures, arch, "busybox"))
		must(a.t, err)
		bin := filepath.Join(dir, "bin-"+arch)
		must(a.t, os.Mkdir(bin, 0o755))
		write(a.t, filepath.Join(bin, "busybox"), string(busybox))
		write(a.t, filepath.Join(bin, "sh"), string(busybox))
	}
	// Which of them is COPYed depends on the platform.
	file := "FROM scratch AS base\nARG TARGETARCH\nCOPY --chmod=755 bin-$TARGETARCH /bin\n"
	if a.cell.Shape == matrix.Jobs {
		copies := ""
		for _, stage := range stages {
			file += "FROM base AS " + stage + "\nRUN " + step + "\n"
			copies += "COPY --from=" + stage + " /ticks /" + stage + "\n"
		}
		file += "FROM base\n" + copies
	} else {
		file += "RUN " + step + "\n"
	}
	write(a.t, filepath.Join(dir, "Containerfile"), file)
	sh(a.t, "tar --create --directory %s --file %s/../%s.tar .", dir, dir, filepath.Base(dir))
	a.t.Cleanup(func() { must(a.t, os.Remove(dir+".tar")) })
	return dir
}

var stages = []string{"one", "two", "three"}
