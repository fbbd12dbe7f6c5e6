package logging

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

const (
	identifier = "buildwatchd"
	prefix     = "BUILDWATCH_"
	// maxName is the length of the longest field name, in bytes.
	//
	// Source: systemd, src/libsystemd/sd-journal/journal-file.c,
	// journal_field_valid.
	maxName = 64
)

// objectUnit is the field by which systemctl status and journalctl -u find the
// entries of a root daemon about another unit; UNIT= they take from PID 1 only.
//
// Source: systemd, src/shared/logs-show.c, add_matches_for_unit.
const objectUnit = "OBJECT_SYSTEMD_UNIT"

// fieldNames are the fields that the journal knows by names of its own. OBJECT_PID is
// not among them: for that one journald adds OBJECT_CMDLINE and more, and a build's
// arguments hold tokens.
//
// Source: systemd.journal-fields(7); systemd, src/journal/journald-server.c,
// server_dispatch_message_real, 252 and 257.
var fieldNames = map[string]string{
	FieldUnit:      "UNIT",
	FieldMessageID: "MESSAGE_ID",
}

// journalHook turns entries into journal entries.
type journalHook struct {
	sender *sender
	quota  *quota
}

func (journalHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h journalHook) Fire(e *logrus.Entry) error {
	if uid, ok := e.Data[FieldUID].(uint32); ok {
		leftOut, ok := h.quota.allow(uid, e.Time)
		if !ok {
			return nil
		}
		if leftOut > 0 {
			h.sender.add(record{
				message:  fmt.Sprintf("Left out %d log entries about builds of UID %d's user: there were too many at once", leftOut, uid),
				priority: journal.PriWarning,
				fields:   map[string]string{"SYSLOG_IDENTIFIER": identifier},
			})
		}
	}
	fields := make(map[string]string, len(e.Data)+2)
	of, private := e.Data[FieldJournalOf].(uint32)
	for name, value := range e.Data {
		if name == FieldJournalOf || name == FieldOtherUnit {
			continue
		}
		fields[fieldName(name)] = printable(text(value))
	}
	if unit, ok := fields[fieldNames[FieldUnit]]; ok {
		fields[objectUnit] = unit
	}
	fields["SYSLOG_IDENTIFIER"] = identifier
	r := record{message: message(e), priority: priority(e.Level), fields: fields}
	if unit, ok := e.Data[FieldOtherUnit].(string); ok {
		r.otherUnit = printable(unit)
	}
	if private {
		r.journalOf = &of
	}
	h.sender.add(r)
	return nil
}

// message is what the entry says when its fields are not shown, which is how
// journalctl shows it.
func message(e *logrus.Entry) string {
	if err, ok := e.Data[logrus.ErrorKey]; ok && err != nil {
		return printable(e.Message + ": " + text(err))
	}
	return printable(e.Message)
}

// fieldName turns any name into one that the journal takes.
func fieldName(name string) string {
	if known, ok := fieldNames[name]; ok {
		return known
	}
	name = prefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
	return name[:min(len(name), maxName)]
}

func priority(level logrus.Level) journal.Priority {
	switch level {
	case logrus.PanicLevel, logrus.FatalLevel:
		return journal.PriCrit
	case logrus.ErrorLevel:
		return journal.PriErr
	case logrus.WarnLevel:
		return journal.PriWarning
	case logrus.InfoLevel:
		return journal.PriInfo
	default:
		return journal.PriDebug
	}
}
