//go:build linux

package cli

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/exp/teatest/v2"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podmanmachine/podmanmachinetest"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// loads are three builds that use much of one thing each.
func loads() []api.Build {
	build := func(id string, cpu float64, memory uint64, io *api.IO, processes int) api.Build {
		b := twoBuilds()[0].Build
		b.ID, b.CPUSeconds, b.MemoryBytes, b.IO, b.Processes = id, cpu, memory, io, processes
		b.CreatedAt = now.Add(-100 * time.Second)
		return b
	}
	return []api.Build{
		build("bcdcpu22", 250, 1<<20, &api.IO{ReadBytes: 100 << 10}, 1),
		build("bcdmem22", 50, 3<<30, nil, 2),
		build("bcdjo222", 10, 2<<20, &api.IO{ReadBytes: 100 << 20, WrittenBytes: 100 << 20}, 300),
	}
}

// made is a source of builds that are made up.
type made struct {
	mu      sync.Mutex
	builds  []api.Build
	failing error
	stops   []string
	onStop  func(id string) error
}

func (m *made) list(context.Context) ([]api.Build, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]api.Build{}, m.builds...), m.failing
}

func (m *made) show(_ context.Context, id string) (api.BuildDetail, error) {
	builds, _ := m.list(context.Background())
	for _, b := range builds {
		if b.ID == id {
			d := twoBuilds()[0]
			d.Build = b
			return d, nil
		}
	}
	return api.BuildDetail{}, errors.New("no such build")
}

func (m *made) stop(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stops = append(m.stops, id)
	if m.onStop != nil {
		return m.onStop(id)
	}
	return nil
}

func (m *made) stopped() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.stops...)
}

func (m *made) become(builds []api.Build, failing error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.builds, m.failing = builds, failing
}

func TestTopTellsRatesOfWhatIsCounted(t *testing.T) {
	var m meter
	first := m.read(loads(), now)
	if b := first.builds[0]; b.cpu != 2.5 || b.read != 1024 || b.write != 0 {
		t.Errorf("since the build's beginning: %+v", b)
	}
	later := loads()
	later[0].CPUSeconds, later[0].IO = 253, &api.IO{ReadBytes: 100 << 10, WrittenBytes: 4096}
	later[1].CPUSeconds = 20 // counted anew
	later[2].IO = &api.IO{}
	second := m.read(later, now.Add(2*time.Second))
	if b := second.builds[0]; b.cpu != 1.5 || b.read != 0 || b.write != 2048 {
		t.Errorf("since the look before: %+v", b)
	}
	if b := second.builds[1]; b.cpu != 0 || b.ioRate() != "-" {
		t.Errorf("of a counter that begins anew: %+v", b)
	}
	if b := second.builds[2]; b.read != 0 || b.ioRate() != "0" {
		t.Errorf("of a counter that begins anew: %+v", b)
	}
	if again := m.read(later, now.Add(2*time.Second)); again.builds[0].cpu != 0 {
		t.Errorf("in no time: %+v", again.builds[0])
	}
}

