package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the files that are made from the table of keys")

const (
	sampleFile = "../../dist/buildwatchd.toml"
	docFile    = "../../docs/configuration.md"
)

// The installed file shows every key, commented out with its default.
func TestSampleFileShowsEveryKey(t *testing.T) {
	want := sample(t)
	if *update {
		must(t, os.WriteFile(sampleFile, []byte(want), 0o644))
	}
	got, err := os.ReadFile(sampleFile)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s is not what the table of keys says: go test ./internal/config -update", sampleFile)
	}
}

func TestSampleFileSetsNothing(t *testing.T) {
	if c := load(t, tree(t, map[string]string{MainFile: sample(t)})); len(c.origins) != 0 {
		t.Errorf("it sets %v", c.origins)
	}
}

func TestSampleFileIsValidWhenUncommented(t *testing.T) {
	text := sample(t)
	for _, k := range keys {
		text = strings.Replace(text, "\n#"+k.base()+" =", "\n"+k.base()+" =", 1)
	}
	c := load(t, tree(t, map[string]string{MainFile: text}))
	if len(c.origins) != len(keys) {
		t.Errorf("%d of %d keys set:\n%s", len(c.origins), len(keys), text)
	}
	if c.origins = Default().origins; !reflect.DeepEqual(c, Default()) {
		t.Errorf("it sets %+v, not the defaults", c)
	}
}

func TestDocumentationHasEveryKey(t *testing.T) {
	const begin, end = "<!-- keys -->\n", "<!-- /keys -->\n"
	data, err := os.ReadFile(docFile)
	must(t, err)
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys between %q and %q", docFile, begin, end)
	}
	if want := tables(); table != want {
		if *update {
			must(t, os.WriteFile(docFile, []byte(before+begin+want+end+after), 0o644))
			return
		}
		t.Errorf("%s is not what the table of keys says: go test ./internal/config -update", docFile)
	}
}

func sample(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(comment("Configuration of buildwatchd. Every key is shown with its default; uncomment one to change it. Better still, put the change into a file of its own in "+AdminDropIns+"/, which upgrades leave alone.") +
		"#\n" +
		comment("buildwatchd --check-config says whether the files are right, buildwatchd --print-config what they say, and in which line.") +
		"\n")
	defaults := Default()
	must(t, write(&b, func(k key) string {
		return fmt.Sprintf("#%s = %s", k.base(), k.kind.literal(defaults))
	}))
	return b.String()
}

// tables returns a Markdown table for each section.
func tables() string {
	var b strings.Builder
	section, defaults := "", Default()
	for _, k := range keys {
		if k.section() != section {
			section = k.section()
			fmt.Fprintf(&b, "\n### `[%s]`\n\n| key | type | default | allowed | meaning |\n|--|--|--|--|--|\n", section)
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s |\n", k.base(), k.kind.typeName(), k.kind.literal(defaults), k.kind.bounds(), k.doc)
	}
	return strings.TrimPrefix(b.String(), "\n")
}
