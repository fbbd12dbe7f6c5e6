package daemon

import (
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
	"github.com/buildwatch/buildwatch/internal/logging"
)

// chronicle writes what package history reads: an entry in the journal for each build
// that is gone, whatever the level of the log is.
type chronicle struct {
	log     *logging.Log
	metrics interface{ Gone(api.Ended) }
	hook    interface{ Gone(api.Ended) }
}

// Gone is part of watch.History.
func (c chronicle) Gone(e api.Ended) {
	c.metrics.Gone(e)
	fields := logrus.Fields{logging.FieldMessageID: api.EndedMessageID}
	for name, text := range history.Fields(e) {
		fields[strings.ToLower(name)] = text
	}
	fields[logging.FieldUID] = e.User.UID // as a number it bounds the entries on one user's builds
	if e.Scope != "" {
		fields[logging.FieldUnit] = e.Scope
	}
	entry := c.log.Always().WithFields(fields)
	entry.Info(history.Sentence(e))
	if e.User.UID != 0 {
		// "systemctl status" and "journalctl -u" of the scope believe root's entries only,
		// and root's a user can't read.
		entry.WithField(logging.FieldJournalOf, e.User.UID).Info(history.Sentence(e))
	}
	c.hook.Gone(e) // whose unit may look for the entry
}