func TestTopOrders(t *testing.T) {
	for by, want := range map[string]string{
		"cpu": "bcdcpu22 bcdmem22 bcdjo222", "memory": "bcdmem22 bcdjo222 bcdcpu22", "io": "bcdjo222 bcdcpu22 bcdmem22",
		"processes": "bcdjo222 bcdmem22 bcdcpu22", "age": "bcdcpu22 bcdjo222 bcdmem22",
	} {
		g := new(meter).read(loads(), now)
		g.sort(by)
		var ids []string
		for _, b := range g.builds {
			ids = append(ids, b.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %s, want %s", by, got, want)
		}
	}
}

// TestTopInAPipe is a table at each look, as top -b has it.
func TestTopInAPipe(t *testing.T) {
	details := twoBuilds()
	details[0].MemoryBytes, details[0].IO = 3<<29, &api.IO{ReadBytes: 72 << 20, WrittenBytes: 72 << 10}
	socket, _ := start(t, details...)
	run(t, socket, "top", "--iterations", "1").expect(t, 0, `2026-01-02T03:04:05Z  2 builds, 1 in trouble
CPU 37%  memory 1.5G  I/O 1.0M/s  processes 6
ID        STATE    CPU%  MEM   IO/S  PROCS  AGE    USER   NAME
bcdz2345  stuck    20    -     -     1      5h30m  1001   -
bcdf2345  running  17    1.5G  1.0M  5      72s    alice  -
`, "")
	two := run(t, socket, "top", "-b", "-n", "2", "-d", "0.2", "-f", "user=alice")
	if got := strings.Count(two.out, "bcdf2345"); two.code != 0 || got != 2 || strings.Contains(two.out, "bcdz2345") || !strings.Contains(two.out, "\n\n2026") {
		t.Errorf("%+v", two)
	}
	empty, _ := start(t)
	run(t, empty, "top", "-n1").expect(t, 0, "2026-01-02T03:04:05Z  no builds\n", "")
	for args, want := range map[string]string{
		"-d 0":        `--delay 0: not between 0.2 and 3600 seconds: see "buildwatchctl top --help"`,
		"-d x":        `--delay "x": not a number that can be used: see "buildwatchctl top --help"`,
		"-d NaN":      `--delay NaN: not between 0.2 and 3600 seconds: see "buildwatchctl top --help"`,
		"-n -1":       `--iterations "-1": not a number above 0: see "buildwatchctl top --help"`,
		"--sort size": `--sort "size": the values are cpu, memory, io, processes, age: see "buildwatchctl top --help"`,
	} {
		run(t, socket, append([]string{"top"}, strings.Fields(args)...)...).expect(t, exitUsage, "", "buildwatchctl: "+want+"\n")
	}
	if r := run(t, "/nowhere", "top"); r.code != exitFailure || r.out != "" || strings.Count(r.err, "\n") != 1 {
		t.Errorf("without a daemon: %+v", r)
	}
}

// screen is the view on a made-up terminal of 80 by 24 cells.
type screen struct {
	*teatest.TestModel
	mu    sync.Mutex
	shown string
}

func onScreen(t *testing.T, from source) *screen {
	t.Helper()
	var s screen
	view := newTopView(t.Context(), &watched{source: from, now: nowIs}, "memory", 10*time.Millisecond, 0, true)
	// What the program sends is what has changed; the whole screen is what the view says.
	see := tea.WithFilter(func(m tea.Model, message tea.Msg) tea.Msg {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shown = m.View().Content
		return message
	})
	s.TestModel = teatest.NewTestModel(t, view, teatest.WithInitialTermSize(80, 24), teatest.WithProgramOptions(see))
	return &s
}

// await waits until all of the texts are on the screen.
func (s *screen) await(t *testing.T, texts ...string) {
	t.Helper()
	var missing []string
	var shown string
	proctest.Eventually(t, "all is on the screen", func() bool {
		s.mu.Lock()
		shown = s.shown
		s.mu.Unlock()
		missing = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(shown, text) })
		return len(missing) == 0
	})
	if len(missing) > 0 {
		t.Fatalf("%q are not on the screen:\n%s", missing, shown)
	}
}

func press(tm *screen, keys ...rune) {
	for _, key := range keys {
		k := tea.Key{Code: key}
		if key >= ' ' && key < 0x7f {
			k.Text = string(key)
		}
		tm.Send(tea.KeyPressMsg(k))
	}
}

func finalView(t *testing.T, tm *screen) topView {
	t.Helper()
	return tm.FinalModel(t, teatest.WithFinalTimeout(time.Minute)).(topView)
}

func TestTopStopsWhatWasChosenAfterAQuestion(t *testing.T) {
	from := &made{builds: loads()}
	s := onScreen(t, from)
	s.await(t, "3 builds", "> bcdmem22", "bcdcpu22")
	press(s, 's')
	s.await(t, "Stop build bcdmem22, 4711 podman build of alice? [y/N]")
	press(s, 'n')
	s.await(t, "build bcdmem22 is left alone")
	press(s, tea.KeyDown, 's')
	s.await(t, "Stop build bcdjo222,")
	// Another build is in its place meanwhile.
	other := loads()
	other[2].MemoryBytes = 0
	from.become(other, nil)
	s.await(t, "I/O", "bcdcpu22  running", "bcdjo222  running  0     -")
	press(s, 'y')
	s.await(t, "build bcdjo222 is gone")
	press(s, 'q')
	finalView(t, s)
	if got := from.stopped(); len(got) != 1 || got[0] != "bcdjo222" {
		t.Errorf("stopped are %q", got)
	}
}

