// Package matrix says in which ways podman and buildah build, and which of their
// combinations are tried: what package integration then builds, cancels and looks
// at. It runs nothing.
package matrix

import (
	"fmt"
	"slices"
	"strings"
)

// The values of each row. A value's name is what the tables show.
const (
	Root     = "root"
	Rootless = "rootless"

	PodmanBuild  = "podman build"
	BuildahBuild = "buildah build"
	BuildahRun   = "buildah run"
	Remote       = "podman --remote build"
	// RemoteBusy has another connection to the service open, as Podman Desktop
	// holds one: the service does not end when the client does.
	RemoteBusy = "remote, busy service"
	// Compat is POST /build of the API that is compatible with Docker's.
	Compat = "POST /build"

	Crun = "crun"
	Runc = "runc"

	Systemd  = "systemd"
	Cgroupfs = "cgroupfs"

	ARM64 = "arm64"
	S390X = "s390x"
	AMD64 = "amd64"

	OneStep   = "one step"
	Jobs      = "three stages"
	Platforms = "two platforms" // the row's platform, and amd64

	Interrupt     = "SIGINT"
	Terminate     = "SIGTERM"
	Kill          = "SIGKILL"
	Hangup        = "closed terminal"
	ServiceKilled = "killed service"
	Disconnect    = "disconnect"
)

// A Cell is one way to build, and to cancel.
type Cell struct {
	Who, How, Runtime, Manager, Platform, Shape, Cancel string
}

// rows are the values of each field of a Cell, in their order.
var rows = [...][]string{
	{Root, Rootless},
	{PodmanBuild, BuildahBuild, BuildahRun, Remote, RemoteBusy, Compat},
	{Crun, Runc},
	{Systemd, Cgroupfs},
	{ARM64, S390X, AMD64},
	{OneStep, Jobs, Platforms},
	{Interrupt, Terminate, Kill, Hangup, ServiceKilled, Disconnect},
}

// values returns a cell's fields in the order of rows.
func (c Cell) values() [len(rows)]string {
	return [...]string{c.Who, c.How, c.Runtime, c.Manager, c.Platform, c.Shape, c.Cancel}
}

func cellOf(v [len(rows)]string) Cell { return Cell{v[0], v[1], v[2], v[3], v[4], v[5], v[6]} }

// String returns the cell as the name of a test.
func (c Cell) String() string {
	v := c.values()
	return strings.Join(v[:], ", ")
}

// API reports whether the build goes through podman's service.
func (c Cell) API() bool { return slices.Contains([]string{Remote, RemoteBusy, Compat}, c.How) }

// Targets are the architectures that are built for.
func (c Cell) Targets() []string {
	if c.Shape == Platforms {
		return []string{c.Platform, AMD64}
	}
	return []string{c.Platform}
}

// Containers is how many RUN containers run at once.
func (c Cell) Containers() int {
	switch c.Shape {
	case Jobs:
		return 3
	case Platforms:
		return 2
	}
	return 1
}

// Impossible says why there is no such cell, or returns "".
func (c Cell) Impossible() string {
	switch {
	case !c.API() && (c.Cancel == ServiceKilled || c.Cancel == Disconnect):
		return "a local build has no service"
	case c.How == BuildahRun && c.Shape != OneStep:
		return "buildah run is one step"
	case c.Shape == Platforms && c.Platform == AMD64:
		return "amd64 is the second platform"
	}
	return ""
}

// A Host is what a machine can't do, whether or not buildwatch is there.
type Host struct {
	// NoRootCrun: root's crun fails. crun before 1.14 raises RLIMIT_MEMLOCK when it
	// runs as root, and a machine without CAP_SYS_RESOURCE refuses that.
	// Source: crun 1.8.1, src/libcrun/ebpf.c.
	NoRootCrun bool
}

// Possible reports whether a cell can be tried on the host.
func (h Host) Possible(c Cell) bool {
	return c.Impossible() == "" && !(h.NoRootCrun && c.Who == Root && c.Runtime == Crun)
}

// All returns every cell that the host can have.
func (h Host) All() []Cell {
	var cells []Cell
	var v [len(rows)]string
	var fill func(row int)
	fill = func(row int) {
		if row == len(rows) {
			if c := cellOf(v); h.Possible(c) {
				cells = append(cells, c)
			}
			return
		}
		for _, value := range rows[row] {
			v[row] = value
			fill(row + 1)
		}
	}
	fill(0)
	return cells
}

// A Combination is a set of values, each of another row; of the rows that it does
// not speak of it has "".
type Combination [len(rows)]string

func (c Combination) String() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(c[:]), func(value string) bool { return value == "" }), " with ")
}

// triple are the rows whose values are tried in all combinations of three: whose
// build is ended, and by what, is what buildwatch is about.
var triple = [...]int{rowWho, rowHow, rowCancel}

const (
	rowWho    = 0
	rowHow    = 1
	rowCancel = 6
)

// Combinations returns what a cell tries: its values of any two rows, and those
// of the triple.
func (c Cell) Combinations() []Combination {
	v := c.values()
	var all []Combination
	for i := range v {
		for j := i + 1; j < len(v); j++ {
			var pair Combination
			pair[i], pair[j] = v[i], v[j]
			all = append(all, pair)
		}
	}
	var three Combination
	for _, row := range triple {
		three[row] = v[row]
	}
	return append(all, three)
}

// A Part is some of the cells that are chosen: what several suites try together, each
// need not try alone. The zero value is all of them.
type Part struct{ Of, Parts int } // Of is from 1 to Parts

// From returns the part's cells: each n-th, so that a part has something of everything.
func (p Part) From(cells []Cell) []Cell {
	if p.Parts < 2 {
		return cells
	}
	var some []Cell
	for i, c := range cells {
		if i%p.Parts == p.Of-1 {
			some = append(some, c)
		}
	}
	return some
}

// String is the part as a flag has it.
func (p Part) String() string { return fmt.Sprintf("%d/%d", p.Of, p.Parts) }

// Set reads a flag.
func (p *Part) Set(text string) error {
	if n, err := fmt.Sscanf(text, "%d/%d", &p.Of, &p.Parts); n != 2 || err != nil || p.Of < 1 || p.Of > p.Parts {
		return fmt.Errorf("not a part such as 1/3")
	}
	return nil
}

// Chosen returns few cells that together try every combination that any of the
// host's cells has. The choice is the same each time: the cell that tries most of
// what is left; of several the one whose values were tried least.
func (h Host) Chosen() []Cell {
	all := h.All()
	number, left := map[Combination]int{}, []bool{}
	tries := make([][]int, len(all)) // by cell: the numbers of its combinations
	for i, c := range all {
		for _, combination := range c.Combinations() {
			n, known := number[combination]
			if !known {
				n = len(left)
				number[combination], left = n, append(left, true)
			}
			tries[i] = append(tries[i], n)
		}
	}
	used := map[string]int{}
	var chosen []Cell
	for slices.Contains(left, true) {
		best, most, least := 0, 0, 0
		for i, c := range all {
			n, uses := 0, 0
			for _, combination := range tries[i] {
				if left[combination] {
					n++
				}
			}
			for _, value := range c.values() {
				uses += used[value]
			}
			if n > most || n == most && uses < least {
				best, most, least = i, n, uses
			}
		}
		for _, combination := range tries[best] {
			left[combination] = false
		}
		for _, value := range all[best].values() {
			used[value]++
		}
		chosen = append(chosen, all[best])
	}
	return chosen
}
