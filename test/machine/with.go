package machine

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

//go:embed with-docker.sh
var withDocker []byte

//go:embed with-bats.sh
var withBats []byte

//go:embed with-needrestart.sh
var withNeedrestart []byte

//go:embed with-prometheus.sh
var withPrometheus []byte

// withs are what a machine can have besides what all have, by the script that adds it.
var withs = map[string][]byte{"docker": withDocker, "bats": withBats, "needrestart": withNeedrestart, "prometheus": withPrometheus}

// Withs are the names of what a machine can have besides.
func Withs() []string { return slices.Sorted(maps.Keys(withs)) }

// RootWith returns from the cache the root file system of a suite with something more, and
// makes it first where it is missing.
func RootWith(ctx context.Context, suiteName, more string, say func(string, ...any)) (string, error) {
	script, ok := withs[more]
	if !ok {
		return "", fmt.Errorf("no machine has %q", more)
	}
	base, err := Rootfs(ctx, suiteName, say)
	if err != nil {
		return "", err
	}
	s, err := findSuite(suiteName)
	if err != nil {
		return "", err
	}
	r := newRecipe(s)
	r.Setup, r.Pinning = script, nil
	d := derivation{base: base, kind: more, of: script, what: "a machine with " + more, say: say}
	d.make = func(dir string) error { return r.derive(ctx, base, filepath.Join(dir, "root")) }
	made, err := d.get(ctx)
	return filepath.Join(made, "root"), err
}
