package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// run answers POST api.PathRun, when the process that connected is in the scope of
// its new build. Of the request only the name and the limits are the caller's word.
func run(s *Server, w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	request, err := decodeRun(http.MaxBytesReader(w, r.Body, s.limits.body))
	if err != nil {
		return nil, err
	}
	c := caller(r.Context())
	if !c.IsRoot() && !c.IsUser() {
		return nil, &api.Error{Code: api.CodeRefused, Message: "a build must be some user's"}
	}
	process, err := hold(c)
	if err != nil {
		return nil, &api.Error{Code: api.CodeRefused, Message: "the process that asked is no longer there"}
	}
	defer process.Close()
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.run)
	defer cancel()
	b, err := s.Run(ctx, process, c.UID(), c.GID(), request)
	if err != nil {
		return nil, err
	}
	return presentable(b), nil
}

// decodeRun reads the body of a run. The name and all properties are checked here,
// whatever buildwatchctl has checked before.
func decodeRun(body io.Reader) (RunRequest, error) {
	var given api.RunRequest
	if err := decode(body, &given); err != nil {
		return RunRequest{}, err
	}
	if given.Name != "" {
		if err := limits.CheckName(given.Name); err != nil {
			return RunRequest{}, badRequest("%s", err)
		}
	}
	read, err := limits.Parse(given.Properties)
	if err != nil {
		return RunRequest{}, badRequest("%s", err)
	}
	switch {
	case given.Timeout < 0 || given.Timeout > api.Seconds(limits.MaxTimespan):
		return RunRequest{}, badRequest("the timeout is not between 0 and %s", limits.MaxTimespan)
	case given.Timeout > 0 && read.RuntimeMax > 0:
		return RunRequest{}, badRequest("the property RuntimeMaxSec and a timeout are the same: give one")
	case given.Timeout > 0:
		read.RuntimeMax = time.Duration(given.Timeout)
	}
	return RunRequest{Name: given.Name, Limits: read}, nil
}

// hold takes hold of the process that connected, beyond the end of its connection.
func hold(c peer.Credentials) (*proc.Handle, error) {
	if c.Pidfd == nil {
		return nil, proc.ErrGone
	}
	raw, err := c.Pidfd.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(have uintptr) { fd, failed = unix.FcntlInt(have, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || failed != nil {
		return nil, fmt.Errorf("hold the peer: %w", proc.ErrGone)
	}
	return proc.FromPidfd(c.PID, os.NewFile(uintptr(fd), "pidfd"))
}
