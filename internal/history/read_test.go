//go:build unix

package history

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// journalctl puts a program of that name into the $PATH, and nothing else.
func journalctl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestReadOfAJournalInEveryState(t *testing.T) {
	entries := filepath.Join(t.TempDir(), "entries")
	if err := os.WriteFile(entries, []byte(export(Fields(sample()))), 0o644); err != nil {
		t.Fatal(err)
	}
	print := "while IFS= read -r line; do printf '%s\\n' \"$line\"; done <" + entries + "\n"
	for _, test := range []struct {
		name, script string
		want         int
		err          string
	}{
		{"whole", print, 1, ""},
		{"a file of it is damaged", "echo 'Journal file x is truncated, ignoring file.' >&2\n" + print, 1, ""},
		{"no entry fits", "exit 1\n", 0, ""},
		{"a time that is none", "echo 'Failed to parse timestamp: x' >&2; exit 1\n", 0, ErrTimes.Error()},
		{"a runner of a UID of the system's", "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1\n", 0, ErrForbidden.Error()},
		{"no journal", "", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			journalctl(t, test.script)
			read := 0
			err := Read(t.Context(), Query{}, func(e api.Ended) error { read++; return nil })
			if read != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("read %d, %v", read, err)
			}
		})
	}
	t.Run("follow ends with its context", func(t *testing.T) {
		journalctl(t, print+"exec /bin/sleep 1000\n")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := Read(ctx, Query{Follow: true}, func(api.Ended) error { return errors.New("enough") }); err == nil || err.Error() != "enough" {
			t.Errorf("got %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := Read(ctx, Query{Follow: true}, func(api.Ended) error { return nil }); err != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Setenv("PATH", t.TempDir())
	if err := Read(t.Context(), Query{}, nil); !errors.Is(err, ErrNoJournalctl) {
		t.Errorf("without one: %v", err)
	}
}
