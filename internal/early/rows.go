package early

import (
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// mayHaveRows reports whether a file of podman's configuration could have a row of a
// runtime. It reads lines, not TOML: most files have comments and tables without rows
// only, and of those that have more it need not know what they say.
func mayHaveRows(content string) bool {
	inTable := false // of whose name "runtimes" is a part
	for content != "" {
		var line string
		line, content, _ = strings.Cut(content, "\n")
		line = strings.Trim(line, space)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			inTable = podman.NamesRuntimes(line)
		case inTable || podman.NamesRuntimes(line) && !isDefault(line):
			return true
		}
	}
	return false
}

const space = " \t\r"

// isDefault reports whether a line says which runtime is taken where none is asked for,
// which is no row.
func isDefault(line string) bool {
	const key = "runtime"
	if !strings.HasPrefix(line, key) {
		return false
	}
	value := strings.TrimLeft(line[len(key):], space)
	return strings.HasPrefix(value, "=") && !podman.NamesRuntimes(value)
}
