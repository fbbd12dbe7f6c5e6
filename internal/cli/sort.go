package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// sortKeys are the values of --sort. What is equal stays oldest first.
var sortKeys = []sortKey{
	{"created", func(api.Build, api.Build) int { return 0 }},
	{"id", func(a, b api.Build) int { return strings.Compare(a.ID, b.ID) }},
	{"state", func(a, b api.Build) int {
		return cmp.Compare(slices.Index(api.States(), a.State), slices.Index(api.States(), b.State))
	}},
	{"processes", func(a, b api.Build) int { return cmp.Compare(b.Processes, a.Processes) }},
	{"cpu", func(a, b api.Build) int { return cmp.Compare(b.CPUSeconds, a.CPUSeconds) }},
}

type sortKey struct {
	key     string
	compare func(a, b api.Build) int
}

func sortNames() []string {
	return each(sortKeys, func(k sortKey) string { return k.key })
}

// newOrder reads the value of --sort.
func newOrder(key string) (func(a, b api.Build) int, error) {
	for _, k := range sortKeys {
		if k.key == key {
			return k.compare, nil
		}
	}
	return nil, fmt.Errorf("--sort %q: the values are %s", key, strings.Join(sortNames(), ", "))
}