// TestTopStopsNothingWithoutAYes: neither the end of the view nor any other key is one.
func TestTopStopsNothingWithoutAYes(t *testing.T) {
	from := &made{builds: loads()}
	s := onScreen(t, from)
	s.await(t, "3 builds")
	for _, key := range []rune{'s', tea.KeyEnter, 'q', ' ', tea.KeyEscape, 'n'} {
		press(s, 's', key)
	}
	press(s, 's')
	s.Send(tea.PasteMsg{Content: "y\ny\n"})
	s.Send(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
	finalView(t, s)
	if got := from.stopped(); len(got) != 0 {
		t.Errorf("stopped are %q", got)
	}
}

func TestTopSaysWhyAStopFailed(t *testing.T) {
	from := &made{builds: loads(), onStop: func(id string) error { return errors.New("build " + id + " is stuck") }}
	s := onScreen(t, from)
	s.await(t, "3 builds")
	press(s, 's', 'y')
	s.await(t, "build bcdmem22 is stuck")
	press(s, 'q')
	finalView(t, s)
}

func TestTopShowsABuildAlone(t *testing.T) {
	from := &made{builds: loads()}
	s := onScreen(t, from)
	s.await(t, "3 builds")
	press(s, tea.KeyEnter)
	s.await(t, "Build: bcdmem22", "memory 3.0G  read -/s", "esc back")
	press(s, 's', 'y')
	s.await(t, "build bcdmem22 is gone")
	from.become(loads()[:1], nil)
	press(s, tea.KeyEscape)
	s.await(t, "1 build", "> bcdcpu22")
	press(s, 'q')
	finalView(t, s)
}

// TestTopStaysWhileTheDaemonIsRestarted, and says what it is waiting for.
func TestTopStaysWhileTheDaemonIsRestarted(t *testing.T) {
	from := &made{failing: errors.New("it is being restarted")}
	s := onScreen(t, from)
	s.await(t, "it is being restarted")
	from.become(loads(), nil)
	s.await(t, "3 builds")
	from.become(nil, errors.New("restarted again"))
	s.await(t, "3 builds", "restarted again")
	from.become(nil, nil)
	s.await(t, "no builds")
	press(s, 's', tea.KeyEnter, tea.KeyDown, 'o', 'q')
	if v := finalView(t, s); v.order != "io" || v.failed != "" {
		t.Errorf("order is %s, failed is %q", v.order, v.failed)
	}
}

// TestTopFitsItsScreen whatever is in it, and nobody's name writes on it.
func TestTopFitsItsScreen(t *testing.T) {
	for _, name := range append(hostile, strings.Repeat("long", 50)) {
		all := make([]load, 40)
		for i := range all {
			b := twoBuilds()[1].Build
			b.ID = "bcd" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			b.Owner.Command, b.User.Name, b.Name, b.Arch = name, name, name, []string{name}
			all[i] = load{Build: b, cpu: 999, read: 1 << 40}
		}
		detail := twoBuilds()[1]
		detail.ID, detail.Owner.Command, detail.User.Name = all[0].ID, name, name
		for _, size := range [][2]int{{80, 24}, {40, 10}, {200, 50}, {1, 1}} {
			view := newTopView(t.Context(), &watched{now: nowIs}, "cpu", time.Second, 0, true)
			view.width, view.height = size[0], size[1]
			view = view.after(looked{glance: glance{builds: all, at: now}})
			view.looks, view.chosen = 1, all[39].ID
			asked := view
			asked.asking = &all[0]
			shown := view
			shown.details = detail.ID
			shown.take(detail)
			for what, v := range map[string]topView{"list": view, "question": asked, "details": shown} {
				lines := strings.Split(v.View().Content, "\n")
				if len(lines) > max(size[1], 8) {
					t.Errorf("%s at %v: %d lines", what, size, len(lines))
				}
				for _, line := range lines {
					bare := strings.NewReplacer(alarm, "", chosenRow, "", plain, "").Replace(line)
					if !isPlain(bare) || utf8.RuneCountInString(bare) > size[0] {
						t.Errorf("%q: %s at %v: %q", name, what, size, line)
					}
				}
				if content := v.View().Content; what == "list" && size[1] >= 10 && !strings.Contains(content, marker+all[39].ID) {
					t.Errorf("the build that was chosen is not on the screen of %v:\n%s", size, content)
				}
			}
		}
	}
}

// TestTopOfAMachine runs here, and asks the machine.
func TestTopOfAMachine(t *testing.T) {
	podmanmachinetest.Install(t, program, `case "$*" in
'list --json') echo '[{"id":"bcdf2345","state":"running","owner":{"pid":4711,"command":"podman build"},"user":{"uid":1000,"name":"core"},"created_at":"2026-01-02T03:04:05Z"}]' ;;
'show --json -- bcdf2345') echo '[{"id":"bcdf2345"}]' ;;
'stop -- bcdf2345') echo 'buildwatchctl: build bcdf2345 is stuck' >&2; exit 1 ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
`)
	r := run(t, "/nowhere", "--machine=vm", "top", "-n", "1")
	if r.code != 0 || !strings.Contains(r.out, "bcdf2345  running") || !strings.Contains(r.out, "core") {
		t.Errorf("%+v", r)
	}
	if r := run(t, "/nowhere", "--machine=stopped", "top"); r.code != exitUsage || !strings.Contains(r.err, `"stopped" is not running`) {
		t.Errorf("%+v", r)
	}
	a := &app{Environment: Environment{Out: io.Discard, Err: io.Discard, Now: nowIs, Getenv: only("", "")}}
	if err := a.machine.Set("vm"); err != nil {
		t.Fatal(err)
	}
	inside := a.source(a.root(nil).PersistentFlags())
	if d, err := inside.show(t.Context(), "bcdf2345"); err != nil || d.ID != "bcdf2345" {
		t.Errorf("%+v %v", d, err)
	}
	if err := inside.stop(t.Context(), "bcdf2345"); err == nil || err.Error() != "build bcdf2345 is stuck" {
		t.Errorf("%v", err)
	}
}
