package main

import (
	"math/rand/v2"
	"time"
)

// breakages are what is done to the daemon and to systemd. Each leaves the daemon running.
var breakages = []struct {
	name    string
	command string
	often   int
}{
	{"killed", "systemctl kill --kill-whom=main --signal=KILL buildwatchd.service", 6},
	{"stopped for a moment", "systemctl kill --kill-whom=main --signal=STOP buildwatchd.service; sleep 0.$((RANDOM % 9 + 1)); systemctl kill --kill-whom=main --signal=CONT buildwatchd.service", 2},
	{"restarted", "systemctl restart buildwatchd.service", 2},
	{"away for a second", "systemctl stop buildwatchd.service buildwatchd.socket; sleep 1; systemctl start buildwatchd.socket buildwatchd.service", 1},
	{"reloaded", "systemctl reload buildwatchd.service", 1},
	{"systemd reloaded", "systemctl daemon-reload", 1},
	{"systemd executed anew", "systemctl daemon-reexec", 1},
	{"bus reloaded", "systemctl reload dbus.service", 1},
}

// breakThings breaks one after the other until it is told to stop.
func (w *world) breakThings(choose *rand.Rand, stop <-chan struct{}) {
	total := 0
	for _, b := range breakages {
		total += b.often
	}
	for {
		pause := time.Duration(200+choose.IntN(2800)) * time.Millisecond
		select {
		case <-time.After(pause):
		case <-stop:
			return
		}
		n := choose.IntN(total)
		for _, b := range breakages {
			if n -= b.often; n < 0 {
				_, _ = sh("systemctl reset-failed buildwatchd.service 2>/dev/null; " + b.command)
				w.count(w.broken, b.name)
				break
			}
		}
	}
}
