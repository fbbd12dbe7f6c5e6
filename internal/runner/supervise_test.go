//go:build linux

package runner

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestCommandRunsOnlyAsItMay: placed, or unwatched where nothing was asked of the
// daemon that it alone can give.
func TestCommandRunsOnlyAsItMay(t *testing.T) {
	for _, row := range []struct {
		name    string
		strict  bool
		answer  *report // nil for a process that ends
		failure *report // to become the command
		code    int     // 0 for a command that runs
		goesOn  bool
		build   string
		said    string
	}{
		{name: "placed", answer: &report{ID: "b"}, goesOn: true, build: "b"},
		{name: "placed, with limits", strict: true, answer: &report{ID: "b"}, goesOn: true, build: "b"},
		{name: "without the daemon", answer: &report{Error: "no daemon"}, goesOn: true, said: "no daemon"},
		{name: "limits without the daemon", strict: true, answer: &report{Error: "no daemon"}, code: ExitOwn},
		{name: "a part of a build", answer: &report{Part: true, Error: "it is a part"}, goesOn: true},
		{name: "limits for a part of a build", strict: true, answer: &report{Part: true, Error: "it is a part"}, code: ExitOwn},
		{name: "it ends", code: ExitOwn},
		{name: "it is no program", answer: &report{ID: "b"}, failure: &report{Errno: unix.ENOEXEC}, goesOn: true, code: ExitCannotInvoke, build: "b"},
		{name: "it has gone", answer: &report{ID: "b"}, failure: &report{Errno: unix.ENOENT}, goesOn: true, code: ExitNotFound, build: "b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			wentOn := make(chan bool, 1)
			go func() { // as Child
				defer unix.Close(pair[1])
				var o order
				if receive(pair[1], &o) != nil || o.Socket != "socket" || o.Request.Name != "nightly" || row.answer == nil {
					wentOn <- false
					return
				}
				_ = send(pair[1], row.answer)
				var goOn struct{}
				wentOn <- receive(pair[1], &goOn) == nil
				if row.failure != nil {
					_ = send(pair[1], row.failure)
				}
			}()
			var said string
			c := &command{link: pair[0]}
			err = c.place(Options{
				Command: []string{"podman"}, Socket: "socket", Request: api.RunRequest{Name: "nightly"}, Strict: row.strict,
				Say: func(line string) { said = line },
			})
			var failed exitError
			if errors.As(err, &failed); failed.code != row.code || (err == nil) != (row.code == 0) {
				t.Errorf("it fails with %d, %v; want %d", failed.code, err, row.code)
			}
			if goesOn := <-wentOn; goesOn != row.goesOn {
				t.Errorf("the process was told to become the command: %v", goesOn)
			}
			if c.build != row.build || (row.said == "") != (said == "") || !strings.Contains(said, row.said) {
				t.Errorf("the build is %q, and said was %q", c.build, said)
			}
		})
	}
}

// daemon answers each stop with the status, and counts them.
func daemon(t *testing.T, status int) (socket string, stops *atomic.Int32) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	stops = new(atomic.Int32)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/builds/b/stop" {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		var document any = api.Build{BuildHead: api.BuildHead{ID: "b", State: api.StateGone}}
		if status != http.StatusOK {
			document = api.Error{Code: api.CodeInternal, Message: "broken"}
		}
		stops.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(document)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return socket, stops
}

// watched is a command that is supervised, and what it does with signals.
type watched struct {
	*supervision
	child   *proctest.Child
	signals chan os.Signal
	said    chan string
	code    chan int
}

func watch(t *testing.T, script, build, socket string, timeout time.Duration, argv ...string) *watched {
	t.Helper()
	w := &watched{signals: make(chan os.Signal, 4), said: make(chan string, 4), code: make(chan int, 1)}
	w.child = proctest.Shell(t, script, func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} })
	exited := make(chan *os.ProcessState, 1)
	w.supervision = &supervision{
		started: time.Now(),
		Options: Options{Command: argv, Socket: socket, Request: api.RunRequest{Timeout: api.Seconds(timeout)}, Say: func(line string) { w.said <- line }},
		command: &command{process: w.child.Process, build: build}, exited: exited, signals: w.signals,
	}
	go func() {
		w.child.Status()
		exited <- w.child.ProcessState
	}()
	go func() { w.code <- w.wait() }()
	return w
}

