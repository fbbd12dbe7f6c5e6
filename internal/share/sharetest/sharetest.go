// Package sharetest compares what users share with the table in docs/security.md.
package sharetest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/share"
)

// heading begins the table's section.
const heading = "## What all users share"

// Documented fails the test unless the table has these bounds for what is shared.
func Documented(t *testing.T, what string, b share.Bounds) {
	t.Helper()
	users, root := fmt.Sprint(b.Users), "no bound"
	switch {
	case b.Few == 1:
		users += fmt.Sprintf(", the last %d for users who have none", b.Spare)
	case b.Spare > 0:
		users += fmt.Sprintf(", the last %d for users who have fewer than %d", b.Spare, b.Few)
	}
	if b.Root > 0 {
		root = fmt.Sprint(b.Root)
	}
	Row(t, what, fmt.Sprint(b.User), users, root)
}

// Row fails the test unless the table has a row that begins with these cells: what is
// shared, and the bounds of one user, of all, and of root.
func Row(t *testing.T, what, user, users, root string) {
	t.Helper()
	want := fmt.Sprintf("| %s | %s | %s | %s |", what, user, users, root)
	for _, row := range Rows(t) {
		if strings.HasPrefix(row, want) {
			return
		}
	}
	t.Errorf("the table of docs/security.md, %q, has no row that begins with\n%s", strings.TrimPrefix(heading, "## "), want)
}

// Rows are the table's rows.
func Rows(t *testing.T) (rows []string) {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("it is not known where the sources are")
	}
	page, err := os.ReadFile(filepath.Join(filepath.Dir(self), "..", "..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), heading+"\n")
	if !found {
		t.Fatalf("docs/security.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| what ") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}
