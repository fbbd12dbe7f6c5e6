package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// A trouble is what can be wrong with a build: it does not go away by itself, and
// somebody should look.
type trouble struct {
	word string
	is   func(api.Build) bool
}

// troubles is in order, the worst first.
var troubles = []trouble{
	{"stuck", func(b api.Build) bool { return b.State == api.StateStuck }},
	{"stalled", func(b api.Build) bool { return b.State == api.StateStalled }},
	{"abandoned", func(b api.Build) bool { return b.Reported }},
}

func inTrouble(b api.Build) bool {
	for _, t := range troubles {
		if t.is(b) {
			return true
		}
	}
	return false
}

// ANSI SGR sequences: bold and red, and back.
const (
	alarm = "\x1b[1;31m"
	plain = "\x1b[0m"
)

// writeTable writes a table with a line for each build at its end; on a terminal,
// with the rows of those in trouble in colour. It is added after the columns were
// measured.
func (a *app) writeTable(table []byte, builds []api.Build) error {
	if a.Colour {
		lines := bytes.SplitAfter(bytes.TrimSuffix(table, []byte("\n")), []byte("\n"))
		first := len(lines) - len(builds)
		for i, b := range builds {
			if inTrouble(b) {
				line := bytes.TrimSuffix(lines[first+i], []byte("\n"))
				lines[first+i] = fmt.Appendf(nil, "%s%s%s\n", alarm, line, plain)
			}
		}
		table = append(bytes.TrimSuffix(bytes.Join(lines, nil), []byte("\n")), '\n')
	}
	_, err := a.Out.Write(table)
	return err
}

// warn says on stderr what the table has among other rows.
func (a *app) warn(builds []api.Build) {
	for _, t := range troubles {
		var ids []string
		for _, b := range builds {
			if t.is(b) {
				ids = append(ids, quote(b.ID))
			}
		}
		what := t.word
		if what == "abandoned" {
			what = "abandoned and only reported"
		}
		switch len(ids) {
		case 0:
		case 1:
			a.complain(fmt.Sprintf(`1 build is %s: "buildwatchctl show %s" says why`, what, ids[0]))
		default:
			a.complain(fmt.Sprintf(`%d builds are %s: "buildwatchctl show %s" says why`, len(ids), what, strings.Join(ids, " ")))
		}
	}
}
