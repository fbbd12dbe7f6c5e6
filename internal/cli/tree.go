package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// maxIndent is how many generations are drawn further and further to the right:
// a fork bomb's children would otherwise make lines as long as the list.
const maxIndent = 32

// writeTree draws processes, each below its parent, as systemctl status does.
// One whose parent is not among them stands at the left. Lines are cut to the width of a
// terminal, 0 for none.
func writeTree(out io.Writer, margin string, processes []api.Process, width int) error {
	if len(processes) == 0 {
		return nil
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%sPID\tSTATE\tWCHAN\tARCH\tCOMMAND\n", margin)
	drawing := tree{out: &text, margin: margin, children: make(map[int][]processRow), drawn: make(map[int]bool)}
	here := make(map[int]bool, len(processes))
	for _, p := range processes {
		here[p.PID] = true
	}
	const nobody = 0
	for _, p := range processes {
		parent := p.PPID
		if !here[parent] || parent == p.PID {
			parent = nobody
		}
		drawing.children[parent] = append(drawing.children[parent], processRow{p})
	}
	drawing.draw(nobody, "", 0)
	// Parents are read one after another, so PIDs that are used again meanwhile
	// can make a ring that hangs on nobody.
	for _, p := range processes {
		if !drawing.drawn[p.PID] {
			drawing.children[nobody] = []processRow{{p}}
			drawing.draw(nobody, "", 0)
		}
	}
	var aligned bytes.Buffer
	if err := align(&aligned, text.Bytes()); err != nil || width == 0 {
		return errors.Join(err, writeAll(out, aligned.Bytes()))
	}
	for line := range strings.Lines(aligned.String()) {
		line = strings.TrimRight(line, "\n")
		if _, err := fmt.Fprintln(out, shorten(line, max(width, columnsOfPage))); err != nil {
			return err
		}
	}
	return nil
}

func writeAll(out io.Writer, text []byte) error {
	_, err := out.Write(text)
	return err
}

type tree struct {
	out      io.Writer
	margin   string
	children map[int][]processRow // by parent
	drawn    map[int]bool
}

func (t *tree) draw(parent int, indent string, depth int) {
	children := t.children[parent]
	for i, p := range children {
		if t.drawn[p.PID()] {
			continue
		}
		t.drawn[p.PID()] = true
		branch, below := "├─", "│ "
		if i == len(children)-1 {
			branch, below = "└─", "  "
		}
		fmt.Fprintf(t.out, "%s%s%s%d\t%s\t%s\t%s\t%s\n", t.margin, indent, branch, p.PID(),
			orNone(p.State()), orNone(p.WChan()), orNone(describeArch(p)), describeProcess(p))
		next := indent
		if depth < maxIndent {
			next += below
		}
		t.draw(p.PID(), next, depth+1)
	}
}

// describeArch names an emulator that is not the usual one: what hangs or spins under it is
// another fault.
func describeArch(p processRow) string {
	if p.Emulator() == "rosetta" {
		return p.Arch() + " by Rosetta"
	}
	return p.Arch()
}

func describeProcess(p processRow) string {
	text := orNone(p.Command())
	if p.Exe() != "" {
		text += " (" + p.Exe() + ")"
	}
	if p.Survivor() {
		text += ", survived SIGKILL"
	}
	return text
}
