package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// answered is what a handler returns that has written its answer itself.
type answered struct{}

// watch answers GET api.PathEvents: a line for each event, until the client goes or
// the daemon stops. Whose builds the caller may see is asked again for each.
func watch(s *Server, w http.ResponseWriter, r *http.Request, _ string) (any, error) {
	c := caller(r.Context())
	stream := stream{w: w, control: http.NewResponseController(w), limit: s.limits.line}
	// The request is in: its deadline would end the stream.
	if err := stream.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	_ = s.Builds.Watch(r.Context(), func(u api.User) bool { return mayUse(c, u) }, stream.send)
	if errors.Is(stream.failed, os.ErrDeadlineExceeded) {
		return answered{}, stream.failed // it has not read for so long
	}
	// Either the client is gone, and reads nothing; or the daemon stops.
	stream.limit = s.limits.grace
	_ = stream.send(api.Event{Time: time.Now(), Kind: api.EventStopping})
	return answered{}, nil
}

// stream writes events, one a line.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration // for each line
	failed  error
}

func (s *stream) send(e api.Event) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		panic(err) // the documents of package api always marshal
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(s.limit))
	_, err := s.w.Write(line.Bytes())
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.failed = err
	}
	return s.failed
}
