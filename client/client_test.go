//go:build linux

package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

func build(id string, uid uint32) api.BuildDetail {
	return api.BuildDetail{
		Build:       api.Build{BuildHead: api.BuildHead{ID: id, State: api.StateRunning, User: api.User{UID: uid}}},
		ProcessTree: []api.Process{{PID: 12, Command: "sleep"}},
	}
}

func connect(t *testing.T, socket string) *client.Client {
	t.Helper()
	c := client.New(socket)
	t.Cleanup(c.Close)
	return c
}

func TestEveryVerb(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", 1000), build("cccc2222", 1000))
	c := connect(t, controltest.Start(t, builds, 1000))
	list, err := c.List(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "bbbb2222" {
		t.Errorf("List: %v, %v", list, err)
	}
	detail, err := c.Show(t.Context(), "c")
	if err != nil || detail.ID != "cccc2222" || len(detail.ProcessTree) != 1 {
		t.Errorf("Show: %v, %v", detail, err)
	}
	b, err := c.Stop(t.Context(), "bb", api.StopRequest{OwnerTimeout: new(api.Seconds(time.Minute))})
	if err != nil || b.ID != "bbbb2222" || b.State != api.StateGone {
		t.Errorf("Stop: %v, %v", b, err)
	}
	if stops := builds.Stops(); len(stops) != 1 || stops[0] != (controltest.Stop{ID: "bbbb2222", By: 1000, OwnerTimeout: "1m0s"}) {
		t.Errorf("the daemon was asked for %v", stops)
	}
	info, err := c.Info(t.Context())
	if err != nil || info.Version != "1.2.3" {
		t.Errorf("Info: %v, %v", info, err)
	}
}

func TestRefusalsAreTyped(t *testing.T) {
	c := connect(t, controltest.Start(t, controltest.NewBuilds(build("bbbb2222", 1000), build("bbbc2222", 1000)), 1000))
	for id, want := range map[string]api.ErrorCode{
		"x":          api.CodeNotFound,
		"bbb":        api.CodeAmbiguous,
		"":           api.CodeBadRequest,
		"../info":    api.CodeNotFound,
		"b/stop":     api.CodeNotFound,
		"?x":         api.CodeNotFound,
		"#x":         api.CodeNotFound,
		".":          api.CodeNotFound,
		"\x1b\x00\n": api.CodeNotFound,
	} {
		_, err := c.Show(t.Context(), id)
		var refusal *api.Error
		if !errors.As(err, &refusal) || refusal.Code != want {
			t.Errorf("%q: %v, want %s", id, err, want)
		}
	}
}

func TestMoreAtOnceThanConnections(t *testing.T) {
	c := connect(t, controltest.Start(t, controltest.NewBuilds(build("bbbb2222", 1000)), 1000))
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := c.List(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestDaemonThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	refused := filepath.Join(dir, "refused")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: refused, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, socket := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "no", "directory"), refused} {
		_, err := connect(t, socket).List(t.Context())
		if !errors.Is(err, client.ErrNotRunning) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", socket, err)
		}
	}
	if _, err := connect(t, "/"+strings.Repeat("x", 200)).List(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("path that is too long: %v", err)
	}
}

// TestAnswersOfOthers: whatever listens there, an error comes back, and in time.
func TestAnswersOfOthers(t *testing.T) {
	for _, test := range []struct {
		name, says string
		want       error
	}{
		{"closes", "", client.ErrClosed},
		{"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", client.ErrClosed},
		{"no HTTP", "220 mail ESMTP\r\n\r\n", client.ErrNotBuildwatchd},
		{"no JSON", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", client.ErrNotBuildwatchd},
		{"no error of ours", "HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n{}", client.ErrNotBuildwatchd},
		{"elsewhere", "HTTP/1.1 302 Found\r\nLocation: http://y/\r\nContent-Length: 0\r\n\r\n", client.ErrNotBuildwatchd},
		{"silent", "-", client.ErrNoAnswer},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					if test.says != "-" {
						_, _ = io.WriteString(conn, test.says)
						conn.Close()
					}
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := connect(t, path).List(ctx); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", 1000), build("cccc2222", 0))
	c := connect(t, controltest.Start(t, builds, 1000))
	enough := errors.New("enough")
	var kinds []api.EventKind
	err := c.Watch(t.Context(), func(e api.Event) error {
		kinds = append(kinds, e.Kind)
		switch e.Kind {
		case api.EventReady:
			go func() {
				builds.Tell(api.Event{Kind: api.EventAlive})
				builds.Tell(api.Event{Kind: api.EventGone, Build: &api.BuildHead{ID: "cccc2222"}}) // another's
				builds.Tell(api.Event{Kind: api.EventGone, Build: &api.BuildHead{ID: "bbbb2222", User: api.User{UID: 1000}}})
			}()
		case api.EventGone:
			if e.Build.ID != "bbbb2222" {
				t.Errorf("told %+v", e.Build)
			}
			return enough
		}
		return nil
	})
	if want := []api.EventKind{api.EventPresent, api.EventReady, api.EventGone}; err != enough || !slices.Equal(kinds, want) {
		t.Errorf("told %v, want %v; %v", kinds, want, err)
	}
}

func TestWatchSaysWhyItEnds(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
	for says, want := range map[string]error{
		head + `{"kind":"ready"}` + "\n" + `{"kind":"stopping"}` + "\n": client.ErrStopping,
		head + `{"kind":"ready"}` + "\n":                                client.ErrClosed,
		head + "hello\n":                                                client.ErrNotBuildwatchd,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}":         client.ErrNotBuildwatchd,
		"": client.ErrClosed,
	} {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, says)
			conn.Close()
		}()
		if err := connect(t, socket).Watch(t.Context(), func(api.Event) error { return nil }); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", says, err, want)
		}
		l.Close()
	}
	var refusal *api.Error
	socket := controltest.Start(t, controltest.NewBuilds(), 1000)
	if _, err := connect(t, socket).Plan(t.Context(), "nosuchid", api.StopRequest{}); !errors.As(err, &refusal) || refusal.Code != api.CodeNotFound {
		t.Errorf("a plan for none: %v", err)
	}
}
