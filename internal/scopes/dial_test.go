package scopes

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// TestConnectionThatEndsWhileItIsMadeLeavesNobodyWaiting for its signals, as when
// systemd is re-executed at that moment; nor does one that ends later.
func TestConnectionThatEndsWhileItIsMadeLeavesNobodyWaiting(t *testing.T) {
	for name, when := range map[string]func(*signals, chan *dbus.Signal){
		"before its signals are asked for": func(s *signals, ch chan *dbus.Signal) {
			s.Terminate()
			s.AddSignal(ch)
		},
		"after": func(s *signals, ch chan *dbus.Signal) {
			s.AddSignal(ch)
			s.DeliverSignal("org.freedesktop.systemd1.Manager", "JobRemoved", &dbus.Signal{})
			if got := <-ch; got == nil {
				t.Error("a signal is not handed on")
			}
			s.Terminate()
		},
		"after, and nobody asks any more": func(s *signals, ch chan *dbus.Signal) {
			s.AddSignal(ch)
			s.RemoveSignal(ch)
			s.Terminate()
			close(ch)
		},
	} {
		ch := make(chan *dbus.Signal, 1)
		when(newSignals(), ch)
		select {
		case _, open := <-ch:
			if open {
				t.Errorf("%s: a signal comes", name)
			}
		case <-time.After(patience):
			t.Errorf("%s: who reads the signals waits for good", name)
		}
	}
}
