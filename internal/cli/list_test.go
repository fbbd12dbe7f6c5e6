//go:build linux

package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

func TestListTable(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	run(t, socket, "list").expect(t, 0, `ID        STATE    AGE    OWNER              NAME  USER   ARCH             CPU
bcdz2345  stuck    5h30m  815 podman sys...  -     1001   -                1h6m
bcdf2345  running  72s    4711 podman build  -     alice  aarch64,riscv64  12.3s
`, oneStuck)
	run(t, socket, "list", "--no-trunc", "--noheading", "--filter", "state=stuck").expect(t, 0,
		"bcdz2345  stuck  5h30m  815 podman system service --with-a-long-name  -  1001  -  1h6m\n", oneStuck)
}

const oneStuck = "buildwatchctl: 1 build is stuck: \"buildwatchctl show bcdz2345\" says why\n"

func TestListOfNothing(t *testing.T) {
	socket, _ := start(t)
	run(t, socket, "list").expect(t, 0, "", "no builds are running\n")
	run(t, socket, "list", "-f", "state=stuck").expect(t, 0, "", "no builds fit the filter\n")
	run(t, socket, "list", "--json").expect(t, 0, "[]\n", "")
	run(t, socket, "list", "--format", "json").expect(t, 0, "[]\n", "")
	run(t, socket, "list", "-q").expect(t, 0, "", "")
	run(t, socket, "list", "--format", "{{.ID}}").expect(t, 0, "", "")
}

func TestListJSONIsTheAPIs(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, args := range [][]string{{"list", "--json"}, {"list", "--format", "json"}} {
		var got []api.Build
		if err := json.Unmarshal([]byte(run(t, socket, args...).out), &got); err != nil {
			t.Fatal(err)
		}
		want := twoBuilds()[0].Build
		if len(got) != 2 || !reflect.DeepEqual(got[1], want) {
			t.Errorf("got %+v, want %+v last", got, want)
		}
	}
	if r := run(t, socket, "list", "--format", "{{json .}}"); strings.Count(r.out, "\n") != 2 || !strings.HasPrefix(r.out, `{"id":"bcdz2345"`) {
		t.Errorf("{{json .}}: %s", r.out)
	}
}

func TestListTemplates(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, test := range []struct{ format, want string }{
		{`{{.ID}}\t{{.State}}`, "bcdz2345\tstuck\nbcdf2345\trunning\n"},
		{`{{.ID}} [{{.Arch}}] [{{.Reason}}]`, "bcdz2345 [] [owner_exited]\nbcdf2345 [aarch64,riscv64] []\n"},
		{`{{upper .State}}{{"\n"}}`, "STUCK\n\nRUNNING\n\n"},
		{`table {{.UID}}\t{{.Reason}}`, "UID   REASON\n1001  owner_exited\n1000  -\n"},
		{`table {{.Owner}}`, "OWNER\n815 podman system service -...\n4711 podman build\n"},
		{`{{.Owner}}`, "815 podman system service --with-a-long-name\n4711 podman build\n"},
		{`{{if eq .OwnerPID 815}}{{join (split .User "0") "-"}}{{end}}`, "1--1\n\n"},
		{`tablet {{.ID}}`, "tablet bcdz2345\ntablet bcdf2345\n"},
	} {
		run(t, socket, "list", "--format", test.format).expect(t, 0, test.want, "")
	}
	run(t, socket, "list", "--noheading", "--format", `table {{.UID}}`).expect(t, 0, "1001\n1000\n", "")
	run(t, socket, "list", "--format", `{{index (split .ID "x") 3}}`).expect(t, 1, "",
		"buildwatchctl: --format: {{index (split .ID \"x\") 3}}: index out of range: 3\n")
	run(t, socket, "list", "--format", `{{index . 0}}`).expect(t, 1, "", "buildwatchctl: --format: {{index . 0}}: can't index all of a build\n")
	run(t, socket, "list", "--format", `{{template "x"}}`).expect(t, 1, "", "buildwatchctl: --format: {{template \"x\"}}: template \"x\" not defined\n")
}

// TestEveryPlaceholder: each that --help documents works, and has a value.
func TestEveryPlaceholder(t *testing.T) {
	build := twoBuilds()[1]
	build.EndedAt, build.StalledSince = now, now
	build.Reported = true
	build.Name, build.Owner.Unit = "nightly", "ci.service"
	build.Arch = []string{"aarch64"}
	socket, _ := start(t, build)
	help := run(t, socket, "list", "--help").out
	methods := reflect.TypeFor[row]()
	for _, p := range placeholders {
		if !strings.Contains(help, "."+p.name+" ") {
			t.Errorf(".%s is not in --help", p.name)
		}
		r := run(t, socket, "list", "--format", "table {{."+p.name+"}}")
		lines := strings.Split(r.out, "\n")
		if r.code != 0 || len(lines) != 3 || lines[0] != p.heading || lines[1] == "" || lines[1] == "-" {
			t.Errorf(".%s: %+v", p.name, r)
		}
	}
	for m := range methods.Methods() {
		if !slices.ContainsFunc(placeholders, func(p placeholder) bool { return p.name == m.Name }) && m.Name != "MarshalJSON" {
			t.Errorf(".%s is not documented", m.Name)
		}
	}
}

