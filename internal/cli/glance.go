package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// load is a build with what it uses.
type load struct {
	api.Build
	cpu         float64 // CPUs that it used since the look before
	read, write float64 // bytes a second, likewise
}

// glance is what one look at all builds has shown.
type glance struct {
	builds []load
	at     time.Time
}

// meter makes rates of counters: it remembers the look before. Its zero value is ready,
// and takes the time of a build's beginning for its look before the first.
type meter struct {
	at     time.Time
	before map[string]api.Build
}

func (m *meter) read(builds []api.Build, now time.Time) glance {
	g := glance{at: now}
	next := make(map[string]api.Build, len(builds))
	for _, b := range builds {
		next[b.ID] = b
		was, known := m.before[b.ID]
		since := m.at
		if !known {
			since = b.CreatedAt
		}
		l := load{Build: b}
		if span := now.Sub(since).Seconds(); span > 0 {
			l.cpu = max(0, b.CPUSeconds-was.CPUSeconds) / span
			if b.IO != nil {
				var earlier api.IO
				if was.IO != nil {
					earlier = *was.IO
				}
				l.read = grown(earlier.ReadBytes, b.IO.ReadBytes) / span
				l.write = grown(earlier.WrittenBytes, b.IO.WrittenBytes) / span
			}
		}
		g.builds = append(g.builds, l)
	}
	m.at, m.before = now, next
	return g
}

// grown is 0 for a counter that begins anew: that of a scope in the place of another.
func grown(was, is uint64) float64 {
	if is < was {
		return 0
	}
	return float64(is - was)
}

// loadOrders are the ways to order builds, the most first.
var loadOrders = []loadOrder{
	{"cpu", func(a, b load) int { return cmp.Compare(b.cpu, a.cpu) }},
	{"memory", func(a, b load) int { return cmp.Compare(b.MemoryBytes, a.MemoryBytes) }},
	{"io", func(a, b load) int { return cmp.Compare(b.read+b.write, a.read+a.write) }},
	{"processes", func(a, b load) int { return cmp.Compare(b.Processes, a.Processes) }},
	{"age", func(a, b load) int { return 0 }},
}

type loadOrder struct {
	name    string
	compare func(a, b load) int
}

func topOrders() []string {
	return each(loadOrders, func(o loadOrder) string { return o.name })
}

// sort orders the builds; what is equal stays oldest first.
func (g glance) sort(by string) {
	slices.SortStableFunc(g.builds, func(a, b load) int { return a.Compare(b.BuildHead) })
	for _, o := range loadOrders {
		if o.name == by {
			slices.SortStableFunc(g.builds, o.compare)
		}
	}
}

// count says how many builds there are, and how many of them somebody should look at.
func (g glance) count() string {
	trouble := 0
	for _, b := range g.builds {
		if inTrouble(b.Build) {
			trouble++
		}
	}
	switch {
	case len(g.builds) == 0:
		return "no builds"
	case trouble > 0:
		return fmt.Sprintf("%s, %d in trouble", plural(len(g.builds), "build"), trouble)
	}
	return plural(len(g.builds), "build")
}

// sum says what all builds use.
func (g glance) sum() string {
	var all load
	for _, b := range g.builds {
		all.cpu, all.read, all.write = all.cpu+b.cpu, all.read+b.read, all.write+b.write
		all.MemoryBytes, all.Processes = all.MemoryBytes+b.MemoryBytes, all.Processes+b.Processes
		all.IO = cmp.Or(all.IO, b.IO)
	}
	return fmt.Sprintf("CPU %s%%  memory %s  I/O %s/s  processes %d", all.percent(), all.memory(), all.ioRate(), all.Processes)
}

// Columns of top, and those that a wide terminal has room for, too.
var (
	topColumns     = []string{"ID", "STATE", "CPU%", "MEM", "IO/S", "PROCS", "AGE", "USER", "NAME"}
	topWideColumns = []string{"ID", "STATE", "CPU%", "MEM", "READ/S", "WRITE/S", "PROCS", "AGE", "USER", "NAME", "ARCH", "OWNER"}
	leastOfTop     = map[string]int{"STATE": 9, "USER": 6, "NAME": 6, "ARCH": 7, "OWNER": 14}
)

// topCells are what is in the columns, by heading.
var topCells = map[string]func(l load, r row) string{
	"ID":      func(_ load, r row) string { return r.ID() },
	"STATE":   func(_ load, r row) string { return r.State() },
	"CPU%":    func(l load, _ row) string { return l.percent() },
	"MEM":     func(l load, _ row) string { return l.memory() },
	"IO/S":    func(l load, _ row) string { return l.ioRate() },
	"READ/S":  func(l load, _ row) string { return l.rate(l.read) },
	"WRITE/S": func(l load, _ row) string { return l.rate(l.write) },
	"PROCS":   func(l load, _ row) string { return strconv.Itoa(l.Processes) },
	"AGE":     func(_ load, r row) string { return r.Age() },
	"USER":    func(_ load, r row) string { return r.User() },
	"NAME":    func(_ load, r row) string { return r.Label() },
	"ARCH":    func(_ load, r row) string { return r.Arch() },
	"OWNER":   func(_ load, r row) string { return r.Owner() },
}

// wideFrom is how many columns make a terminal wide.
const wideFrom = 120

// table has a line for each build, below the headings, with tabs between what align makes
// columns of.
func (g glance) table(width int) string {
	columns := topColumns
	if width >= wideFrom {
		columns = topWideColumns
	}
	var text strings.Builder
	text.WriteString(strings.Join(columns, "\t") + "\n")
	for _, b := range g.builds {
		r := row{build: b.Build, now: g.at, table: true}
		cells := each(columns, func(column string) string { return topCells[column](b, r) })
		text.WriteString(strings.Join(cells, "\t") + "\n")
	}
	return fitColumns(text.String(), leastOfTop, columns, width)
}

func (l load) percent() string { return fmt.Sprintf("%.0f", 100*l.cpu) }
func (l load) memory() string  { return orNone(humanBytes(l.MemoryBytes)) }
func (l load) ioRate() string  { return l.rate(l.read + l.write) }

// rate is "-" where the kernel does not count what the build reads and writes.
func (l load) rate(bytes float64) string {
	switch {
	case l.IO == nil:
		return "-"
	case bytes < 1:
		return "0"
	}
	return humanBytes(uint64(bytes))
}

// print is the page for a pipe or a file.
func (g glance) print(out io.Writer, width int) error {
	page := bytes.NewBufferString(timestamp(g.at) + "  " + g.count() + "\n")
	if len(g.builds) > 0 {
		page.WriteString(g.sum() + "\n")
		if err := align(page, []byte(g.table(width))); err != nil {
			return err
		}
	}
	_, err := out.Write(page.Bytes())
	return err
}
