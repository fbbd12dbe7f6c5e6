package cli

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/buildwatch/buildwatch/api"
)

// manual returns the sections of docs/buildwatchctl.md by their headings.
func manual(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/buildwatchctl.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	heading := ""
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.TrimSpace(strings.TrimLeft(after, "#"))
		}
		sections[heading] += line
	}
	return sections
}

var firstCell = regexp.MustCompile("(?m)^\\| `([^|]*)")

// terms returns the words in backquotes that begin the rows of a section's
// tables and that the pattern fits.
func terms(section, pattern string) []string {
	var found []string
	for _, cell := range firstCell.FindAllString(section, -1) {
		found = append(found, regexp.MustCompile("`("+pattern+")`").FindAllString(cell, -1)...)
	}
	for i, term := range found {
		found[i] = strings.Trim(term, "`")
	}
	return found
}

func compare(t *testing.T, what string, documented, real []string) {
	t.Helper()
	documented, real = slices.Sorted(slices.Values(documented)), slices.Sorted(slices.Values(real))
	if !slices.Equal(documented, real) {
		t.Errorf("%s: documented are\n%q, there are\n%q", what, documented, real)
	}
}

func TestManualHasEveryVerbAndFlag(t *testing.T) {
	sections := manual(t)
	a := &app{Environment: Environment{Getenv: func(string) string { return "" }}}
	root := a.root(nil)
	for _, cmd := range root.Commands() {
		section, ok := sections["buildwatchctl "+cmd.Name()]
		if !ok && cmd.Name() != "help" {
			t.Errorf("%s has no section", cmd.Name())
		}
		compare(t, cmd.Name(), terms(section, "--?[a-zA-Z-]+"), flagsOf(cmd.NonInheritedFlags()))
		for _, alias := range cmd.Aliases {
			if !strings.Contains(section, "`"+alias+"`") {
				t.Errorf("%s: alias %s is not documented", cmd.Name(), alias)
			}
		}
	}
	global := append(flagsOf(root.PersistentFlags()), "--help", "-h")
	compare(t, "every verb", terms(sections["Every verb"], "--?[a-z-]+"), global)
	if !strings.Contains(sections["Every verb"], api.ControlSocket) || !strings.Contains(sections["Every verb"], "$"+socketVariable) {
		t.Error("the default of --socket is not documented")
	}
}

func flagsOf(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		names = append(names, "--"+f.Name)
		if f.Shorthand != "" {
			names = append(names, "-"+f.Shorthand)
		}
	})
	return names
}

func TestManualHasEveryPlaceholderFilterAndKey(t *testing.T) {
	sections := manual(t)
	var names []string
	for _, p := range placeholders {
		names = append(names, "."+p.name)
	}
	compare(t, "placeholders", terms(sections["Columns and placeholders"], `\.[A-Za-z]+`), names)
	names = nil
	for _, p := range endedPlaceholders {
		names = append(names, "."+p.name)
	}
	_, ended, _ := strings.Cut(sections["buildwatchctl history"], "| placeholder |")
	compare(t, "placeholders of history", terms(ended, `\.[A-Za-z]+`), names)
	list := sections["buildwatchctl list"]
	_, filters, _ := strings.Cut(list, "| filter |")
	compare(t, "filters", terms(filters, "[a-z]+"), filterNames(filterKeys))
	for _, key := range sortNames() {
		if !strings.Contains(list, "`"+key+"`") {
			t.Errorf("--sort %s is not documented", key)
		}
	}
	for _, values := range []string{alternatives(api.States()), alternatives(api.Reasons()), alternatives(api.Modes())} {
		if !strings.Contains(filters, "`"+strings.ReplaceAll(values, ", ", "`, `")+"`") {
			t.Errorf("%s are not documented", values)
		}
	}
	for _, method := range slices.Concat(methods[processRow](), methods[rungRow](), methods[factRow](), []string{"Verdict", "ChangesWhen"}) {
		if !strings.Contains(sections["buildwatchctl show"], "`."+method+"`") || !strings.Contains(detailHelp, "."+method) {
			t.Errorf("show: .%s is not documented", method)
		}
	}
}

func methods[T any]() []string {
	var names []string
	for m := range reflect.TypeFor[T]().Methods() {
		if m.Name != "MarshalJSON" {
			names = append(names, m.Name)
		}
	}
	return names
}

func TestManualHasEveryJSONName(t *testing.T) {
	section := manual(t)["JSON"]
	build, detail, _ := strings.Cut(section, "`show --json`")
	build, _, _ = strings.Cut(build, "<!-- table")
	detail, _, _ = strings.Cut(detail, "<!-- table")
	names := jsonNames("", reflect.TypeFor[api.Build]())
	compare(t, "list --json", terms(build, `[a-z_.\[\]]+`), names)
	all := jsonNames("", reflect.TypeFor[api.BuildDetail]())
	compare(t, "show --json", terms(detail, `[a-z_.\[\]]+`), slices.DeleteFunc(all, func(name string) bool { return slices.Contains(names, name) }))
}

func TestManualHasEveryEventAndPlan(t *testing.T) {
	sections := manual(t)
	_, names, _ := strings.Cut(sections["buildwatchctl watch"], "| name |")
	compare(t, "watch --json", terms(names, `[a-z_.\[\]]+`), jsonNames("", reflect.TypeFor[api.Event]()))
	_, names, _ = strings.Cut(sections["buildwatchctl stop"], "| name in `--json` |")
	names, _, _ = strings.Cut(names, "<!-- table")
	plan := slices.DeleteFunc(jsonNames("", reflect.TypeFor[api.Plan]()), func(name string) bool { return strings.HasPrefix(name, "build.") })
	compare(t, "stop --dry-run --json", terms(names, `[a-z_.\[\]]+`), append(plan, "build"))
}

func TestManualHasEveryExitCodeOfCheck(t *testing.T) {
	section := manual(t)["buildwatchctl check"]
	for _, c := range checkCodes {
		if !strings.Contains(section, fmt.Sprintf("\n| %d | ", c.code)) {
			t.Errorf("%d is not documented", c.code)
		}
	}
}

// jsonNames lists the names in the JSON document of a type, those of documents
// in it with a dot.
func jsonNames(prefix string, of reflect.Type) []string {
	var names []string
	for field := range of.Fields() {
		if field.Anonymous {
			names = append(names, jsonNames(prefix, field.Type)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name = prefix + name
		inner := field.Type
		if inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case inner.Kind() != reflect.Struct || inner == reflect.TypeFor[time.Time]():
			names = append(names, name)
		case field.Type.Kind() == reflect.Slice:
			names = append(names, jsonNames(name+"[].", inner)...)
		default:
			names = append(names, jsonNames(name+".", inner)...)
		}
	}
	return names
}

// TestEveryCommandIsDescribed: help, manual pages and completion are made of it.
func TestEveryCommandIsDescribed(t *testing.T) {
	a := &app{Environment: Environment{Getenv: func(string) string { return "" }}}
	seen := make(map[string]*cobra.Command)
	for _, cmd := range a.root(nil).Commands() {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q", cmd.Name(), cmd.Short)
		}
		seen[cmd.Name()] = cmd
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"check", "completion", "config", "doctor", "history", "list", "prune", "run", "show", "stop", "top", "version", "wait", "watch"}) {
		t.Errorf("the verbs are %q", got)
	}
}
