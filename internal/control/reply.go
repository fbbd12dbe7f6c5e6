package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

var errInternal = &api.Error{
	Code:    api.CodeInternal,
	Message: `buildwatchd failed to answer: "journalctl -u buildwatchd" says why`,
}

var errStopping = &api.Error{
	Code:    api.CodeInternal,
	Message: "buildwatchd is being stopped: ask again when it is back",
}

func badRequest(format string, args ...any) error {
	return &api.Error{Code: api.CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// statusError is an error that has another HTTP status than its code's.
type statusError struct {
	error
	status int
}

func (e statusError) Unwrap() error { return e.error }

func methodNotAllowed(method string) error {
	return statusError{badRequest("method %s is not for this path", quote(method)), http.StatusMethodNotAllowed}
}

func unknownPath(path string) error {
	return statusError{badRequest("there is nothing at %s", quote(path)), http.StatusNotFound}
}

// quote makes what a client has sent fit for a message.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		return fmt.Sprintf("%q...", s[:longest])
	}
	return fmt.Sprintf("%q", s)
}

// isOurs reports whether the daemon has failed, and not the caller: an ID that nobody
// has is no failure.
func isOurs(err error) bool {
	var e *api.Error
	return !errors.As(err, &e) || status(err) >= http.StatusInternalServerError
}

func status(err error) int {
	if special, ok := errors.AsType[statusError](err); ok {
		return special.status
	}
	var e *api.Error
	errors.As(err, &e)
	switch e.Code {
	case api.CodeNotFound:
		return http.StatusNotFound
	case api.CodeAmbiguous, api.CodePart:
		return http.StatusConflict
	case api.CodeBadRequest:
		return http.StatusBadRequest
	case api.CodeRefused:
		return http.StatusForbidden
	case api.CodeBusy:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// reply sends the answer, or else the error. Only an *api.Error is shown to the
// caller; what else went wrong is for the log.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, answer any, err error) {
	code := http.StatusOK
	if err != nil {
		answer, code = s.presentable(r, err)
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // the documents of package api always marshal
	}
	// There is no limit on the time until here, a stop takes as long as it takes.
	// A client that does not read is not waited for.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.answer))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes())
}

func (s *Server) presentable(r *http.Request, err error) (*api.Error, int) {
	var e *api.Error
	switch {
	case errors.As(err, &e):
		return e, status(err)
	case r.Context().Err() != nil:
		// The client is gone, and reads nothing; or the daemon stops.
		return errStopping, http.StatusServiceUnavailable
	}
	s.Log.WithError(err).Errorf("Control request %s %s of %s failed", r.Method, quote(r.URL.Path), caller(r.Context()))
	return errInternal, http.StatusInternalServerError
}
