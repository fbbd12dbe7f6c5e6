package logging

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

func TestJournalThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	release := make(chan struct{})
	j := &fakeJournal{}
	s := startSender(func(r record) error {
		<-release
		return j.send(r)
	}, nil)
	const more = 10
	start := time.Now()
	for range queueLength + 1 + more { // one more is with the goroutine, or soon will be
		s.add(record{message: "x"})
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	close(release)
	s.close()
	lost := 0
	for _, r := range j.records {
		if strings.HasPrefix(r.message, "Lost 1") { // 10 or 11
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("%d of %d entries tell that some were lost", lost, len(j.records))
	}
}

func TestEntryThatTheJournalRefusesGoesToStderr(t *testing.T) {
	j := &fakeJournal{err: errors.New("no journal")}
	var stderr bytes.Buffer
	s := startSender(j.send, &stderr)
	s.add(record{message: "Build ended", priority: journal.PriInfo})
	s.close()
	if got, want := stderr.String(), "<6>Build ended\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCloseWaitsForAStuckJournalOnlyAWhile(t *testing.T) {
	release := make(chan struct{})
	s := startSender(func(record) error { <-release; return nil }, nil)
	s.add(record{message: "x"})
	start := time.Now()
	s.close()
	s.close() // twice does no harm
	s.add(record{message: "late"})
	if took := time.Since(start); took > 4*closePatience {
		t.Errorf("took %v", took)
	}
	close(release)
	<-s.done
}
