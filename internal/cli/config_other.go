//go:build !linux

package cli

import "github.com/buildwatch/buildwatch/api"

// configOfFiles is not known: the daemon is on another host.
func (a *app) configOfFiles() ([]api.ConfigValue, error) { return nil, nil }
