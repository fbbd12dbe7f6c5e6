package cli

import (
	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
)

// configOfFiles is what the files of this host say now.
func (a *app) configOfFiles() ([]api.ConfigValue, error) {
	c, err := config.Load("")
	if err != nil {
		return nil, err
	}
	return c.Values(), nil
}
