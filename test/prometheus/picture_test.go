//go:build prometheus

package prometheus

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/metrics"
)

var update = flag.Bool("update", false, "draw docs/dashboard.svg anew, which takes two minutes")

const picture = "../../docs/dashboard.svg"

// TestPictureIsOfTheDashboard: each of its panels is in it. It is drawn by what a real Prometheus answers
// to the panels' queries, by their places, titles, legends and units; a Grafana has no part in it.
func TestPictureIsOfTheDashboard(t *testing.T) {
	d := readDashboard(t)
	if *update {
		address := start(t, busy)
		if err := os.WriteFile(picture, []byte(draw(t, address, d)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if !strings.Contains(string(text), ">"+html.EscapeString(p.Title)+"<") {
			t.Errorf("%q is not in it: go test -tags prometheus ./test/prometheus -update", p.Title)
		}
	}
}

// shown is for how long the picture's builds go on, and step between two of its points.
const (
	shown = 100 * time.Second
	step  = time.Second
)

// busy counts the builds of a busy host: the same ones each time.
func busy(m *metrics.Metrics) {
	random := rand.New(rand.NewPCG(1, 2))
	modes, ends := []api.Mode{api.ModeLocal, api.ModeLocal, api.ModeAPI, api.ModeRun}, []api.Reason{api.ReasonCompleted, api.ReasonCompleted, api.ReasonOwnerExited, api.ReasonStopped, api.ReasonClientDisconnected}
	for until := time.Now().Add(shown); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		if random.IntN(3) > 0 {
			continue
		}
		mode, reason := modes[random.IntN(len(modes))], ends[random.IntN(len(ends))]
		m.BuildStarted(mode)
		for range 1 + random.IntN(6) {
			m.Placement(time.Duration(2+random.IntN(9))*time.Millisecond, "")
			m.DBusRequest("StartTransientUnit", time.Duration(1+random.IntN(5))*time.Millisecond, nil)
		}
		if random.IntN(30) == 0 {
			m.Placement(time.Second, "timeout")
		}
		took := time.Duration(0)
		if reason != api.ReasonCompleted {
			took = time.Duration(8+random.IntN(60)) * time.Millisecond
			m.RungUsed(api.UsedRung{Rung: api.RungKill, Duration: api.Seconds(took / 2)})
			m.RungUsed(api.UsedRung{Rung: api.RungStop, Duration: api.Seconds(took / 3)})
		}
		m.BuildEnded(reason, mode, time.Duration(10+random.IntN(300))*time.Second, took)
		m.Gone(api.Ended{Mode: mode, Reason: reason, CPUSeconds: 20 * random.Float64(), ProcessesEnded: map[string]int{"aarch64": random.IntN(6), api.NativeArch: random.IntN(3)}})
	}
}

// A line is one series of a panel.
type line struct {
	name   string
	points [][2]float64 // seconds of the picture, value
}

func draw(t *testing.T, address string, d Board) string {
	t.Helper()
	const column, row, margin = 50, 34, 5
	to := time.Now()
	high := 0
	for _, p := range d.Panels {
		high = max(high, p.GridPos.Y+p.GridPos.H)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#ccc">`+"\n", 24*column, high*row)
	b.WriteString(`<rect width="100%" height="100%" fill="#111217"/>` + "\n")
	for _, p := range d.Panels {
		var lines []line
		for _, target := range p.Targets {
			lines = append(lines, seriesOf(t, address, target.Expr, target.LegendFormat, to)...)
		}
		fmt.Fprintf(&b, `<svg x="%d" y="%d" width="%d" height="%d">`, p.GridPos.X*column+margin, p.GridPos.Y*row+margin, p.GridPos.W*column-2*margin, p.GridPos.H*row-2*margin)
		drawPanel(&b, p, lines, float64(p.GridPos.W*column-2*margin), float64(p.GridPos.H*row-2*margin))
		b.WriteString("</svg>\n")
	}
	return b.String() + "</svg>\n"
}

var colours = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d"}

func drawPanel(b *strings.Builder, p Panel, lines []line, width, height float64) {
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" rx="2" fill="#181b1f"/><text x="8" y="18" font-weight="bold">%s</text>`, html.EscapeString(p.Title))
	if p.Type == "stat" {
		last := math.NaN()
		for _, l := range lines {
			last = l.points[len(l.points)-1][1]
		}
		fmt.Fprintf(b, `<text x="50%%" y="70%%" font-size="40" text-anchor="middle" fill="%s">%s</text>`, colours[2], inUnit(last, p.FieldConfig.Defaults.Unit))
		return
	}
	const left, top, bottom = 62, 30, 40
	most := 0.0
	for _, l := range lines {
		for _, point := range l.points {
			most = max(most, point[1])
		}
	}
	if most == 0 {
		most = 1
	}
	across, up := width-left-10, height-top-bottom
	for _, part := range []float64{0, 0.5, 1} {
		y := top + up*(1-part)
		fmt.Fprintf(b, `<path d="M%d %.0fH%.0f" stroke="#333"/><text x="%d" y="%.0f" font-size="10" text-anchor="end">%s</text>`, left, y, left+across, left-6, y+4, inUnit(most*part, p.FieldConfig.Defaults.Unit))
	}
	x := float64(left)
	for i, l := range lines {
		colour := colours[i%len(colours)]
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" points="`, colour)
		for _, point := range l.points {
			fmt.Fprintf(b, "%.0f,%.1f ", left+across*point[0]/shown.Seconds(), top+up*(1-point[1]/most))
		}
		b.WriteString(`"/>`)
		if x+float64(8*len(l.name)) < width { // what has no room is left out
			fmt.Fprintf(b, `<text x="%.0f" y="%.0f" font-size="11" fill="%s">%s</text>`, x, height-10, colour, html.EscapeString(l.name))
		}
		x += float64(7*len(l.name) + 12)
	}
}

func inUnit(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case unit == "bytes":
		return strconv.FormatFloat(v/(1<<20), 'f', 0, 64) + " MiB"
	case unit == "percentunit":
		return strconv.FormatFloat(v*100, 'f', 1, 64) + " %"
	case unit == "s" && v > 0 && v < 1:
		return strconv.FormatFloat(v*1000, 'f', 1, 64) + " ms"
	case unit == "s":
		return strconv.FormatFloat(v, 'f', 0, 64) + " s"
	case unit == "reqps":
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// seriesOf asks for the time that the picture shows.
func seriesOf(t *testing.T, address, query, legend string, to time.Time) (lines []line) {
	t.Helper()
	from := to.Add(-shown)
	resp, err := http.Get("http://" + address + "/api/v1/query_range?" + url.Values{
		"query": {Variables("10s").Replace(query)}, "start": {from.Format(time.RFC3339)}, "end": {to.Format(time.RFC3339)}, "step": {step.String()},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v %s", query, err, answer.Error)
	}
	for _, one := range answer.Data.Result {
		l := line{name: legend}
		for name, value := range one.Metric {
			l.name = strings.ReplaceAll(l.name, "{{"+name+"}}", value)
		}
		for _, value := range one.Values {
			v, err := strconv.ParseFloat(value[1].(string), 64)
			if err == nil && !math.IsNaN(v) {
				l.points = append(l.points, [2]float64{value[0].(float64) - float64(from.Unix()), v})
			}
		}
		if len(l.points) > 0 {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	return lines
}
