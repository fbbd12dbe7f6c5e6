package logging

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// TestEntryForAUsersJournalIsForThatOneOnly: the field that says so is in no entry, and
// where it can't be told to the user's journal it is not told twice to another.
func TestEntryForAUsersJournalIsForThatOneOnly(t *testing.T) {
	log := func(l *Log) {
		l.WithFields(logrus.Fields{FieldJournalOf: uint32(1000), FieldID: "k3v9"}).Info("Build k3v9 ended")
		l.Info("for all")
	}
	records := sent(t, log)
	if len(records) != 2 || records[0].journalOf == nil || *records[0].journalOf != 1000 || records[1].journalOf != nil {
		t.Fatalf("sent %+v", records)
	}
	if records[0].fields["BUILDWATCH_ID"] != "k3v9" || records[0].fields["BUILDWATCH_JOURNAL_OF"] != "" {
		t.Errorf("its fields are %v", records[0].fields)
	}
	if text := printed(t, log); bytes.Contains([]byte(text), []byte("k3v9")) {
		t.Errorf("there is no journal, and it says %q", text)
	}
	var stderr bytes.Buffer
	s := startSender((&fakeJournal{err: errors.New("not permitted")}).send, &stderr)
	s.add(records[0])
	s.close()
	if stderr.Len() > 0 {
		t.Errorf("it was said again: %q", &stderr)
	}
}

// TestNativeEntryIsAFieldALine, whatever was logged.
func TestNativeEntryIsAFieldALine(t *testing.T) {
	for _, r := range sent(t, func(l *Log) { l.WithField("comm", "a\nPRIORITY=0").WithField(FieldJournalOf, uint32(7)).Info("x\ny") }) {
		if got := native(r); bytes.Count(got, []byte("\n")) != 2+len(r.fields) {
			t.Errorf("%q", got)
		}
	}
}

// TestEntryIsToldUnderTheUnitOfAJobToo: journalctl -u finds it under each of the two; who may not say
// so, a user's own journal, does not.
func TestEntryIsToldUnderTheUnitOfAJobToo(t *testing.T) {
	for _, r := range sent(t, func(l *Log) {
		entry := l.WithField(FieldUnit, "buildwatch-k3v9.scope").WithField(FieldOtherUnit, "ci-job@42.service")
		entry.Info("x")
		entry.WithField(FieldJournalOf, uint32(7)).Info("x")
	}) {
		got := string(native(r))
		if !strings.Contains(got, "\nOBJECT_SYSTEMD_UNIT=buildwatch-k3v9.scope\n") || strings.Contains(got, "\nOBJECT_SYSTEMD_UNIT=ci-job@42.service\n") == (r.journalOf != nil) {
			t.Errorf("%q", got)
		}
	}
}

// TestEntrySaysWhoseItIs by the credentials that come with it.
func TestEntrySaysWhoseItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	journal, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	raw, err := journal.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }); err != nil {
		t.Fatal(err)
	}
	uid := uint32(os.Getuid())
	if uid == 0 {
		uid = 1234 // whoever it is
	}
	if err := sendTo(path, uid, record{message: "x"}); err != nil {
		t.Fatal(err)
	}
	data, control := make([]byte, 100), make([]byte, 100)
	n, size, _, _, err := journal.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	who, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || who.Uid != uid || who.Pid != int32(os.Getpid()) || string(data[:n]) != "PRIORITY=0\nMESSAGE=x\n" {
		t.Errorf("%q of %+v, %v", data[:n], who, err)
	}
}

// TestNobodyIsWrittenToWhoHasNoJournal: the system's would have the entry twice.
func TestNobodyIsWrittenToWhoHasNoJournal(t *testing.T) {
	kept := t.TempDir()
	for _, test := range []struct {
		uid  uint32
		dir  string
		want bool
	}{{1000, kept, true}, {lastSystemUID, kept, false}, {1000, kept + "/none", false}} {
		if got := hasJournal(test.uid, test.dir); got != test.want {
			t.Errorf("%d in %s: %v", test.uid, test.dir, got)
		}
	}
}
