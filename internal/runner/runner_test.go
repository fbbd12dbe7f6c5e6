//go:build linux

package runner

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStatusIsAsAShellHasIt(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		cmd := exec.Command("/bin/sh", "-c", script)
		_ = cmd.Run()
		if got := status(cmd.ProcessState); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
}

func TestCommandIsFoundAsAShellWould(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"runs": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{
		"runs": 0, "./runs": 0, filepath.Join(dir, "runs"): 0,
		"./text": ExitCannotInvoke, dir: ExitCannotInvoke,
		"none": ExitNotFound, "./none": ExitNotFound, "": ExitNotFound,
	} {
		path, err := find(name)
		var failed exitError
		if errors.As(err, &failed) {
			if failed.code != want {
				t.Errorf("%q: %d (%v), want %d", name, failed.code, err, want)
			}
		} else if want != 0 || err != nil || path == "" {
			t.Errorf("%q: %q, %v; want %d", name, path, err, want)
		}
	}
}

// TestCommandThatIsNotThereIsToldInPlainWords, without the names of Go's calls.
func TestCommandThatIsNotThereIsToldInPlainWords(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"podmann": `"podmann": there is no such command in $PATH`, "": `"": there is no such command in $PATH`,
		"/none/podman": `"/none/podman": no such file or directory`, text: `"` + text + `": permission denied`,
		text + "/x": `"` + text + `/x": not a directory`, dir: `"` + dir + `": is a directory`,
	} {
		if _, err := find(name); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestChildWithoutAParentRunsNothing: it is started by hand, or who waits for it is
// gone.
func TestChildWithoutAParentRunsNothing(t *testing.T) {
	for _, args := range [][]string{nil, {"x", "/bin/true", "true"}, {"-1", "/bin/true", "true"}, {"987654", "/bin/true", "true"}} {
		if code := Child(args, nil); code != ExitOwn {
			t.Errorf("%q: %d", args, code)
		}
	}
}

// TestDaemonThatEndsMidwayIsAskedOnceMore: systemd starts another, and holds the socket meanwhile.
func TestDaemonThatEndsMidwayIsAskedOnceMore(t *testing.T) {
	const lost, placed, part, refused = "", `200 {"id":"bcdfghjk"}`, `409 {"code":"part","message":"a part"}`, `403 {"code":"x","message":"no"}`
	for name, row := range map[string]struct {
		answers []string
		want    report
	}{
		"it is placed":                      {[]string{placed}, report{ID: "bcdfghjk"}},
		"by the next one":                   {[]string{lost, placed}, report{ID: "bcdfghjk"}},
		"its answer was lost":               {[]string{lost, part}, report{}},
		"it is part of another":             {[]string{part}, report{Part: true, Error: "a part"}},
		"it is refused, and not once more":  {[]string{refused, placed}, report{Error: "no"}},
		"it is refused by the next one too": {[]string{lost, refused}, report{Error: "no"}},
	} {
		t.Run(name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				answer := row.answers[asked]
				asked++
				status, body, _ := strings.Cut(answer, " ")
				code, err := strconv.Atoi(status)
				if err != nil {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			}))
			server.Listener = listener
			server.Start()
			defer server.Close()
			if got := ask(order{Socket: socket}); got != row.want {
				t.Errorf("%+v, want %+v", got, row.want)
			}
		})
	}
}

// TestProcessBecomesTheCommandOnlyWhenItIsToldTo: who waits for it has the last word, with limits
// that the daemon did not take.
func TestProcessBecomesTheCommandOnlyWhenItIsToldTo(t *testing.T) {
	for told, want := range map[bool]int{false: ExitOwn, true: ExitCannotInvoke} {
		nothing := filepath.Join(t.TempDir(), "nothing")
		ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		answers := make(chan report, 2)
		go func() {
			defer close(answers)
			defer unix.Close(ends[0])
			answer := func() (r report) {
				if receive(ends[0], &r) == nil {
					answers <- r
				}
				return r
			}
			if send(ends[0], order{Socket: nothing}) == nil && answer().Error != "" && told {
				_ = send(ends[0], struct{}{})
				answer()
			}
		}()
		if code := Child([]string{strconv.Itoa(ends[1]), nothing, "nothing"}, nil); code != want {
			t.Errorf("told %v: %d", told, code)
		}
		unix.Close(ends[1])
		var last report
		for answer := range answers {
			last = answer
		}
		if tried := last.Errno == unix.ENOENT; tried != told {
			t.Errorf("told %v: %+v", told, last)
		}
	}
}
