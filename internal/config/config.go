// Package config reads buildwatchd's configuration: TOML files, from which one
// Config with a value for every key comes out. It owns the names, defaults,
// bounds and documentation of the keys (the table in keys.go is the only place
// where they stand) and the rules by which files are found and trusted.
//
// It reads files below /etc/buildwatch and /usr/lib/buildwatch, and keeps the last
// good configuration where it is told to; it starts nothing and logs nothing.
package config

import (
	"errors"
	"net/netip"
	"time"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// Config is everything that can be set. Load makes one; the zero value is not
// valid.
type Config struct {
	Log     Log
	Metrics Metrics
	Ladder  Ladder
	Stalled Stalled
	Policy  Policy
	Storage Storage
	OnEnd   OnEnd
	Limits  Limits

	origins map[string]Origin
}

// Log is section [log].
type Log struct {
	Level string // error, warning, info or debug
}

// Metrics is section [metrics].
type Metrics struct {
	Listen    []netip.AddrPort // loopback addresses
	WebConfig string           // a file of exporter-toolkit's, or ""
}

// Ladder is section [ladder]: how long a build's end may take where that
// depends on the host and its builds.
type Ladder struct {
	KillTimeout  time.Duration // from SIGKILL to the containers' last process gone
	OwnerTimeout time.Duration // for a living owner to tidy up, before SIGTERM
	StopTimeout  time.Duration // for systemd's job that stops the scope
	AbortFuse    string        // never or user, see package survivors
}

// Aborts reports whether FUSE connections may be aborted.
func (l Ladder) Aborts() bool { return l.AbortFuse == abortUser }

// Stalled is section [stalled]: when a live build that hangs is called stalled, and
// what is done then.
type Stalled struct {
	After     time.Duration // for which nothing of it has moved
	Policy    string        // report or kill
	KillAfter time.Duration // for which it has been stalled, before it is ended with policy kill
}

// Kills reports whether stalled builds are ended.
func (s Stalled) Kills() bool { return s.Policy == policyKill }

// Policy is section [policy]: what is done with builds that are over, and when
// one is.
type Policy struct {
	Abandoned  string        // AbandonedEnd or AbandonedReport
	MaxRuntime time.Duration // of every build; 0 for no end
}

// Values of Policy.Abandoned.
const (
	AbandonedEnd    = "end"    // what nobody wants any more is ended
	AbandonedReport = "report" // it is only shown
)

// Storage is section [storage].
type Storage struct {
	Reclaim string // own, report or off, see package reclaim
}

// OnEnd is section [on_end]: what follows the end of a build.
type OnEnd struct {
	Start string // a template unit, or ""
}

// Limits is section [limits], with [limits.user.NAME] and [limits.mode.MODE].
type Limits struct {
	ConnectionsPerUser int           // open connections of one user to one socket
	Builds             limits.Grants // what the scopes of builds are bounded by
}

// Default returns the configuration of a host that has no configuration file.
func Default() *Config {
	c := &Config{origins: make(map[string]Origin)}
	for _, k := range keys {
		k.kind.reset(c)
	}
	return c
}

// Load reads the main file and the drop-ins below root, which is "" but in
// tests. No file has to exist.
//
// The error joins one *Problem for each thing that is wrong in any of the
// files; the configuration is then nil.
func Load(root string) (*Config, error) {
	return assemble(find(root))
}

// assemble applies files in their order: later wins, key by key.
func assemble(files []file) (*Config, error) {
	c := Default()
	var problems []error
	for _, f := range files {
		if f.err != nil {
			problems = append(problems, &Problem{File: f.path, Reason: reason(f.err)})
			continue
		}
		for _, p := range c.apply(f.path, f.data) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return c, nil
}

// Origin tells where the value of a key, such as "ladder.kill_timeout", comes
// from.
func (c *Config) Origin(key string) Origin { return c.origins[key] }
