package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// List returns the builds that the user may see, oldest first: root sees all,
// everybody else their own.
func (c *Client) List(ctx context.Context) ([]api.Build, error) {
	var list api.BuildList
	if err := c.call(ctx, http.MethodGet, api.PathBuilds, nil, &list); err != nil {
		return nil, err
	}
	return list.Builds, nil
}

// Show returns everything that is known of the build with the ID, or whose ID
// alone begins so.
func (c *Client) Show(ctx context.Context, id string) (api.BuildDetail, error) {
	var detail api.BuildDetail
	err := c.call(ctx, http.MethodGet, pathOf(api.PathBuild, id), nil, &detail)
	return detail, err
}

// Stop ends the build with the ID, or whose ID alone begins so, and returns it
// when it is gone or stuck: look at its State. The end of ctx ends the waiting,
// not the stop.
func (c *Client) Stop(ctx context.Context, id string, request api.StopRequest) (api.Build, error) {
	var b api.Build
	err := c.call(ctx, http.MethodPost, pathOf(api.PathStop, id), request, &b)
	return b, err
}

// Plan returns what Stop would do with the same arguments. Nothing of it is done.
func (c *Client) Plan(ctx context.Context, id string, request api.StopRequest) (api.Plan, error) {
	var p api.Plan
	err := c.call(ctx, http.MethodPost, pathOf(api.PathPlan, id), request, &p)
	return p, err
}

// Run asks for a build of the calling process's own, and for it to be moved into
// the build's scope. It is there when Run returns without an error.
func (c *Client) Run(ctx context.Context, request api.RunRequest) (api.Build, error) {
	var b api.Build
	err := c.call(ctx, http.MethodPost, api.PathRun, request, &b)
	return b, err
}

func pathOf(pattern, id string) string {
	return strings.Replace(pattern, "{id}", url.PathEscape(id), 1)
}
