//go:build linux

package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/client"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

func build(id string, uid uint32) api.BuildDetail {
	return api.BuildDetail{
		Build:       api.Build{ID: id, State: api.StateRunning, User: api.User{UID: uid}},
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
	b, err := c.Stop(t.Context(), "bb", api.StopRequest{OwnerTimeout: time.Minute})
	if err != nil || b.ID != "bbbb2222" || b.State != api.StateGone {
		t.Errorf("Stop: %v, %v", b, err)
	}
	if stops := builds.Stops(); len(stops) != 1 || stops[0] != (controltest.Stop{ID: "bbbb2222", By: 1000, OwnerTimeout: time.Minute}) {
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
