package cli

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// test is what one --filter asks of a build.
type test = func(api.Build) bool

// filterKey is one key of --filter, with what its values mean. make returns the
// test that a value stands for.
type filterKey struct {
	key, help string
	make      func(value string, now time.Time) (test, error)
}

// filterKeys are those for builds that are listed.
var filterKeys = keysFor(liveStates(), endReasons())

func keysFor(states []api.State, reasons []api.Reason) []filterKey {
	return []filterKey{
		{"id", "the ID begins so", func(value string, _ time.Time) (test, error) {
			return func(b api.Build) bool { return strings.HasPrefix(b.ID, value) }, nil
		}},
		{"name", "a part of the name that it was given by run --name, or a regular expression", func(value string, _ time.Time) (test, error) {
			pattern, err := regexp.Compile(value)
			if err != nil {
				return nil, errors.New("neither a part of a name nor a regular expression")
			}
			return func(b api.Build) bool { return b.Name != "" && pattern.MatchString(b.Name) }, nil
		}},
		{"unit", "the systemd unit that it was started in, with or without its type; * and ? as in a shell", func(value string, _ time.Time) (test, error) {
			_, err := path.Match(value, "")
			if err != nil {
				err = errors.New("neither the name of a unit nor a pattern")
			}
			return func(b api.Build) bool { return isUnit(value, b.Owner.Unit) }, err
		}},
		wordKey("state", states, func(b api.Build) api.State { return b.State }),
		{"user", "name or UID", func(value string, _ time.Time) (test, error) {
			uid, err := strconv.ParseUint(value, 10, 32)
			return func(b api.Build) bool {
				return b.User.Name == value || err == nil && b.User.UID == uint32(uid)
			}, nil
		}},
		{"arch", "an emulated architecture that runs now, as aarch64 or as podman's arm64", func(value string, _ time.Time) (test, error) {
			return func(b api.Build) bool { return slices.Contains(b.Arch, emulatedName(value)) }, nil
		}},
		wordKey("reason", reasons, func(b api.Build) api.Reason { return b.Reason }),
		wordKey("mode", api.Modes(), func(b api.Build) api.Mode { return b.Mode }),
		{"scope", "the name of the systemd unit", func(value string, _ time.Time) (test, error) {
			return func(b api.Build) bool { return b.Scope == value }, nil
		}},
		{"since", "created after: a time as RFC 3339, or a duration ago, such as 10m", func(value string, now time.Time) (test, error) {
			t, err := pointInTime(value, now)
			return func(b api.Build) bool { return b.CreatedAt.After(t) }, err
		}},
		{"until", "created before: likewise", func(value string, now time.Time) (test, error) {
			t, err := pointInTime(value, now)
			return func(b api.Build) bool { return b.CreatedAt.Before(t) }, err
		}},
	}
}

// isUnit reports whether a pattern is for the unit.
func isUnit(pattern, unit string) bool {
	for _, name := range []string{unit, label("", unit)} {
		fits, _ := path.Match(pattern, name)
		if fits || pattern == name { // whose \x2d are no pattern's
			return unit != ""
		}
	}
	return false
}

// liveStates are those of builds that are listed: one that is gone is not.
func liveStates() []api.State {
	return slices.DeleteFunc(api.States(), func(s api.State) bool { return s == api.StateGone })
}

// endReasons are those that a listed build can have: one that has ended by itself is gone.
func endReasons() []api.Reason {
	return slices.DeleteFunc(api.Reasons(), api.Reason.ByItself)
}

// emulatedNames are qemu's names of architectures, by podman's where these are others.
//
// Source: qemu, linux-user targets; podman-build(1), --platform; go tool dist list.
var emulatedNames = map[string]string{
	"arm64": "aarch64", "amd64": "x86_64", "386": "i386", "loong64": "loongarch64", "mipsle": "mipsel", "mips64le": "mips64el",
}

// emulatedName takes what --platform takes: arm64, linux/arm64, linux/arm/v7.
func emulatedName(value string) string {
	parts := strings.Split(strings.TrimPrefix(value, "linux/"), "/")
	if name, ok := emulatedNames[parts[0]]; ok {
		return name
	}
	return parts[0]
}

// pastKeys are those for builds of which nothing may be left: any state, any reason.
func pastKeys() []filterKey { return keysFor(api.States(), api.Reasons()) }

// wordKey is the key for a word of a closed set.
func wordKey[T ~string](key string, words []T, of func(api.Build) T) filterKey {
	return filterKey{key, alternatives(words), func(value string, _ time.Time) (test, error) {
		return func(b api.Build) bool { return of(b) == T(value) }, oneOf(value, words)
	}}
}

// historyKeys are those of builds that are all gone.
func historyKeys() []filterKey {
	return slices.DeleteFunc(pastKeys(), func(k filterKey) bool { return k.key == "state" })
}

// filter is all of --filter: by key, the tests of which one must hold.
type filter map[string][]test

func newFilter(keys []filterKey, given []string, now time.Time) (filter, error) {
	f := make(filter)
	for _, one := range given {
		key, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("--filter %q: not of the form key=value", one)
		}
		i := slices.IndexFunc(keys, func(k filterKey) bool { return k.key == key })
		if i < 0 {
			return nil, fmt.Errorf("--filter %q: the keys are %s", one, strings.Join(filterNames(keys), ", "))
		}
		passes, err := keys[i].make(value, now)
		if value == "" && err == nil { // each ID begins so, and each name has it: a script's variable was empty
			err = errors.New("there is no value")
		}
		if err != nil {
			return nil, fmt.Errorf("--filter %q: %w", one, err)
		}
		f[key] = append(f[key], passes)
	}
	return f, nil
}

// matches reports whether a build passes: of each key at least one test.
func (f filter) matches(b api.Build) bool {
	for _, tests := range f {
		if !slices.ContainsFunc(tests, func(passes test) bool { return passes(b) }) {
			return false
		}
	}
	return true
}

// apply returns the builds that pass.
func (f filter) apply(builds []api.Build) []api.Build {
	return slices.DeleteFunc(builds, func(b api.Build) bool { return !f.matches(b) })
}

// ended returns the ended builds that pass.
func (f filter) ended(all []api.Ended) []api.Ended {
	return slices.DeleteFunc(all, func(e api.Ended) bool { return !f.matches(asBuild(e)) })
}

func filterNames(keys []filterKey) []string {
	return each(keys, func(k filterKey) string { return k.key })
}

func filterHelp(keys []filterKey) string {
	return glossary(each(keys, func(k filterKey) [2]string { return [2]string{k.key, k.help} }))
}

func oneOf[T ~string](value string, all []T) error {
	if slices.Contains(all, T(value)) {
		return nil
	}
	return fmt.Errorf("the values are %s", alternatives(all))
}

func pointInTime(value string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(value); err == nil {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, errors.New("neither a duration such as 10m nor a time such as 2026-01-02T15:04:05Z")
	}
	return t, nil
}
