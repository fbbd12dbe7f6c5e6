// Package logging sets up the daemon's log: the journal with structured fields
// where stderr leads there, lines of text on stderr elsewhere. It owns how an
// entry looks and what must not be in one (control bytes, endless values); what
// is worth an entry is decided by those who log.
//
// A message is a sentence that can be read alone; fields repeat its facts for
// programs. The field "error" (logrus.WithError) is added to the message.
// Environment and arguments of foreign processes never go into a log: they hold
// secrets.
package logging

import (
	"fmt"
	"io"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// Fields with a meaning of their own. Any other field goes to the journal under
// its name in capitals after "BUILDWATCH_": FieldID is BUILDWATCH_ID there.
const (
	FieldID        = "id"         // a build's ID
	FieldUID       = "uid"        // whose build it is: users' entries are bounded
	FieldUnit      = "unit"       // UNIT= and OBJECT_SYSTEMD_UNIT=: systemctl status of that unit shows the entry
	FieldMessageID = "message_id" // MESSAGE_ID=: names the entry's catalogue text
	// FieldOtherUnit is OBJECT_SYSTEMD_UNIT= once more. No user may have chosen it: it is believed.
	FieldOtherUnit = "other_unit"
	// FieldJournalOf, a uint32, is no field of the entry: it goes into the journal of
	// that user, where there is one, and nowhere else.
	FieldJournalOf = "journal_of"
)

// Log is the daemon's log. Close it before the program ends: entries for the
// journal are sent by a goroutine of its own, so that a journal that does not
// read holds nobody up.
type Log struct {
	*logrus.Logger
	always *logrus.Logger
	sender *sender // nil where the log is text
	quota  *quota
}

// New makes the log with the least severe level that is logged: "error",
// "warning", "info" or "debug".
//
// As systemd.exec(5) asks for, the journal is used if $JOURNAL_STREAM names the
// very file that stderr is: a daemon whose stderr was redirected logs there.
func New(level string) (*Log, error) {
	// A malformed $JOURNAL_STREAM is no journal, and no reason not to start.
	if ok, err := journal.StderrIsJournalStream(); ok && err == nil {
		return newLog(level, io.Discard, sendRecord)
	}
	return newLog(level, os.Stderr, nil)
}

func newLog(level string, text io.Writer, send sendFunc) (*Log, error) {
	l := &Log{Logger: logrus.New(), quota: newQuota()}
	if err := l.SetLevelName(level); err != nil {
		return nil, err
	}
	l.always = logrus.New()
	l.SetOutput(text)
	l.always.SetOutput(text)
	l.SetFormatter(textFormatter{})
	l.always.SetFormatter(textFormatter{})
	if send != nil {
		l.sender = startSender(send, os.Stderr)
		for _, log := range []*logrus.Logger{l.Logger, l.always} {
			log.SetFormatter(noFormatter{})
			log.AddHook(journalHook{l.sender, l.quota})
		}
		l.ExitFunc = func(code int) { // what Fatal calls
			l.Close()
			os.Exit(code)
		}
	}
	return l, nil
}

// Always is the log for entries that are made whatever the level is.
func (l *Log) Always() *logrus.Logger { return l.always }

// OfBuild is the log for entries on one build.
func (l *Log) OfBuild(id string, uid uint32) *logrus.Entry {
	return l.WithFields(logrus.Fields{FieldID: id, FieldUID: uid})
}

// InJournal reports whether the log is the journal.
func (l *Log) InJournal() bool { return l.sender != nil }

// SetLevelName changes the level, by name as in New.
func (l *Log) SetLevelName(name string) error {
	level, err := logrus.ParseLevel(name)
	if err != nil {
		return fmt.Errorf("log level: %w", err)
	}
	l.SetLevel(level)
	return nil
}

// Close sends what is waiting for the journal, for a second at most. Later
// entries are lost.
func (l *Log) Close() {
	if l.sender != nil {
		l.sender.close()
	}
}

// noFormatter spares the work of formatting what the hook sends by itself.
type noFormatter struct{}

func (noFormatter) Format(*logrus.Entry) ([]byte, error) { return nil, nil }
