package reclaim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// OfUser are a user's Leftovers, for root: a helper is started that is the user, as the daemon
// starts one, and asked. Root looks at nothing of a user's.
type OfUser struct {
	UID     uint32
	Program string // the helper
	// run runs a command with this as its standard input; tests have another.
	run func(ctx context.Context, in []byte, name string, args ...string) ([]byte, error)
}

// Find is Leftovers.Find.
func (u OfUser) Find(ctx context.Context, before time.Time) ([]Item, error) {
	return u.ask(ctx, Pruning{Before: before.UnixMicro()})
}

// Remove is Leftovers.Remove.
func (u OfUser) Remove(ctx context.Context, before time.Time, items []Item) ([]Item, error) {
	if len(items) == 0 {
		return nil, nil
	}
	return u.ask(ctx, Pruning{Before: before.UnixMicro(), Remove: items})
}

func (u OfUser) ask(ctx context.Context, p Pruning) ([]Item, error) {
	ctx, cancel := context.WithTimeout(ctx, unitLimit+toolWait)
	defer cancel()
	run := u.run
	if run == nil {
		run = runCommand
	}
	out, failed := run(ctx, encode(Job{Version: docVersion, Prune: &p}), "systemd-run", u.arguments()...)
	var result Result
	if err := decode(bytes.NewReader(out), &result); err != nil {
		return nil, fmt.Errorf("the helper of UID %d: %w", u.UID, errors.Join(failed, err))
	}
	if err := result.check(); err != nil {
		return nil, fmt.Errorf("the helper of UID %d: %w", u.UID, err)
	}
	if result.Error != "" {
		return result.Items, fmt.Errorf("UID %d: %s", u.UID, strconv.Quote(result.Error))
	}
	return result.Items, nil
}

// arguments have systemd start the helper as the user, in a unit of its own, and after everything
// else: see package scopes, helperProperties.
//
// Source: systemd-run(1), systemd.exec(5).
func (u OfUser) arguments() []string {
	args := []string{
		"--quiet", "--collect", "--pipe", "--wait", "--uid=" + strconv.FormatUint(uint64(u.UID), 10), "--working-directory=/",
		"--description=Looks for what dead container builds have left", "--property=Delegate=yes", "--nice=19", "--property=IOSchedulingClass=idle",
		"--property=UMask=077", "--property=KeyringMode=private", "--property=RuntimeMaxSec=" + strconv.Itoa(int(unitLimit.Seconds())),
	}
	if u.UID == uint32(os.Geteuid()) { // the caller's own storage is where the caller's environment says
		for _, name := range podman.StorageVariables() {
			if _, ok := os.LookupEnv(name); ok {
				args = append(args, "--setenv="+name)
			}
		}
	}
	if u.UID != 0 { // see package scopes
		unit := fmt.Sprintf("user-runtime-dir@%d.service", u.UID)
		args = append(args, "--property=Wants="+unit, "--property=After="+unit)
	}
	return append(args, "--", u.Program)
}

func runCommand(ctx context.Context, in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out limited
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return out.Bytes(), nil
}

// limited keeps what a document may have at most, and takes no more.
type limited struct{ bytes.Buffer }

var errTooLong = errors.New("an answer that is too long")

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxDoc+1 {
		return 0, errTooLong
	}
	return l.Buffer.Write(p)
}
