package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/buildwatch/buildwatch/api"
)

// topView is top on a terminal: what is shown, and what a key means then. It is changed
// by Update alone. What takes time is done in the background, and comes back as a message.
type topView struct {
	ctx        context.Context // of the whole view: bubbletea has no other place for it
	watched    *watched
	order      string
	delay      time.Duration
	iterations int // looks to take; 0 for no end
	colour     bool

	width, height int
	seen          glance
	looks         int
	chosen        string // ID of the build that keys are about
	first         int    // row, or line of the details, at the top of the screen
	details       string // ID of the build that is shown alone; "" for the list
	text          []string
	asking        *load  // whose stop is asked about
	said          string // below the list: what has become of what was asked for
	failed        string // why the last look has failed; "" if it has not
}

func newTopView(ctx context.Context, w *watched, order string, delay time.Duration, iterations int, colour bool) topView {
	return topView{
		ctx: ctx, watched: w, order: order, delay: delay, iterations: iterations, colour: colour,
		width: columnsOfPage, height: 24,
	}
}

// topOnTerminal shows the view until its user ends it.
func (a *app) topOnTerminal(ctx context.Context, v topView) error {
	profile := colorprofile.ASCII
	if v.colour {
		profile = colorprofile.ANSI
	}
	// With a profile that is given, the library asks no other program for one.
	_, err := tea.NewProgram(v, tea.WithContext(ctx), tea.WithInput(a.In), tea.WithOutput(a.Out), tea.WithColorProfile(profile)).Run()
	if errors.Is(err, tea.ErrInterrupted) {
		return nil
	}
	return err
}

// What comes back of what is done in the background.
type (
	looked struct {
		glance glance
		detail *api.BuildDetail // of the build that is shown alone
		err    error
	}
	due struct{} // the next look is
	// saying is what has become of what a key was for.
	saying struct{ text string }
)

// Init is the first of tea.Model's methods.
func (v topView) Init() tea.Cmd { return v.look() }

// look asks for the builds, and for all about the one that is shown alone.
func (v topView) look() tea.Cmd {
	ctx, w, id := v.ctx, v.watched, v.details
	return func() tea.Msg {
		g, err := w.look(ctx)
		if err != nil || id == "" {
			return looked{glance: g, err: err}
		}
		detail, err := w.show(ctx, id)
		if err != nil { // it is gone: the list is there all the same
			return looked{glance: g}
		}
		return looked{glance: g, detail: &detail}
	}
}

// Update is the second of tea.Model's methods.
func (v topView) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case tea.WindowSizeMsg:
		v.width, v.height = m.Width, m.Height
	case tea.KeyPressMsg:
		return v.key(m.String())
	case due:
		return v, v.look()
	case detailed:
		v.take(m.detail)
	case saying:
		v.said = m.text
	case looked:
		v.looks++
		if v.iterations > 0 && v.looks >= v.iterations {
			return v.after(m), tea.Quit
		}
		return v.after(m), tea.Tick(v.delay, func(time.Time) tea.Msg { return due{} })
	}
	return v, nil
}

// after is the view with what a look has shown.
func (v topView) after(m looked) topView {
	v.failed = ""
	if m.err != nil {
		v.failed = oneLine(explain(m.err))
		return v
	}
	v.seen = m.glance
	v.seen.sort(v.order)
	if v.index(v.chosen) < 0 {
		v.chosen = ""
		if len(v.seen.builds) > 0 {
			v.chosen = v.seen.builds[0].ID
		}
	}
	if m.detail != nil {
		v.take(*m.detail)
	}
	return v
}

func (v topView) index(id string) int {
	return slices.IndexFunc(v.seen.builds, func(b load) bool { return b.ID == id })
}

// detailed is all about a build that is to be shown alone.
type detailed struct{ detail api.BuildDetail }

// take keeps the page of the build that is shown alone.
func (v *topView) take(d api.BuildDetail) {
	if v.details != d.ID {
		return // another is shown by now, or none
	}
	var page bytes.Buffer
	if err := writeDetail(&page, d, v.watched.now(), v.width); err == nil {
		v.text = strings.Split(strings.TrimSuffix(page.String(), "\n"), "\n")
	}
}

// key does what a key is for.
func (v topView) key(key string) (tea.Model, tea.Cmd) {
	if v.asking != nil && key != "ctrl+c" {
		return v.answered(key)
	}
	v.said = ""
	switch key {
	case "ctrl+c":
		return v, tea.Quit
	case "ctrl+z":
		return v, tea.Suspend
	case "q", "esc":
		if v.details == "" {
			if key == "esc" {
				return v, nil
			}
			return v, tea.Quit
		}
		v.details, v.text, v.first = "", nil, 0
	case "up", "k":
		v.move(-1)
	case "down", "j":
		v.move(1)
	case "pgup":
		v.move(-v.room())
	case "pgdown", "space":
		v.move(v.room())
	case "o":
		orders := topOrders()
		v.order = orders[(slices.Index(orders, v.order)+1)%len(orders)]
		v.seen.sort(v.order)
	case "enter":
		return v.open()
	case "s":
		if i := v.index(v.chosen); i >= 0 {
			v.asking = new(v.seen.builds[i])
		}
	}
	return v, nil
}

