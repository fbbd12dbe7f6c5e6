package matrix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Run is what a machine's run of the matrix has said.
type Run struct {
	Versions string
	Results  []Result
}

// ReadRun reads the results out of a test's output.
func ReadRun(output io.Reader) (Run, error) {
	var run Run
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, found := strings.CutPrefix(lines.Text(), ResultPrefix)
		if !found {
			continue
		}
		var result Result
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			return Run{}, fmt.Errorf("read a result: %w in %q", err, text)
		}
		if result.Versions != "" {
			run.Versions = result.Versions
		} else {
			run.Results = append(run.Results, result)
		}
	}
	return run, lines.Err()
}

// A tally is what became of several cells.
type tally struct {
	tried, failed int
	longest       time.Duration
}

func (t *tally) add(r Result) {
	t.tried++
	if r.Failed {
		t.failed++
	} else {
		t.longest = max(t.longest, r.GoneAfter)
	}
}

func (t tally) String() string {
	if t.tried == 0 {
		return "-"
	}
	passed := fmt.Sprintf("%d/%d", t.tried-t.failed, t.tried)
	if t.failed == t.tried {
		return passed
	}
	return fmt.Sprintf("%s, %d ms", passed, t.longest.Milliseconds())
}

// Markdown writes the page that shows what the runs have found. The command is
// how to have it written again.
func Markdown(w io.Writer, runs []Run, command string, now time.Time) {
	fmt.Fprintf(w, `# The matrix

Every way in which podman and buildah build, tried in a throwaway machine. Each cell is two builds. The first is
cancelled, and then every process of it must be gone, its scope and its place in the list too; the second runs to
its end, and its content must be whole. What a row means stands in the package test/matrix.

Written on %s by

    %s

An entry says how many of how many cells are as they should be, and how long after the cancel the last process of
the slowest of these was gone.
`, now.UTC().Format(time.DateOnly), command)
	for _, run := range runs {
		run.markdown(w)
	}
}

func (run Run) markdown(w io.Writer) {
	var all tally
	by := map[string]*tally{}
	count := func(key string, r Result) {
		if by[key] == nil {
			by[key] = &tally{}
		}
		by[key].add(r)
	}
	for _, r := range run.Results {
		all.add(r)
		v := r.Cell.values()
		count(r.Cell.Who+r.Cell.How+r.Cell.Cancel, r)
		for _, value := range v {
			count(value, r)
		}
	}
	entry := func(key string) string {
		if by[key] == nil {
			return tally{}.String()
		}
		return by[key].String()
	}
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n%d cells, %d failed.\n\n", strings.SplitN(run.Versions, ",", 2)[0], run.Versions, all.tried, all.failed)
	fmt.Fprintf(w, "| who, how | %s |\n|--|%s\n", strings.Join(rows[rowCancel], " | "), strings.Repeat("--|", len(rows[rowCancel])))
	for _, who := range rows[rowWho] {
		for _, how := range rows[rowHow] {
			fmt.Fprintf(w, "| %s, `%s` |", who, how)
			for _, cancel := range rows[rowCancel] {
				fmt.Fprintf(w, " %s |", entry(who+how+cancel))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "\n| value | |\n|--|--|\n")
	for row, values := range rows {
		if row == rowWho || row == rowHow || row == rowCancel {
			continue
		}
		for _, value := range values {
			fmt.Fprintf(w, "| %s | %s |\n", value, entry(value))
		}
	}
	if all.failed > 0 {
		fmt.Fprintf(w, "\nFailed:\n\n")
		for _, r := range run.Results {
			if r.Failed {
				fmt.Fprintf(w, "- %s\n", r.Cell)
			}
		}
	}
}
