//go:build !linux

package cli

import (
	"context"
	"errors"
)

func (a *app) runDoctor(context.Context, bool) error {
	return errors.New("builds run on Linux: look at the podman machine with --machine")
}
