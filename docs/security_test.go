// Package docs holds no code: its tests compare pages with what they speak of.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTestThatSecurityNamesExists: a row of the table of attacks must not
// promise what nobody checks.
func TestEveryTestThatSecurityNamesExists(t *testing.T) {
	page, err := os.ReadFile("security.md")
	if err != nil {
		t.Fatal(err)
	}
	have := declaredTests(t)
	rows := regexp.MustCompile(`(?m)^\| \d+ \|.*$`).FindAll(page, -1)
	if len(rows) < 25 {
		t.Errorf("the table of attacks has %d rows", len(rows))
	}
	named := regexp.MustCompile("`(\\w+\\.Test\\w+)`")
	for _, row := range rows {
		tests := named.FindAllSubmatch(row, -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", row)
		}
		for _, test := range tests {
			if !have[string(test[1])] {
				t.Errorf("there is no test %s", test[1])
			}
		}
	}
}

// TestEveryTestThatTestingNamesExists, in the package that its row is about.
func TestEveryTestThatTestingNamesExists(t *testing.T) {
	page, err := os.ReadFile("testing.md")
	if err != nil {
		t.Fatal(err)
	}
	have, named := declaredTests(t), 0
	for _, row := range regexp.MustCompile("(?m)^\\| ([a-z]+) \\|.*`Test.*$").FindAllSubmatch(page, -1) {
		for _, test := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(row[0], -1) {
			if named++; !have[string(row[1])+"."+string(test[1])] {
				t.Errorf("there is no test %s.%s", row[1], test[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named", named)
	}
}

// declaredTests are all that there are, by their packages' directories.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, root := range []string{"../internal", "../test"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range declared.FindAllSubmatch(text, -1) {
				have[filepath.Base(filepath.Dir(path))+"."+string(match[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return have
}
