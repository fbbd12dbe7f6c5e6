package control

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/peer"
)

// Serve answers requests that come to the listening socket, which it takes over,
// until ctx ends. It then returns within a second, however many peers there are
// and whatever they do; requests under way are told that the daemon stops.
func (s *Server) Serve(ctx context.Context, socket *net.UnixListener) error {
	listener := peer.Listen(socket, peer.ListenerOptions{
		Limiter:  s.Limiter,
		Pidfds:   true, // for run
		Identify: s.Identify,
		Refused: func(c peer.Credentials, err error) {
			// Any user can make as many of these as they like: not for the log of
			// a daemon in normal operation.
			s.Log.WithError(err).Debugf("Closed a control connection of %s", c)
		},
	})
	server := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            s.limits.request,
		ReadTimeout:                  s.limits.request,
		IdleTimeout:                  s.limits.idle,
		MaxHeaderBytes:               s.limits.header,
		ErrorLog:                     log.New(logWriter{s.Log}, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if conn, ok := conn.(*peer.Conn); ok {
				return withCaller(ctx, conn.Credentials())
			}
			return ctx
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		_ = server.Close()
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.grace)
	defer cancel()
	// Shutdown would wait five seconds for peers that have connected and sent
	// nothing: Close ends them.
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// logWriter takes what package http has to say: of peers that break the
// protocol, so it is theirs to make, and only for those who debug.
type logWriter struct{ log logrus.FieldLogger }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.Debugf("Control connection: %q", strings.TrimSpace(string(line)))
	return len(line), nil
}

type callerKey struct{}

func withCaller(ctx context.Context, c peer.Credentials) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// caller returns who asks; nobody, if that is not known.
func caller(ctx context.Context) peer.Credentials {
	c, _ := ctx.Value(callerKey{}).(peer.Credentials)
	return c
}
