package control

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// stop answers POST api.PathStop, when the build is gone or stuck.
func stop(s *Server, w http.ResponseWriter, r *http.Request, given string) (any, error) {
	request, err := decodeStop(http.MaxBytesReader(w, r.Body, s.limits.body))
	if err != nil {
		return nil, err
	}
	c := caller(r.Context())
	id, err := s.resolve(c, given)
	if err != nil {
		return nil, err
	}
	// The request is in. Its deadline would end the connection, and with it the
	// waiting, in the middle of a stop.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	b, err := s.Builds.Stop(r.Context(), id, c.UID(), request)
	if err != nil {
		return nil, goneMeanwhile(given, err)
	}
	return presentable(b), nil
}

// decodeStop reads the body of a stop. None at all is a request for the stop as
// it is configured.
func decodeStop(body io.Reader) (api.StopRequest, error) {
	var request api.StopRequest
	if err := decode(body, &request); err != nil {
		return api.StopRequest{}, err
	}
	if given := request.OwnerTimeout; given != nil && (*given < 0 || *given > api.Seconds(api.MaxOwnerTimeout)) {
		return api.StopRequest{}, badRequest("the owner's timeout is not between 0 and %s", api.MaxOwnerTimeout)
	}
	return request, nil
}

// decode reads a body that is one document, strictly, or that is empty.
func decode(body io.Reader, document any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(document)
	if errors.Is(err, io.EOF) {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if err == nil {
		// Whatever follows is no part of a request that we understand.
		if _, err = decoder.Token(); err == nil {
			return badRequest("the body holds more than one document")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	switch {
	case errors.As(err, &tooLarge):
		return badRequest("the body is larger than %d bytes", tooLarge.Limit)
	case err != nil:
		return badRequest("the body is not such a request: %s", quote(err.Error()))
	}
	return nil
}