func TestFilters(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	const alices, other, both = "bcdf2345\n", "bcdz2345\n", "bcdz2345\nbcdf2345\n"
	for _, test := range []struct{ filters, want string }{
		{"id=bcdf", alices},
		{"id=f", ""},
		{"id=bcdf id=bcdz", both},
		{"state=running", alices},
		{"state=running state=stuck", both},
		{"state=running user=1001", ""},
		{"user=alice", alices},
		{"user=1000", alices},
		{"user=01001", other},
		{"user=100", ""},
		{"arch=riscv64", alices},
		{"arch=riscv", ""},
		{"reason=owner_exited", other},
		{"mode=api mode=local", both},
		{"mode=api state=stuck", other},
		{"scope=buildwatch-bcdf2345.scope", alices},
		{"since=10m", alices},
		{"until=10m", other},
		{"since=2026-01-01T00:00:00Z until=2026-01-02T03:00:00+00:00", other},
	} {
		args := []string{"list", "-q"}
		for f := range strings.FieldsSeq(test.filters) {
			args = append(args, "--filter", f)
		}
		run(t, socket, args...).expect(t, 0, test.want, "")
	}
}

func TestSort(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	const alices, other = "bcdf2345\n", "bcdz2345\n"
	for key, want := range map[string]string{
		"created": other + alices, "id": alices + other, "state": alices + other,
		"processes": alices + other, "cpu": other + alices,
	} {
		run(t, socket, "list", "-q", "--sort", key).expect(t, 0, want, "")
	}
}

// hostile are names that users can give their programs.
var hostile = []string{
	"x\x1b[2J", "x\ny", "x\ty", "x\r", "\u202egnp.exe", "x\u0085", "x\u009b2J", "x\x7f", "x\xff\xfe", "x\u2028y", "\"quoted\"", "x\x00", "\U000e0001", "\u200b",
}

// TestOneEntryOneLine is threats 31 and 40: nobody's name writes on the screen.
func TestOneEntryOneLine(t *testing.T) {
	for _, name := range hostile {
		build := twoBuilds()[0]
		build.Owner.Command, build.User.Name, build.Scope, build.Cgroup = name, name, name, name
		build.Arch = []string{name}
		build.State = api.StateStuck
		for i := range build.ProcessTree {
			p := &build.ProcessTree[i]
			p.Command, p.Exe, p.Arch, p.State, p.WChan, p.Survivor = name, name, name, name, name, true
		}
		build.Ladder = []api.UsedRung{{Rung: api.Rung(name), Error: name}}
		socket, builds := start(t, build)
		builds.OnStop = stuck(build.Build)
		for args, lines := range map[string]int{
			"list":                      2,
			"list --no-trunc":           2,
			"list --json":               25,
			"show bcdf":                 -1,
			"show --json bcdf":          -1,
			"stop bcdf":                 0,
			"__complete stop":           -1,
			"list --format {{.|json}}":  1,
			"list --format {{.Owner}}":  1,
			"list --format {{.Cgroup}}": 1,
			"show bcdf --format {{range.ProcessTree}}{{.Command}}{{.Exe}}{{.Arch}}{{.State}}{{.WChan}}{{end}}{{range.Ladder}}{{.Rung}}{{.Error}}{{end}}": 1,
		} {
			fields := strings.Fields(args)
			if fields[0] == "__complete" {
				fields = append(fields, "")
			}
			r := run(t, socket, fields...)
			if got := strings.Count(r.out, "\n"); lines >= 0 && got != lines {
				t.Errorf("%q: %s: %d lines, want %d:\n%s", name, args, got, lines, r.out)
			}
			printed := r.out + r.err
			if fields[0] == "__complete" {
				printed = strings.ReplaceAll(printed, "\t", "") // between ID and description
			}
			for line := range strings.Lines(printed) {
				if line = strings.TrimSuffix(line, "\n"); !isPlain(line) {
					t.Errorf("%q: %s: unfit for a terminal: %q", name, args, line)
				}
			}
		}
	}
}

// TestJSONMeansTheSameEscaped: what is escaped for the terminal's sake reads the
// same for a program.
func TestJSONMeansTheSameEscaped(t *testing.T) {
	for _, name := range append(hostile, "plain", "ünïcödé 編", "\U0001f600") {
		document, err := marshal(map[string]string{"name": name}, "  ")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(document), &got); err != nil || got["name"] != strings.ToValidUTF8(name, "\ufffd") && got["name"] != fmt.Sprint(strings.ReplaceAll(name, "\xff\xfe", "\ufffd\ufffd")) {
			t.Errorf("%q comes back as %q (%v)", name, got["name"], err)
		}
	}
}

// TestFilterTakesPodmansWordsForArchitectures, as in --platform.
func TestFilterTakesPodmansWordsForArchitectures(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for value, want := range map[string]string{
		"arm64": "bcdf2345\n", "linux/arm64": "bcdf2345\n", "arm64/v8": "bcdf2345\n", "aarch64": "bcdf2345\n", "riscv64": "bcdf2345\n",
		"amd64": "", "s390x": "",
	} {
		if r := run(t, socket, "list", "--quiet", "--filter", "arch="+value); r.code != 0 || r.out != want {
			t.Errorf("%s: %q", value, r.out)
		}
	}
	for value, want := range map[string]string{"amd64": "x86_64", "386": "i386", "ppc64le": "ppc64le", "linux/arm/v7": "arm", "loong64": "loongarch64"} {
		if got := emulatedName(value); got != want {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
	}
}

// TestFilterOffersOnlyWhatCanMatch: what is gone is not listed.
func TestFilterOffersOnlyWhatCanMatch(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, never := range []string{"state=gone", "reason=completed"} {
		r := run(t, socket, "list", "--filter", never)
		_, value, _ := strings.Cut(never, "=")
		offered, _, _ := strings.Cut(r.err, "the values are ")
		if r.code == 0 || strings.Contains(strings.TrimPrefix(r.err, offered), value) {
			t.Errorf("%s: %d %s", never, r.code, r.err)
		}
	}
	if strings.Contains(filterHelp(filterKeys), "gone") || strings.Contains(filterHelp(filterKeys), "completed") {
		t.Errorf("offered are\n%s", filterHelp(filterKeys))
	}
}
