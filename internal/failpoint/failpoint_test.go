package failpoint

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

// TestEveryPointIsInTheDaemon, once and only there, and in the table of all of them.
func TestEveryPointIsInTheDaemon(t *testing.T) {
	source, err := os.ReadFile("failpoint.go")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "-C", "..", "grep", "-hoE", `failpoint\.At\(failpoint\.[A-Za-z]+\)`, "--", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]int{}
	for _, match := range regexp.MustCompile(`At\(failpoint\.([A-Za-z]+)\)`).FindAllStringSubmatch(string(out), -1) {
		used[match[1]]++
	}
	declared := regexp.MustCompile(`(?m)^\t([A-Z]\w+) +Point = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	for _, point := range declared {
		if used[point[1]] != 1 {
			t.Errorf("%s is at %d places", point[1], used[point[1]])
		}
		if !slices.Contains(Points(), Point(point[2])) {
			t.Errorf("%s is not in the list", point[1])
		}
	}
	if len(declared) != len(Points()) || len(used) != len(declared) {
		t.Errorf("%d points, %d in the list, %d in the daemon", len(declared), len(Points()), len(used))
	}
}

// TestNothingHappensAtThePointsOfARelease.
func TestNothingHappensAtThePointsOfARelease(t *testing.T) {
	for _, p := range Points() {
		if err := At(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
