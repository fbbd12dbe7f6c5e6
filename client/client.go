package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

const (
	// maxAnswer is the size of the largest answer that is read, in bytes: a
	// build of 10,000 processes takes some 3 MB.
	maxAnswer = 64 << 20
	// maxConnections keeps a client that asks much at once well below what the
	// daemon lets one user have.
	maxConnections = 8
	// busyPause is how long to wait when the socket's queue is full.
	busyPause = 20 * time.Millisecond
)

// Client asks one daemon. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// New makes a client for the daemon that listens at the socket. It connects
// when it is first asked something.
func New(socket string) *Client {
	c := &Client{socket: socket}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:        c.dial,
			DisableCompression: true,
			MaxConnsPerHost:    maxConnections,
			IdleConnTimeout:    5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", c.socket)
		if err == nil {
			return conn, nil
		}
		if !isQueueFull(err) {
			return nil, dialError(err)
		}
		select {
		case <-ctx.Done():
			return nil, dialError(err)
		case <-time.After(busyPause):
		}
	}
}

// call sends a request, with the document in as its body if there is one, and
// reads the answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		document, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(document)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://buildwatchd"+path, body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return callError(ctx, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return callError(ctx, err)
	}
	if response.StatusCode != http.StatusOK {
		return refusal(response.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%w: %w", ErrNotBuildwatchd, err)
	}
	return nil
}

// refusal is the error that an answer is.
func refusal(status int, answer []byte) error {
	var refusal api.Error
	if err := json.Unmarshal(answer, &refusal); err != nil || refusal.Code == "" {
		return fmt.Errorf("%w: HTTP status %d", ErrNotBuildwatchd, status)
	}
	return &refusal
}
