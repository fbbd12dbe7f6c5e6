package daemon

import (
	"runtime"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestDaemonRestsWhileThereIsNoBuild, and not before it has shown two signs of life without
// one.
func TestDaemonRestsWhileThereIsNoBuild(t *testing.T) {
	none, one := map[api.State]int{}, map[api.State]int{api.StateRunning: 1}
	p := newPulse(10 * time.Second)
	for i, step := range []struct {
		count            map[api.State]int
		alive, disturbed bool
		resting          bool
	}{
		{none, true, false, false},
		{none, true, false, true},
		{none, true, false, true},
		{one, false, false, false}, // a build begins
		{one, true, false, false},
		{none, false, false, false}, // and ends
		{none, true, false, false},
		{none, true, false, true},
		{none, false, false, true}, // a build that was over before anybody looked
		{none, false, true, false}, // the collector has run
		{none, true, false, false},
		{none, false, false, false}, // again one that was over
		{none, true, false, false},
		{none, true, false, true},
	} {
		before := p.resting
		if changed := p.see(step.count, step.alive, step.disturbed); p.resting != step.resting || changed != (before != p.resting) {
			t.Errorf("%d: rests: %v, changed: %v", i, p.resting, changed)
		}
	}
	if p.pause() != restPause || p.watchdog() != "WATCHDOG_USEC=120000000\nWATCHDOG=1\n" {
		t.Errorf("at rest every %v, %q", p.pause(), p.watchdog())
	}
	p.see(one, false, false)
	if p.pause() != 10*time.Second || p.watchdog() != "WATCHDOG_USEC=20000000\nWATCHDOG=1\n" {
		t.Errorf("every %v, %q", p.pause(), p.watchdog())
	}
	if p := newPulse(0); p.watchdog() != "" || p.pause() != usualPause {
		t.Errorf("without a watchdog every %v, %q", p.pause(), p.watchdog())
	}
	if p := (pulse{asked: time.Hour, resting: true}); p.pause() != time.Hour {
		t.Errorf("it shows a sign of life every %v, and systemd asks for one an hour", p.pause())
	}
}

// TestACollectionEndsTheRestOfMemory: whoever uses it while there is no build has it
// collected.
func TestACollectionEndsTheRestOfMemory(t *testing.T) {
	var m memory
	disturbed := make(chan struct{})
	m.rest(func() { close(disturbed) })
	defer m.wake()
	if m.collected() {
		t.Error("it was collected before anything was used")
	}
	var kept [][]byte
	for waiting := true; waiting; {
		kept = append(kept[len(kept)/2:], make([]byte, 64<<10))
		select {
		case <-disturbed:
			waiting = false
		default:
			runtime.Gosched()
		}
	}
	if !m.collected() {
		t.Error("it was collected, and does not say so")
	}
	m.wake()
	if m.collected() || m.resting {
		t.Error("it rests still")
	}
}
