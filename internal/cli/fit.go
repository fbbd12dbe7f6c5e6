package cli

import (
	"strings"
	"unicode/utf8"
)

// columnsOfPage is how wide a page is that has no width of its own: a file, a pipe.
const columnsOfPage = 80

// gap is what align leaves between two columns.
const gap = 2

// fitColumns cuts the cells of a table, whose columns are between tabs, until its lines
// are no longer than width. least says of each column, by its heading, how narrow it may
// become; what is not among them is never cut. The widest gives first.
func fitColumns(table string, least map[string]int, headings []string, width int) string {
	var lines [][]string
	widest := make([]int, len(headings))
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i, cell := range cells {
			if i < len(widest) {
				widest[i] = max(widest[i], utf8.RuneCountInString(cell))
			}
		}
		lines = append(lines, cells)
	}
	total := gap * (len(widest) - 1)
	for _, w := range widest {
		total += w
	}
	for ; total > width; total-- {
		give, most := -1, 0
		for i, w := range widest {
			if narrow, ok := least[headings[i]]; ok && w > narrow && w >= most {
				give, most = i, w
			}
		}
		if give < 0 {
			break
		}
		widest[give]--
	}
	var fitted strings.Builder
	for _, cells := range lines {
		for i, cell := range cells {
			if i < len(widest) {
				cells[i] = shorten(cell, widest[i])
			}
		}
		fitted.WriteString(strings.Join(cells, "\t") + "\n")
	}
	return fitted.String()
}
