package watch

import (
	"errors"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// adoptPause is between two looks for an owner of whom it could not be told whether it
// lives.
const adoptPause = time.Second

// Adopt takes over a scope that an earlier daemon has made, and says whether
// there was anything to take over: a build whose owner lives goes on, one whose
// owner ended meanwhile is ended. Where it can't be told, nothing is done to the
// build, and it is tried again until it can.
func (w *Watcher) Adopt(s processes.Scope, content []byte) error {
	r, err := decodeRecord(content)
	if err != nil {
		return err
	}
	if r.Request != nil && r.Request.Service == (proc.Identity{}) && r.Request.Key() != "" {
		r.Request.Service = r.Owner // an earlier daemon has not written it down
	}
	o, waiterGone, err := w.findAgain(r)
	if err != nil {
		w.log.WithError(err).WithField("unit", s.Unit()).
			Warnf("Build %s is kept: whether its owner lives can't be told now, and is asked again", r.ID)
		w.running.Go(func() { w.adoptLater(s, r) })
		return nil
	}
	w.adopt(s, r, o, waiterGone)
	return nil
}

func (w *Watcher) adoptLater(s processes.Scope, r record) {
	for {
		select {
		case <-time.After(adoptPause):
		case <-w.life.Done():
			s.Close()
			return
		}
		if o, waiterGone, err := w.findAgain(r); err == nil {
			w.adopt(s, r, o, waiterGone)
			return
		}
	}
}

// findAgain takes hold of the owner that was written down, nil for one that has ended,
// and tells whether one who waited for it has. An error means that this is not known:
// the daemon may have no descriptor or no memory for the look.
func (w *Watcher) findAgain(r record) (o *owner, waiterGone bool, err error) {
	handle, err := w.findProcess(r.Owner)
	if errors.Is(err, proc.ErrGone) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	o = &owner{Handle: handle, mode: r.Mode, command: r.Command, spared: r.Spared || r.Mode == api.ModeAPI, request: r.Request}
	for _, id := range r.Waiters {
		waiter, err := w.findProcess(id)
		switch {
		case errors.Is(err, proc.ErrGone):
			waiterGone = true
		case err != nil:
			o.Close()
			return nil, false, err
		default:
			o.waiters = append(o.waiters, waiter)
		}
	}
	return o, waiterGone, nil
}

func (w *Watcher) adopt(s processes.Scope, r record, o *owner, waiterGone bool) {
	of := w.args.OfUID(r.UID)
	if o != nil {
		of = w.args.OfProcess(o.Handle, r.UID)
	}
	b := w.makeBuild(r, o, processes.Set{Scope: s}, w.places.Force(of))
	b.refuseAgain()
	w.add(b, o != nil)
	b.begin()
	if waiterGone {
		b.send(message{event: lifecycle.WaiterExited})
	}
	if o != nil && r.Mode == api.ModeRun {
		w.running.Go(b.learnCommand)
	}
	b.log.WithField("unit", s.Unit()).Infof("Build %s was found again", b.id)
}
