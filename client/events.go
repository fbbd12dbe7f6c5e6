package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

const (
	// maxLine is the size of the longest event that is read, in bytes.
	maxLine = 1 << 20
	// silence is how long the stream may be silent before the daemon is taken for
	// one that does not answer.
	silence = 3 * api.AliveInterval
)

// ErrStopping is returned by Watch when the daemon has said that it stops.
var ErrStopping = errors.New("buildwatchd was stopped")

// Watch calls each with the builds that the user may see (present, then ready), and
// from then on with what happens to them. It returns when ctx ends, the daemon does,
// or each fails, with the error that says which; never nil. Events by which the
// daemon only says that it is there are kept back.
func (c *Client) Watch(ctx context.Context, each func(api.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://buildwatchd"+api.PathEvents, nil)
	if err != nil {
		return err
	}
	quiet := time.AfterFunc(silence, func() { cancel(ErrNoAnswer) })
	defer quiet.Stop()
	response, err := c.http.Do(request)
	if err != nil {
		return watchError(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(response.Body, maxLine))
		if err != nil {
			return watchError(ctx, err)
		}
		return refusal(response.StatusCode, answer)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		quiet.Reset(silence)
		var e api.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("%w: %w", ErrNotBuildwatchd, err)
		}
		switch e.Kind {
		case api.EventAlive:
			continue
		case api.EventStopping:
			return ErrStopping
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return watchError(ctx, err)
	}
	return fmt.Errorf("%w (%w)", ErrClosed, io.EOF)
}

// watchError is callError for a stream, which is cut off by its own clock too.
func watchError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrNoAnswer) {
		return fmt.Errorf("%w (silent for %s)", ErrNoAnswer, silence)
	}
	return callError(ctx, err)
}
