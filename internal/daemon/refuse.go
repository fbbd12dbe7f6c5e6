package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/logging"
)

// refuse runs in the place of a daemon that can't do its work, because the host is not
// what it needs. But systemd holds the sockets, and would keep each wrapper waiting
// for a daemon that does not come: so there is one, which turns the wrappers away
// at once, and tells buildwatchctl why.
func refuse(ctx context.Context, problems error, sockets sockets, log *logging.Log) error {
	for line := range strings.Lines(problems.Error()) {
		log.Error(strings.TrimSuffix(line, "\n"))
	}
	log.Error("Builds are not watched until this is mended and buildwatchd is restarted")
	first, _, _ := strings.Cut(problems.Error(), "\n")
	_ = tellSystemd(systemd.SdNotifyReady + "\nSTATUS=Refusing all requests: " + first)
	defer func() { _ = tellSystemd(systemd.SdNotifyStopping) }()
	return turnAway(ctx, sockets, first)
}

// turnAway turns everybody away until the context ends, and says why to those who
// can hear it.
func turnAway(ctx context.Context, sockets sockets, why string) error {
	answer, err := json.Marshal(api.Error{Code: api.CodeInternal, Message: "buildwatchd refuses all requests: " + why})
	if err != nil {
		return err
	}
	server := http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(answer)
	})}
	stop := context.AfterFunc(ctx, func() {
		sockets.runtime.Close()
		server.Close()
	})
	defer stop()
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { _ = server.Serve(sockets.control) })
	parts.Go(func() {
		alive := time.NewTicker(newPulse(watchdogInterval()).pause())
		defer alive.Stop()
		for {
			select {
			case <-alive.C:
				_ = tellSystemd(systemd.SdNotifyWatchdog)
			case <-ctx.Done():
				return
			}
		}
	})
	for {
		conn, err := sockets.runtime.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err // systemd starts another
		}
		conn.Close()
	}
}
