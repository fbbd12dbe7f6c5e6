//go:build linux

package cli

import (
	"strings"
	"testing"
	"time"
)

func TestWaitUntilNothingIsLeft(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	// However short the time is, and however busy the host: what is left is looked at once.
	r, _ := runWith(t, socket, endedBuilds(), nil, "wait", "--timeout", "1us")
	r.expect(t, 124, "", `buildwatchctl: build bcdf2345 is still running, with 5 processes: 4711 podman build of alice
buildwatchctl: build bcdz2345 is still stuck (owner_exited), with 1 process: 815 podman system service --with-a-long-name of 1001
`)
	done := make(chan result)
	go func() {
		r, _ := runWith(t, socket, nil, nil, "wait", "bcdf")
		done <- r
	}()
	select {
	case r := <-done:
		t.Fatalf("it has not waited: %+v", r)
	case <-time.After(200 * time.Millisecond):
	}
	builds.End("bcdf2345")
	(<-done).expect(t, 0, "bcdf2345\n", "")
	builds.End("bcdz2345")
	if r, _ := runWith(t, socket, nil, nil, "wait"); r.code != 0 || r.out != "" || r.err != "" {
		t.Errorf("nothing is left, and it says %+v", r)
	}
}

func TestWaitForBuildsThatHaveEnded(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	if r, _ := runWith(t, socket, endedBuilds(), nil, "wait", "past2345", "nightly"); r.code != 0 || r.out != "past2345\npast2345\n" {
		t.Errorf("%+v", r)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"wait", "nosuchid"}, 1, `no build with ID "nosuchid"`},
		{[]string{"wait", "--ignore", "nosuchid"}, 0, ""},
		{[]string{"wait", "--filter", "state=unsure"}, 0, ""},
		{[]string{"wait", "--timeout", "never"}, 125, "--timeout"},
		{[]string{"wait", "a", "--filter", "user=b"}, 125, "takes either IDs or --filter"},
	} {
		if r, _ := runWith(t, socket, nil, nil, test.args...); r.code != test.code || !strings.Contains(r.err, test.want) || r.out != "" {
			t.Errorf("%q: %+v, want %d, %s", test.args, r, test.code, test.want)
		}
	}
}
