package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// remedies are what somebody can type for a build that does not go on by itself; none for
// all others. What is named is quoted for a shell.
func remedies(d api.BuildDetail) []string {
	switch {
	case d.State == api.StateStalled, d.Reported:
		return []string{fmt.Sprintf("buildwatchctl stop %s", quote(d.ID))}
	case d.State != api.StateStuck:
		return nil
	}
	var all []string
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, p := range d.ProcessTree {
		for _, w := range p.Waits {
			switch {
			case w.Connection != 0 && w.Abort != api.AbortDone:
				add("as root, which ends %s for all who use it: echo 1 > /sys/fs/fuse/connections/%d/abort", shellWord(w.Mount), w.Connection)
			case strings.HasPrefix(w.FSType, "nfs"), w.FSType == "cifs", w.FSType == "smb3":
				add("as root, which ends %s for all who use it: umount --force %s", shellWord(w.Mount), shellWord(w.Mount))
			}
		}
	}
	return all
}

// shellWord is one word for a shell, on one line.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@,=", r))
	}) {
		return s
	}
	if !isPlain(s) {
		return "$" + "'" + strings.ReplaceAll(strings.Trim(quote(s), `"`), "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
