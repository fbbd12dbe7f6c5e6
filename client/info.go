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

// Config returns the configuration in force.
func (c *Client) Config(ctx context.Context) (api.Config, error) {
	var config api.Config
	err := c.call(ctx, http.MethodGet, api.PathConfig, nil, &config)
	return config, err
}
