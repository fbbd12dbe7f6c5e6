package logging

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

const (
	// queueLength is how many entries wait for the journal at most.
	queueLength = 1024
	// closePatience is how long close waits for the journal.
	closePatience = time.Second
)

type sendFunc func(record) error

// record is one entry for the journal.
type record struct {
	message   string
	priority  journal.Priority
	fields    map[string]string
	otherUnit string  // an objectUnit besides that of the fields; "" for none
	journalOf *uint32 // the user whose journal it is for; nil for the system's
}

// sendRecord hands one entry to the journal.
func sendRecord(r record) error {
	switch {
	case r.journalOf != nil && !hasJournal(*r.journalOf, persistentJournals):
		return nil // it is in the system's
	case r.journalOf != nil:
		return sendAs(*r.journalOf, r)
	case r.otherUnit != "": // a field that is there twice, which the library can't say
		return sendAs(0, r)
	}
	return journal.Send(r.message, r.priority, r.fields)
}

// sender hands entries to the journal. A write to its socket waits while the
// journal does not read; a build's end must not wait for that, so what does not
// fit into the queue is counted and dropped.
type sender struct {
	send     sendFunc
	fallback io.Writer // stderr, for what the journal did not take
	queue    chan record
	done     chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // lock order: 8; guards what follows, and the queue's end
	dropped int
	closed  bool
}

func startSender(send sendFunc, fallback io.Writer) *sender {
	s := &sender{
		send:     send,
		fallback: fallback,
		queue:    make(chan record, queueLength),
		done:     make(chan struct{}),
	}
	go s.run()
	return s
}

// add queues an entry and never waits.
func (s *sender) add(r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.queue <- r:
	default:
		s.dropped++
	}
}

func (s *sender) run() {
	defer close(s.done)
	for r := range s.queue {
		s.write(r)
		if n := s.takeDropped(); n > 0 {
			s.write(record{
				message:  fmt.Sprintf("Lost %d log entries: the journal did not read", n),
				priority: journal.PriWarning,
				fields:   map[string]string{"SYSLOG_IDENTIFIER": identifier},
			})
		}
	}
}

func (s *sender) write(r record) {
	err := s.send(r)
	if err != nil && r.journalOf == nil { // what is for a user is told to the system too
		// systemd reads stderr line by line, with the priority in front
		// (sd-daemon(3)). If that fails too, nobody is left to tell.
		_, _ = fmt.Fprintf(s.fallback, "<%d>%s\n", r.priority, r.message)
	}
}

func (s *sender) takeDropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.dropped
	s.dropped = 0
	return n
}

func (s *sender) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-time.After(closePatience):
	}
}