// ends checks the exit status for the whole.
func (w *watched) ends(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-w.code:
		if got != want {
			t.Errorf("the exit status is %d, want %d", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
}

// says returns what the user has been told so far.
func (w *watched) says() string {
	select {
	case line := <-w.said:
		return line
	default:
		return ""
	}
}

// TestExitStatusIsTheCommandsUnlessItWasCancelled: podman, whose containers were taken
// away, may call that a success of its own.
func TestExitStatusIsTheCommandsUnlessItWasCancelled(t *testing.T) {
	t.Run("by itself", func(t *testing.T) {
		w := watch(t, "trap 'exit 7' EXIT", "b", "", 0)
		w.child.End()
		w.ends(t, 7)
	})
	for by, want := range map[syscall.Signal]int{unix.SIGINT: 130, unix.SIGTERM: 143, unix.SIGHUP: 129} {
		t.Run("cancelled by "+by.String(), func(t *testing.T) {
			socket, stops := daemon(t, http.StatusOK)
			w := watch(t, "trap 'exit 0' EXIT", "b", socket, 0)
			w.signals <- by
			proctest.Eventually(t, "the build is stopped", func() bool { return stops.Load() > 0 })
			w.child.End() // it ends well, by itself: it got no signal
			w.ends(t, want)
			if w.child.Status().ExitStatus() != 0 || stops.Load() != 1 || w.says() != "" {
				t.Errorf("the command ended with %d after %d stops", w.child.Status().ExitStatus(), stops.Load())
			}
		})
	}
	t.Run("cancelled, and the daemon can't", func(t *testing.T) {
		socket, _ := daemon(t, http.StatusInternalServerError)
		w := watch(t, "", "b", socket, 0)
		w.signals <- unix.SIGINT
		w.ends(t, 130)
		if w.child.Status().Signal() != unix.SIGINT || w.says() == "" {
			t.Errorf("the command ended by %v, and nothing was said", w.child.Status())
		}
	})
	t.Run("cancelled twice", func(t *testing.T) {
		socket, _ := daemon(t, http.StatusOK)
		w := watch(t, "trap '' INT", "b", socket, 0)
		w.signals <- unix.SIGINT
		w.signals <- unix.SIGINT // as sudo passes it on: the same one
		proctest.After(t, time.Now(), echoTime+echoTime/2)
		if w.child.Process.Signal(syscall.Signal(0)) != nil {
			t.Error("an echo has ended the command")
		}
		w.signals <- unix.SIGINT
		w.ends(t, 130)
		if w.child.Status().Signal() != unix.SIGKILL {
			t.Errorf("the command ended by %v", w.child.Status())
		}
	})
	for name, row := range map[string]struct {
		command string
		script  string
		want    int
	}{
		"unwatched, podman that tidies up":   {"/usr/bin/podman build .", "trap '' INT; trap 'exit 1' HUP", 1},
		"unwatched, podman between steps":    {"podman --log-level debug build .", "trap '' INT", 130},
		"unwatched, a podman that runs":      {"podman run --rm -it x", "trap '' HUP", 130},
		"unwatched, a podman in other hands": {"sh -c podman", "trap '' HUP", 130},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, row.script, "", "", 0, strings.Fields(row.command)...)
			w.signals <- unix.SIGINT
			w.ends(t, row.want)
		})
	}
	t.Run("unwatched", func(t *testing.T) {
		w := watch(t, "", "", "", 0)
		w.signals <- unix.SIGTERM
		w.ends(t, 143)
		if said := w.says(); w.child.Status().Signal() != unix.SIGTERM || said != "" {
			t.Errorf("the command ended by %v, and was said: %q", w.child.Status(), said)
		}
	})
	t.Run("another signal", func(t *testing.T) {
		w := watch(t, "trap 'exit 5' USR1", "b", "", 0)
		w.signals <- unix.SIGUSR1
		w.ends(t, 5)
	})
}

// TestUserIsToldThatTheTimeWasOver, and of nothing else that ends a command.
func TestUserIsToldThatTheTimeWasOver(t *testing.T) {
	for _, row := range []struct {
		name, build string
		limit       time.Duration
		exit        string
		told        bool
	}{
		{"its time was over", "b", 1, "1", true},
		{"it succeeded in that moment", "b", 1, "0", false},
		{"it had no time", "b", 0, "1", false},
		{"it had more time", "b", time.Hour, "1", false},
		{"nobody watched it", "", 1, "1", false},
	} {
		w := watch(t, "trap 'exit "+row.exit+"' EXIT", row.build, "", row.limit)
		w.child.End()
		w.ends(t, int(row.exit[0]-'0'))
		if told := w.says() != ""; told != row.told {
			t.Errorf("%s: told %v", row.name, told)
		}
	}
}

// TestIgnoredSignalsStayIgnored: nohup is to work.
func TestIgnoredSignalsStayIgnored(t *testing.T) {
	if w := wanted(); !slices.Contains(w, os.Signal(unix.SIGHUP)) || !slices.Contains(w, os.Signal(unix.SIGUSR2)) || len(w) != 6 {
		t.Errorf("acted on: %v", w)
	}
	signal.Ignore(unix.SIGHUP)
	defer func() { // only who asks for a signal has it again
		all := make(chan os.Signal, 1)
		signal.Notify(all, unix.SIGHUP)
		signal.Stop(all)
	}()
	if w := wanted(); slices.Contains(w, os.Signal(unix.SIGHUP)) || len(w) != 5 {
		t.Errorf("with SIGHUP ignored: %v", w)
	}
}
