package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryTargetThatIsToldOfIsThere: what the documents say to `make` can be made, and the
// Makefile declares nothing that it has no rule for.
func TestEveryTargetThatIsToldOfIsThere(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, rule := range regexp.MustCompile(`(?m)^([a-z][a-z-]*(?: [a-z-]+)*):(?:[^=]|$)`).FindAllSubmatch(makefile, -1) {
		targets = append(targets, regexp.MustCompile(`\S+`).FindAllString(string(rule[1]), -1)...)
	}
	there := func(where, target string) {
		if !slices.Contains(targets, target) {
			t.Errorf("%s: `make %s`: the Makefile has no such rule", where, target)
		}
	}
	for _, name := range regexp.MustCompile(`[a-z-]+`).FindAllString(regexp.MustCompile(`(?m)^\.PHONY: (help .*)$`).FindString(string(makefile))[len(".PHONY:"):], -1) {
		there("Makefile, .PHONY", name)
	}
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile("(?m)(?:`|^[$#] )make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
	for _, page := range append(pages, "../README.md", "../HACKING.md", "../CHANGELOG.md", "../CONTRIBUTING.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			continue
		}
		for _, m := range told.FindAllSubmatch(text, -1) {
			for _, target := range regexp.MustCompile(`\S+`).FindAllString(string(m[1]), -1) {
				there(page, target)
			}
		}
	}
}
