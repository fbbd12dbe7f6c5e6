package api

import "testing"

// TestWaitIsOneLineForPeople, whatever others have called their files.
func TestWaitIsOneLineForPeople(t *testing.T) {
	for want, w := range map[string]Wait{
		"":                                 {},
		`"/a\nb"; "nfs4" on "/mnt\x1b[2J"`: {File: "/a\nb", Mount: "/mnt\x1b[2J", FSType: "nfs4"},
		`"fuse" on "/m"; FUSE connection 7 with 2 requests, served by 3, 20; aborted`: {
			Mount: "/m", FSType: "fuse", Connection: 7, Requests: 2, Servers: []int{20, 3}, Abort: AbortDone},
		`FUSE connection 7 with 1 requests; not aborted: another process uses it (PID 9)`: {Connection: 7, Requests: 1, Abort: AbortUsed, AbortPID: 9},
		`"of\ttomorrow"`: {Abort: "of\ttomorrow"},
	} {
		if got := w.String(); got != want {
			t.Errorf("%+v is %s, want %s", w, got, want)
		}
	}
	for _, outcome := range Aborts() {
		if got := (Wait{Abort: outcome}).String(); got == "" || got[0] == '"' {
			t.Errorf("%s is called %s", outcome, got)
		}
	}
}

func TestKindOfWait(t *testing.T) {
	for want, waits := range map[WaitKind][]Wait{
		WaitOther: {{FSType: "ext4"}, {}, {FSType: "fusectl"}},
		WaitFuse:  {{FSType: "overlay"}, {FSType: "fuse.sshfs"}},
		WaitNFS:   {{FSType: "nfs4"}},
	} {
		if got := KindOfWait(waits); got != want {
			t.Errorf("%v: %s, want %s", waits, got, want)
		}
	}
	if got := KindOfWait(nil); got != WaitOther {
		t.Errorf("nothing known: %s", got)
	}
}
