package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

var update = flag.Bool("update", false, "write the tables that are made from package api")

// meant is one value of a closed set of package api.
type meant interface {
	~string
	Meaning() string
}

// table is the table of a set of words, with more columns behind the meaning.
func table[T meant](heading string, words []T, more ...func(T) string) string {
	var b strings.Builder
	columns := strings.Count(heading, "|") + 1
	fmt.Fprintf(&b, "| %s |\n|%s\n", heading, strings.Repeat("--|", columns))
	for _, w := range words {
		fmt.Fprintf(&b, "| `%s` | %s |", string(w), w.Meaning())
		for _, column := range more {
			fmt.Fprintf(&b, " %s |", column(w))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// limits bound each rung, some by a key of the configuration.
var limits = map[api.Rung]func(lifecycle.Timeouts) string{
	api.RungKill: func(l lifecycle.Timeouts) string { return limit("kill_timeout", l.Kill) },
	api.RungOwner: func(l lifecycle.Timeouts) string {
		return limit("owner_timeout", l.Owner) + ", then twice " + l.OwnerTerm.String()
	},
	api.RungStop:       func(l lifecycle.Timeouts) string { return limit("stop_timeout", l.Stop) },
	api.RungCgroupKill: func(l lifecycle.Timeouts) string { return l.CgroupKill.String() },
	api.RungSurvivors:  func(l lifecycle.Timeouts) string { return l.Survivors.String() },
	api.RungHelpers:    func(l lifecycle.Timeouts) string { return l.Helpers.String() },
}

func limit(key string, value time.Duration) string { return fmt.Sprintf("`%s` (%s)", key, value) }

// tables are those that are made, by the names of their places.
func tables() map[string]string {
	keys := config.Default().Ladder
	ladder := lifecycle.Times(keys.KillTimeout, keys.OwnerTimeout, keys.StopTimeout)
	shown := slices.DeleteFunc(api.EventKinds(), func(k api.EventKind) bool {
		return k == api.EventAlive || k == api.EventStopping // for clients of the API alone
	})
	return map[string]string{
		"states":       table("state | what it means | what you can do", api.States(), api.State.Advice),
		"reasons":      table("reason | what happened", api.Reasons()),
		"rungs":        table("rung | what is done | limit (default)", api.Rungs(), func(r api.Rung) string { return limits[r](ladder) }),
		"aborts":       table("`fuse_abort` | meaning", api.Aborts()),
		"placements":   table("`placement` | meaning", api.Placements()),
		"modes":        table("`mode` | meaning", api.Modes()),
		"facts":        table("fact | what it is about", api.FactNames()),
		"verdicts":     table("`verdict` | meaning", api.Verdicts()),
		"changes":      table("`changes_when` | meaning", api.Changes()),
		"values":       table("`value` | what it says", api.FactValues()),
		"doubts":       table("`doubt` | meaning", api.Doubts()),
		"actions":      table("`kind` of an action | what is done", api.ActionKinds()),
		"sources":      table("source | what was read", api.FactSources()),
		"kinds":        table("`kind` | what happened", shown),
		"client kinds": table("`kind` | what happened", []api.EventKind{api.EventAlive, api.EventStopping}),
		"conditions":   table("`if` | when", api.PlanConditions()),
		"means":        table("`means` | what is done", api.AllPlanMeans()),
		"features":     table("name | what it is for", api.FeatureNames()),
		"errors":       table("`code` | HTTP status, and what it means", api.ErrorCodes()),
	}
}

var place = regexp.MustCompile(`(?s)<!-- table: ([a-z ]+) -->\n(.*?)<!-- end -->`)

// TestEachWordHasItsMeaningOnOnePage: what package api says of its words is what the
// pages say, and each table stands once.
func TestEachWordHasItsMeaningOnOnePage(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	made := tables()
	seen := map[string]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		want := place.ReplaceAllStringFunc(string(text), func(found string) string {
			name := place.FindStringSubmatch(found)[1]
			if other, twice := seen[name]; twice {
				t.Errorf("the table of %s is in %s and in %s", name, other, page)
			}
			seen[name] = page
			body, known := made[name]
			if !known {
				t.Errorf("%s: there is no table of %s", page, name)
			}
			return "<!-- table: " + name + " -->\n" + body + "<!-- end -->"
		})
		if want == string(text) {
			continue
		}
		if !*update {
			t.Errorf("%s is not what package api says: go test ./docs -update", page)
			continue
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name := range made {
		if seen[name] == "" {
			t.Errorf("no page has the table of %s", name)
		}
	}
}

// TestEveryWordHasAMeaning, each another, that stays in its cell.
func TestEveryWordHasAMeaning(t *testing.T) {
	for name, table := range tables() {
		seen := map[string]bool{}
		for row := range strings.Lines(table) {
			cells := strings.Split(strings.Trim(row, "|\n"), "|")
			if len(cells) != strings.Count(table[:strings.Index(table, "\n")], "|")-1 || strings.TrimSpace(cells[1]) == "" || seen[cells[1]] {
				t.Errorf("%s: %s", name, row)
			}
			seen[cells[1]] = true
		}
	}
}

// TestLinksLeadSomewhere: between the pages of the project, to their headings.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pages := []string{"../README.md", "../HACKING.md", "../SECURITY.md", "../CONTRIBUTING.md", "../findings/README.md", "../dist/podman-machine/README.md"}
	here, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, here...) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			file, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(match[1], ":") {
				continue // another site
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !slices.Contains(anchors(prose(t, target)), anchor) {
				t.Errorf("%s: %s has no heading %q", page, target, anchor)
			}
		}
	}
}

var block = regexp.MustCompile("(?s)```.*?```")

// prose is a page without what it quotes.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return block.ReplaceAllString(string(text), "")
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile(`[^\w\- ]`)
)

// anchors are what the headings of a page are called in links.
func anchors(text string) []string {
	var found []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		found = append(found, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return found
}

// TestIndexHasEveryPage: one that is not there is found by nobody.
func TestIndexHasEveryPage(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if page != "README.md" && !strings.Contains(string(index), "]("+page+")") {
			t.Errorf("%s is not in the index", page)
		}
	}
}

// TestEveryRequestIsDescribed: all that package api has a path for.
func TestEveryRequestIsDescribed(t *testing.T) {
	page, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../api/api.go")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`"(/v1/[^"]*)" +// (GET|POST)`).FindAllStringSubmatch(string(source), -1)
	if len(paths) < 7 {
		t.Fatalf("only %d paths were found", len(paths))
	}
	for _, match := range paths {
		if !strings.Contains(string(page), "`"+match[2]+" "+match[1]+"`") {
			t.Errorf("api.md does not describe %s %s", match[2], match[1])
		}
	}
}
