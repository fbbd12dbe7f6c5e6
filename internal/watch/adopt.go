package watch

import (
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// adoptPause is between two looks for an owner of whom it could not be told whether it
// lives.
const adoptPause = time.Second

// Adopt takes over a scope that an earlier daemon has made: a build whose owner lives goes on,
// one whose owner has ended is ended. While that can't be told, nothing is done to the build. The
// error says why the record can't be read.
func (w *Watcher) Adopt(s processes.Scope, content []byte) error {
	r, err := owners.Decode(content)
	if err != nil {
		return err
	}
	o, waiterGone, err := w.owners.Again(r)
	if err != nil {
		w.log.WithError(err).WithField("unit", s.Unit()).
			Warnf("Build %s is kept: whether its owner lives can't be told now, and is asked again", r.ID)
		w.running.Go(func() { w.adoptLater(s, r) })
		return nil
	}
	w.adopt(s, r, o, waiterGone)
	return nil
}

func (w *Watcher) adoptLater(s processes.Scope, r owners.Record) {
	for {
		select {
		case <-time.After(adoptPause):
		case <-w.life.Done():
			s.Close()
			return
		}
		if o, waiterGone, err := w.owners.Again(r); err == nil {
			w.adopt(s, r, o, waiterGone)
			return
		}
	}
}

func (w *Watcher) adopt(s processes.Scope, r owners.Record, o *owners.Owner, waiterGone bool) {
	b := w.makeBuild(r, o, processes.Set{Scope: s}, w.owners.ForcePlace(o, r.UID))
	b.refuseAgain()
	w.add(b, o != nil)
	b.begin()
	w.wantMeasure(b)
	b.watchShortagesAnew(s)
	if waiterGone {
		b.send(message{event: lifecycle.WaiterExited})
	}
	if o != nil && r.Mode == api.ModeRun {
		w.running.Go(b.learnCommand)
		w.running.Go(b.findGuests)
	}
	b.log.WithField("unit", s.Unit()).Infof("Build %s was found again", b.id)
}
