//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// slowServer serves a file to a build's ADD, when it is released. asked tells that the
// build has come to it.
func slowServer(t *testing.T) (url string, asked <-chan struct{}, release func()) {
	t.Helper()
	come, let := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		come <- struct{}{}
		select {
		case <-let:
		case <-r.Context().Done():
		}
		_, _ = w.Write([]byte("slow"))
	}))
	released := false
	release = func() {
		if !released {
			released = true
			close(let)
		}
	}
	t.Cleanup(func() { release(); server.Close() })
	return server.URL + "/slow", come, release
}

// TestBuildStoppedBetweenTwoStepsGetsNoSignal: it goes on with what is no RUN step, and
// its next one is refused, whatever becomes of the daemon meanwhile. One that has no
// further step completes.
func TestBuildStoppedBetweenTwoStepsGetsNoSignal(t *testing.T) {
	for _, test := range []struct {
		name, meanwhile, rest string
		completes             bool
	}{
		{"and has another", "", "RUN echo never > /x\n", false},
		{"and the daemon is killed", "systemctl kill --signal=KILL buildwatchd.service", "RUN echo never > /x\n", false},
		{"and has no other", "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			leakCheck(t)
			url, asked, release := slowServer(t)
			b := startBuild(t, "RUN true\nADD "+url+" /slow\n"+test.rest, "--layers=false", "--tag", "between")
			t.Cleanup(func() { sh(t, "podman rmi --force --ignore between") })
			<-asked
			var view api.Build
			eventually(t, func() (string, bool) { // its step has ended
				all := listed(t)
				if len(all) == 1 && all[0].Processes == 0 {
					view = all[0]
				}
				return fmt.Sprintf("listed: %+v", all), view.ID != ""
			})
			if out := sh(t, "%s stop --dry-run %s", ctl, view.ID); !strings.Contains(out, "no RUN step runs, so nothing is sent") {
				t.Errorf("planned: %s", out)
			}
			if out, err := try("%s stop --time 1 %s", ctl, view.ID); err == nil || !strings.Contains(out, "got no signal: its next step is refused") {
				t.Errorf("stop: %v, %s", err, out)
			}
			if test.meanwhile != "" {
				sh(t, "%s", test.meanwhile)
				startDaemon(t)
			}
			if out := sh(t, "%s list --json", ctl); !strings.Contains(out, `"refusing": true`) {
				t.Errorf("listed as %s", out)
			}
			if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "it is to end: no RUN step runs") {
				t.Errorf("shown as %s", out)
			}
			startBuild(t, "RUN true\n").succeed() // another's steps run
			release()
			code := b.wait()
			if ws, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Exited() {
				t.Errorf("podman ended by %v", ws.Signal())
			}
			_, imageErr := try("podman image exists between")
			refused := strings.Contains(b.out.String(), "the build was ended: somebody has asked for its end")
			if completes := code == 0 && imageErr == nil; completes != test.completes || refused == test.completes {
				t.Errorf("podman exits with %d, image: %v\n%s", code, imageErr, b.out.String())
			}
			nothingListed(t)
		})
	}
}

// TestFrozenBuilderBetweenTwoStepsGetsNoSignal: not even one that answers to nothing.
func TestFrozenBuilderBetweenTwoStepsGetsNoSignal(t *testing.T) {
	leakCheck(t)
	url, asked, release := slowServer(t)
	b := startBuild(t, "RUN true\nADD "+url+" /slow\n", "--layers=false")
	<-asked
	eventually(t, func() (string, bool) {
		all := listed(t)
		return fmt.Sprintf("listed: %+v", all), len(all) == 1 && all[0].Processes == 0
	})
	must(t, b.cmd.Process.Signal(syscall.SIGSTOP))
	out, err := try("%s stop --all --time 1", ctl)
	if err == nil {
		t.Errorf("stop: %s", out)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.pid()))
	must(t, err)
	for _, line := range []string{"State:\tT", "SigPnd:\t0000000000000000\n", "ShdPnd:\t0000000000000000\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
	must(t, b.cmd.Process.Signal(syscall.SIGCONT))
	release()
	b.succeed()
	nothingListed(t)
}
