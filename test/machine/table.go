package machine

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// VersionTable writes the versions of all suites, as a table in Markdown: what
// `make versions` puts into docs/compatibility.md.
func VersionTable(ctx context.Context, out io.Writer, say func(string, ...any)) error {
	versions := make(map[string]map[string]string) // by name, by suite
	for _, suite := range Suites() {
		found, err := Versions(ctx, suite, say)
		if err != nil {
			return fmt.Errorf("versions of %s: %w", suite, err)
		}
		for _, v := range found {
			// Debian has renamed it: one row.
			name := strings.TrimSuffix(v.Name, "-static")
			if versions[name] == nil {
				versions[name] = make(map[string]string)
			}
			versions[name][suite] = v.Version
		}
	}
	_, err := io.WriteString(out, versionTable(Suites(), versions))
	return err
}

func versionTable(suites []string, versions map[string]map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "| | %s |\n|--|%s\n", strings.Join(suites, " | "), strings.Repeat("--|", len(suites)))
	for _, name := range append([]string{kernelName}, told...) {
		row := versions[name]
		if row == nil {
			continue
		}
		cells := make([]string, len(suites))
		for i, suite := range suites {
			cells[i] = row[suite]
		}
		fmt.Fprintf(&text, "| %s | %s |\n", name, strings.Join(cells, " | "))
	}
	return text.String()
}
