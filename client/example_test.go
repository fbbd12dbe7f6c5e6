package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// Example ends every build that hangs.
func Example() {
	socket, end := daemon() // api.ControlSocket on a host with buildwatchd
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	c := client.New(socket)
	defer c.Close()
	builds, err := c.List(ctx)
	if errors.Is(err, client.ErrNotRunning) {
		log.Fatal("start buildwatchd.socket")
	}
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range builds {
		fmt.Println(b.ID, b.Owner.Command, b.State)
		if b.State != api.StateStalled {
			continue
		}
		ended, err := c.Stop(ctx, b.ID, api.StopRequest{})
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
			continue // it has ended meanwhile
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ended.ID, "is", ended.State, "because", ended.Reason.Meaning())
	}
	// Output:
	// bcdf2345 podman build running
	// gkvw6789 buildah build stalled
	// gkvw6789 is gone because somebody asked for it, by stop, or by Ctrl+C, SIGTERM or SIGHUP at run
}

// ExampleClient_Watch prints what happens, until the daemon is stopped.
func ExampleClient_Watch() {
	socket, end := daemon()
	defer end()

	c := client.New(socket)
	defer c.Close()
	err := c.Watch(context.Background(), func(e api.Event) error {
		switch e.Kind {
		case api.EventPresent, api.EventStarted, api.EventState:
			fmt.Println(e.Build.ID, e.Build.State)
		case api.EventGone:
			fmt.Println(e.Build.ID, e.Build.State, e.Build.Reason)
		}
		return nil // an error ends the watching
	})
	fmt.Println(err)
	// Output:
	// bcdf2345 running
	// bcdf2345 abandoned
	// bcdf2345 gone owner_exited
	// buildwatchd was stopped
}

// daemon stands in for buildwatchd: it answers as that does, with made-up builds.
func daemon() (socket string, end func()) {
	answers := http.NewServeMux()
	answer := func(pattern, document string) {
		answers.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, document) })
	}
	answer("GET "+api.PathBuilds, `{"builds": [
		{"id": "bcdf2345", "state": "running", "owner": {"pid": 4711, "command": "podman build"}},
		{"id": "gkvw6789", "state": "stalled", "owner": {"pid": 4712, "command": "buildah build"}}]}`)
	answer("POST "+api.PathStop, `{"id": "gkvw6789", "state": "gone", "reason": "stopped"}`)
	answer("GET "+api.PathEvents, `{"kind": "present", "build": {"id": "bcdf2345", "state": "running"}}
{"kind": "ready"}
{"kind": "state", "build": {"id": "bcdf2345", "state": "abandoned"}, "was": "running"}
{"kind": "gone", "build": {"id": "bcdf2345", "state": "gone", "reason": "owner_exited"}}
{"kind": "stopping"}
`)
	dir, err := os.MkdirTemp("", "buildwatch")
	if err != nil {
		log.Fatal(err)
	}
	socket = filepath.Join(dir, "control.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answers)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	return socket, func() {
		server.Close()
		os.RemoveAll(dir)
	}
}
