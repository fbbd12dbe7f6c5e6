package client

import (
	"context"
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// Info returns what there is to know of the daemon itself.
func (c *Client) Info(ctx context.Context) (api.Info, error) {
	var info api.Info
	err := c.call(ctx, http.MethodGet, api.PathInfo, nil, &info)
	return info, err
}
