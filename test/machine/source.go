package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// FindSource returns the checkout that dir is in: the nearest directory above
// with a go.mod, or "" if there is none.
func FindSource(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// Install installs the project inside, as the README tells a user to, from
// what was built in the checkout, and starts the daemon.
func (m *Machine) Install(ctx context.Context) error {
	if m.opts.Source == "" {
		return errors.New("install the project: not in a checkout of it")
	}
	m.opts.Say("installing the project inside")
	for _, args := range [][]string{
		{"make", "--no-print-directory", "-C", SourceDir, "install", "PREFIX=/usr/local"},
		{"systemctl", "daemon-reload"},
		{"systemctl", "enable", "--now", "buildwatchd.socket", "buildwatchd.service"},
	} {
		if err := m.inside(ctx, args...); err != nil {
			return fmt.Errorf("install the project: %w", err)
		}
	}
	return nil
}

// Inside returns the directory inside that shows a directory of the host: one
// in the checkout. ok is false for any other.
func (m *Machine) Inside(dir string) (inside string, ok bool) {
	if m.opts.Source == "" {
		return "", false
	}
	rel, err := filepath.Rel(m.opts.Source, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.Join(SourceDir, rel), true
}

// Program returns the path inside of a program that is named as on a command
// line. A name without a slash, and a path that is there inside, are taken as
// they are; any other path is a file of the host, which is copied in.
func (m *Machine) Program(name string) (string, error) {
	if !strings.Contains(name, "/") {
		return name, nil
	}
	if filepath.IsAbs(name) {
		if _, err := os.Stat(m.Path(name)); err == nil {
			return name, nil
		}
	}
	program, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("neither inside nor on this host: %w", err)
	}
	inside := filepath.Join("/opt", filepath.Base(name))
	return inside, os.WriteFile(m.Path(inside), program, 0o755)
}
