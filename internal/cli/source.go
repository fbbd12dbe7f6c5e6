package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podmanmachine"
)

// source is what a view that stays asks again and again: the daemon of this host, or
// that of a podman machine, where a program for terminals can't run by itself.
type source interface {
	list(ctx context.Context) ([]api.Build, error)
	show(ctx context.Context, id string) (api.BuildDetail, error)
	stop(ctx context.Context, id string) error // returns when the build is gone
}

// source is the one that the flags name.
func (a *app) source(flags *pflag.FlagSet) source {
	if !a.isElsewhere(flags) {
		return localSource{a}
	}
	if flags.Changed(socketFlagName) { // a path in the machine
		return machineSource{a, []string{"--" + socketFlagName + "=" + a.socket}}
	}
	return machineSource{a, nil}
}

type localSource struct{ *app }

func (s localSource) list(ctx context.Context) ([]api.Build, error) { return s.builds(ctx) }

func (s localSource) show(ctx context.Context, id string) (api.BuildDetail, error) {
	details, errs := s.details(ctx, []string{id})
	if len(details) == 0 {
		return api.BuildDetail{}, errors.Join(errs...)
	}
	return details[0], nil
}

func (s localSource) stop(ctx context.Context, id string) error {
	c := s.client()
	defer c.Close()
	_, err := stopOne(ctx, c, id, api.StopRequest{})
	return err
}

// machineSource asks by the verbs of the buildwatchctl inside.
type machineSource struct {
	*app
	flags []string
}

func (s machineSource) list(ctx context.Context) ([]api.Build, error) {
	var builds []api.Build
	if err := s.ask(ctx, &builds, "list", "--json"); err != nil {
		return nil, fmt.Errorf("list the builds of the machine: %w", err)
	}
	return builds, nil
}

func (s machineSource) show(ctx context.Context, id string) (api.BuildDetail, error) {
	var details []api.BuildDetail
	err := s.ask(ctx, &details, "show", "--json", "--", id)
	if err == nil && len(details) == 0 {
		err = fmt.Errorf("the machine does not say what there is of build %s", quote(id))
	}
	if err != nil {
		return api.BuildDetail{}, err
	}
	return details[0], nil
}

func (s machineSource) stop(ctx context.Context, id string) error {
	return s.ask(ctx, nil, "stop", "--", id)
}

// ask runs a verb inside, and reads what it prints as JSON, unless into is nil.
func (s machineSource) ask(ctx context.Context, into any, verb ...string) error {
	machine, err := s.theMachine(ctx)
	if err != nil {
		return noMachine{err}
	}
	var out, complaint strings.Builder
	code, err := machine.Run(ctx, podmanmachine.Stdio{Out: &out, Err: &complaint}, program, append(verb[:1:1], append(s.flags, verb[1:]...)...)...)
	switch {
	case err != nil:
		return noMachine{err}
	case code != 0:
		return errors.New(strings.TrimPrefix(strings.TrimSpace(complaint.String()), program+": "))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal([]byte(out.String()), into); err != nil {
		return fmt.Errorf("what the machine says is not understood: %w", err)
	}
	return nil
}

// noMachine is why a machine could not be asked, which says nothing of its builds.
type noMachine struct{ error }