// move goes down so many rows, or up: to another build, or on in the text.
func (v *topView) move(by int) {
	if v.details != "" {
		v.first = min(max(0, v.first+by), max(0, len(v.text)-v.room()))
		return
	}
	if len(v.seen.builds) > 0 {
		v.chosen = v.seen.builds[min(max(0, v.index(v.chosen)+by), len(v.seen.builds)-1)].ID
	}
}

// open shows the chosen build alone.
func (v topView) open() (tea.Model, tea.Cmd) {
	if v.details != "" || v.chosen == "" {
		return v, nil
	}
	v.details, v.text, v.first = v.chosen, []string{"…"}, 0
	ctx, w, id := v.ctx, v.watched, v.chosen
	return v, func() tea.Msg {
		d, err := w.show(ctx, id)
		if err != nil {
			return saying{oneLine(explain(err))}
		}
		return detailed{d}
	}
}

// answered stops the build that was asked about, by yes alone.
func (v topView) answered(key string) (tea.Model, tea.Cmd) {
	id := v.asking.ID
	v.asking = nil
	if key != "y" && key != "Y" {
		v.said = "build " + quote(id) + " is left alone"
		return v, nil
	}
	v.said = "build " + quote(id) + " is being stopped"
	ctx, w := v.ctx, v.watched
	return v, func() tea.Msg {
		if err := w.stop(ctx, id); err != nil {
			return saying{oneLine(explain(err))}
		}
		return saying{"build " + quote(id) + " is gone"}
	}
}

// Lines that are there beside the rows: above them count, sum and headings, or the name
// of the build; below them what was said, and the keys.
const (
	linesOfList    = 5
	linesOfDetails = 3
)

// room is how many rows there is room for.
func (v topView) room() int {
	if v.details != "" {
		return max(1, v.height-linesOfDetails)
	}
	return max(1, v.height-linesOfList)
}

// View is the last of tea.Model's methods.
func (v topView) View() tea.View {
	lines := v.list()
	keys := "up/down choose  enter details  s stop  o order: " + v.order + "  q quit"
	if v.details != "" {
		lines, keys = v.alone(), "up/down  s stop  esc back"
	}
	below := v.said
	switch {
	case v.asking != nil:
		r := row{build: v.asking.Build}
		below = fmt.Sprintf("Stop build %s, %s of %s? [y/N]", r.ID(), r.Owner(), r.User())
	case v.failed != "":
		below = v.failed
	}
	for len(lines) < v.height-2 {
		lines = append(lines, "")
	}
	lines = append(lines, below, keys)
	for i, line := range lines {
		lines[i] = cutTo(line, v.width)
	}
	screen := tea.NewView(strings.Join(lines, "\n"))
	screen.AltScreen = true
	return screen
}

// list is what all builds use, and a row for each.
func (v topView) list() []string {
	lines := []string{v.seen.count(), v.seen.sum(), ""}
	switch {
	case v.looks == 0:
		return []string{"…"}
	case len(v.seen.builds) == 0:
		return lines[:1]
	}
	var table bytes.Buffer
	if err := align(&table, []byte(v.seen.table(max(columnsOfPage, v.width)-len(marker)))); err != nil {
		return append(lines, err.Error())
	}
	rows := strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")
	lines[2] = strings.Repeat(" ", len(marker)) + rows[0]
	chosen := v.index(v.chosen)
	first := min(max(0, chosen-v.room()+1), max(0, len(v.seen.builds)-v.room()))
	for i := first; i < len(v.seen.builds) && i < first+v.room(); i++ {
		lines = append(lines, v.rowLine(rows[i+1], i == chosen, inTrouble(v.seen.builds[i].Build)))
	}
	return lines
}

// marker stands before the row that was chosen.
const marker = "> "

// chosenRow is the ANSI SGR sequence for reverse video.
const chosenRow = "\x1b[7m"

func (v topView) rowLine(text string, chosen, trouble bool) string {
	before, style := strings.Repeat(" ", len(marker)), ""
	if trouble && v.colour {
		style = alarm
	}
	if chosen {
		before, style = marker, style+chosenRow
	}
	line := cutTo(before+text, v.width)
	if style == "" {
		return line
	}
	return style + line + plain
}

// alone is all that is known of one build.
func (v topView) alone() []string {
	lines := []string{""}
	if i := v.index(v.details); i >= 0 {
		b := v.seen.builds[i]
		lines[0] = fmt.Sprintf("CPU %s%%  memory %s  read %s/s  written %s/s", b.percent(), b.memory(), b.rate(b.read), b.rate(b.write))
	} else {
		lines[0] = "build " + quote(v.details) + " is gone"
	}
	first := min(v.first, len(v.text))
	return append(lines, v.text[first:min(first+v.room(), len(v.text))]...)
}

// cutTo cuts a line to the width of the screen; one that has a style was cut before.
func cutTo(line string, width int) string {
	if runes := []rune(line); len(runes) > width && !strings.HasPrefix(line, "\x1b") {
		return string(runes[:max(0, width)])
	}
	return line
}
