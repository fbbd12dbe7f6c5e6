package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsWrongIsFound, and nothing else: testdata says what, line by line.
func TestWhatIsWrongIsFound(t *testing.T) {
	content, err := os.ReadFile("testdata/wrong/wrong.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, line := range strings.Split(string(content), "\n") {
		if _, problems, ok := strings.Cut(line, "// want: "); ok {
			for problem := range strings.SplitSeq(problems, "; ") {
				want = append(want, fmt.Sprintf("wrong.go:%d: %s", i+1, problem))
			}
		}
	}
	slices.Sort(want)
	if got, err := check("./testdata/wrong"); err != nil || !slices.Equal(got, want) {
		t.Errorf("found\n%s\n%v, want\n%s", strings.Join(got, "\n"), err, strings.Join(want, "\n"))
	}
}
