package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const manualPage = "../../man/buildwatchd.toml.5"

func TestManualPageHasEveryKey(t *testing.T) {
	const begin, end = ".\\\" keys\n", ".\\\" /keys\n"
	data, err := os.ReadFile(manualPage)
	must(t, err)
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys between %q and %q", manualPage, begin, end)
	}
	if want := manual(); got != want {
		if *update {
			must(t, os.WriteFile(manualPage, []byte(before+begin+want+end+after), 0o644))
			return
		}
		t.Errorf("%s is not what the table of keys says: go test ./internal/config -update", manualPage)
	}
}

// manual returns every key as man(7) has it.
func manual() string {
	var b strings.Builder
	section, defaults := "", Default()
	for _, k := range keys {
		if k.section() != section {
			section = k.section()
			fmt.Fprintf(&b, ".SS [%s]\n", section)
		}
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n.br\n%s: %s. Default: %s.\n",
			roff(k.base()), roff(k.doc), roff(k.kind.typeName()), roff(k.kind.bounds()), roff(k.kind.literal(defaults)))
	}
	return b.String()
}

// roff escapes text that begins no line with a control character.
func roff(text string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(text)
}
