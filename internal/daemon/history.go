package daemon

import (
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/history"
	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/reclaim"
)

// chronicle writes what package history reads: an entry in the journal for each build
// that is gone, whatever the level of the log is.
type chronicle struct {
	log     *logging.Log
	metrics interface{ Gone(api.Ended) }
	hook    interface{ Gone(api.Ended) }
}

// Gone is part of watch.History. That a build was ended, or lacked something, is told under the unit
// that it was started in too, such as that of a CI job: there its failure is looked for.
func (c chronicle) Gone(e api.Ended, startedIn string) {
	_ = failpoint.At(failpoint.Ended)
	c.metrics.Gone(e)
	fields := fieldsOf(api.EndedMessageID, history.Fields(e))
	if e.Scope != "" {
		fields[logging.FieldUnit] = e.Scope
	}
	if startedIn != "" && e.Reason != api.ReasonCompleted {
		fields[logging.FieldOtherUnit] = startedIn
	}
	c.write(fields, e.User.UID, history.Sentence(e))
	c.hook.Gone(e) // whose unit may look for the entry
}

// Reclaimed writes what became of what a build had left in storage.
func (c chronicle) Reclaimed(d reclaim.Done) {
	c.write(fieldsOf(api.ReclaimedMessageID, history.StorageFields(d.Build, d.UID, reclaimed(d.SoFar))), d.UID, d.String())
}

func fieldsOf(message string, texts map[string]string) logrus.Fields {
	fields := logrus.Fields{logging.FieldMessageID: message}
	for name, text := range texts {
		fields[strings.ToLower(name)] = text
	}
	return fields
}

// write writes an entry into the system's journal, and into that of the user.
func (c chronicle) write(fields logrus.Fields, uid uint32, sentence string) {
	fields[logging.FieldUID] = uid // as a number it bounds the entries on one user's builds
	entry := c.log.Always().WithFields(fields)
	entry.Info(sentence)
	if uid != 0 {
		// "systemctl status" and "journalctl -u" of the scope believe root's entries only,
		// and root's a user can't read.
		entry.WithField(logging.FieldJournalOf, uid).Info(sentence)
	}
}

func reclaimed(s reclaim.Sum) api.Reclaimed {
	return api.Reclaimed{Removed: s.Removed, Left: s.Left, Bytes: s.Bytes, Duration: api.Seconds(s.Took), Why: s.Why}
}
