package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeJournal takes what would go to the journal.
type fakeJournal struct {
	mu      sync.Mutex
	records []record
	err     error
}

func (j *fakeJournal) send(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.records = append(j.records, r)
	return j.err
}

// sent logs by f and returns what reached the journal.
func sent(t *testing.T, f func(*Log)) []record {
	t.Helper()
	j := &fakeJournal{}
	l, err := newLog("debug", io.Discard, j.send)
	if err != nil {
		t.Fatal(err)
	}
	f(l)
	l.Close()
	return j.records
}

// printed logs by f and returns the text.
func printed(t *testing.T, f func(*Log)) string {
	t.Helper()
	var b bytes.Buffer
	l, err := newLog("info", &b, nil)
	if err != nil {
		t.Fatal(err)
	}
	f(l)
	l.Close()
	return b.String()
}

func TestJournalEntryHasStructuredFields(t *testing.T) {
	records := sent(t, func(l *Log) {
		l.WithFields(logrus.Fields{
			FieldID: "k3v9", FieldUnit: "buildwatch-k3v9.scope", "pid": 42, FieldMessageID: "0123456789abcdef0123456789abcdef",
			"cancel-Duration": 5 * time.Millisecond, "at": time.Unix(0, 5).UTC(),
		}).WithError(errors.New("no answer")).Warn("Cannot stop build k3v9")
	})
	if len(records) != 1 {
		t.Fatalf("%d entries", len(records))
	}
	r := records[0]
	if r.message != "Cannot stop build k3v9: no answer" || r.priority != journal.PriWarning {
		t.Errorf("got %+v", r)
	}
	want := map[string]string{
		"BUILDWATCH_ID":              "k3v9",
		"UNIT":                       "buildwatch-k3v9.scope",
		"OBJECT_SYSTEMD_UNIT":        "buildwatch-k3v9.scope",
		"BUILDWATCH_PID":             "42",
		"MESSAGE_ID":                 "0123456789abcdef0123456789abcdef",
		"BUILDWATCH_CANCEL_DURATION": "5ms",
		"BUILDWATCH_AT":              "1970-01-01T00:00:00.000000005Z",
		"BUILDWATCH_ERROR":           "no answer",
		"SYSLOG_IDENTIFIER":          "buildwatchd",
	}
	if fmt.Sprint(r.fields) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", r.fields, want)
	}
}

// TestNoFieldMakesTheJournalLookAtAProcess: of one that OBJECT_PID= names it adds the
// command line.
func TestNoFieldMakesTheJournalLookAtAProcess(t *testing.T) {
	for _, r := range sent(t, func(l *Log) {
		l.WithFields(logrus.Fields{"pid": 42, FieldUnit: "buildwatch-k3v9.scope", "object_pid": 42, "OBJECT_PID": 42}).Info("i")
	}) {
		for name := range r.fields {
			if strings.HasPrefix(name, "OBJECT_") && name != objectUnit {
				t.Errorf("the entry has %s=", name)
			}
		}
	}
}

func TestJournalPriorities(t *testing.T) {
	records := sent(t, func(l *Log) {
		l.Error("e")
		l.Warn("w")
		l.Info("i")
		l.Debug("d")
		l.Trace("not logged")
	})
	var got []journal.Priority
	for _, r := range records {
		got = append(got, r.priority)
	}
	if want := []journal.Priority{journal.PriErr, journal.PriWarning, journal.PriInfo, journal.PriDebug}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFieldNamesAreValidForTheJournal(t *testing.T) {
	for _, name := range []string{"", "_", "é", "A b\n=", strings.Repeat("x", 100)} {
		got := fieldName(name)
		if len(got) > 64 || strings.Trim(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || !strings.HasPrefix(got, "BUILDWATCH_") {
			t.Errorf("%q became %q", name, got)
		}
	}
}

func TestTextEntryIsOneLine(t *testing.T) {
	got := printed(t, func(l *Log) {
		l.WithField(FieldID, "k3v9").WithField("command", "podman build").WithField(FieldMessageID, "0").WithField("none", "").
			WithError(io.EOF).Info("Build k3v9 ended")
		l.Debug("not logged")
	})
	_, got, _ = strings.Cut(got, " ")
	if want := "info: Build k3v9 ended: EOF command=\"podman build\" id=k3v9 none=\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Names of foreign processes can hold any byte.
var hostile = []string{
	"a\nb", "a\x1b[2Jb", "a\x00b", "a\xff\xfeb", "a\u202eb", "a\u2028b", "\x9b1m", "a\u009bb", "\r", "\u200b", "\ufffd", strings.Repeat("\n", 5000), strings.Repeat("é", 5000),
}

func TestForeignBytesNeverReachTheLogRaw(t *testing.T) {
	log := func(l *Log) {
		for _, s := range hostile {
			l.WithField("comm", s).WithField(s, 1).WithError(errors.New(s)).Info("Saw " + s)
		}
	}
	text := printed(t, log)
	if lines := strings.Count(text, "\n"); lines != len(hostile) {
		t.Errorf("%d lines for %d entries", lines, len(hostile))
	}
	check := func(s string) {
		t.Helper()
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2028' || r == '\u200b'
		}) {
			t.Errorf("raw bytes in %.100q", s)
		}
		if len(s) > 8*maxText {
			t.Errorf("%d bytes logged", len(s))
		}
	}
	for line := range strings.Lines(text) {
		for part := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), " ") {
			check(part)
		}
	}
	for _, r := range sent(t, log) {
		check(r.message)
		for _, value := range r.fields {
			check(value)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{printable(s), word(s)} {
			if !isPrintable(got) {
				t.Errorf("%q became %q", s, got)
			}
		}
		if len(s) <= maxText && isPrintable(s) && printable(s) != s {
			t.Errorf("%q became %q without need", s, printable(s))
		}
	})
}

func TestJournalIsUsedWhereStderrLeadsToIt(t *testing.T) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(os.Stderr.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino):   true,
		fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1): false,
		"": false, "x": false,
	} {
		t.Setenv("JOURNAL_STREAM", stream)
		l, err := New("info")
		if err != nil {
			t.Fatal(err)
		}
		if got := l.sender != nil; got != want {
			t.Errorf("JOURNAL_STREAM=%q: journal used: %v, want %v", stream, got, want)
		}
		l.Close()
	}
}

func TestUnknownLevelIsAnError(t *testing.T) {
	if _, err := New("loud"); err == nil {
		t.Error("accepted")
	}
}
