package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// The limits of some builds stand in tables named after whose they are, or after how
// they were started: [limits.user.NAME], [limits.mode.MODE]. A property that is not
// there is as in the less particular table: user, then mode, then [limits].

const (
	sectionLimits = "limits"
	sectionUser   = "limits.user"
	sectionMode   = "limits.mode"
	whoDepth      = 3 // names in that of such a table
)

// modes are the ways to start a build that a scope is made for.
var modes = []string{string(api.ModeLocal), string(api.ModeAPI), string(api.ModeRun)}

// isTable reports whether keys may stand below the path.
func isTable(path []string) bool {
	switch len(path) {
	case 1:
		return isSection(path[0])
	case 2:
		return path[0] == sectionLimits && (path[1] == "user" || path[1] == "mode")
	case whoDepth:
		return isTable(path[:2]) && path[2] != "" && (path[1] == "user" || slices.Contains(modes, path[2]))
	}
	return false
}

// ofWhom returns the key that the path of four names is.
func ofWhom(path []string) (key, bool) {
	if len(path) != whoDepth+1 || !isTable(path[:whoDepth]) || limits.Allowed(path[whoDepth]) == "" {
		return key{}, false
	}
	who, name := path[2], path[whoDepth]
	return key{name: dotted(path), kind: property{name: name, row: func(c *Config) *limits.Properties {
		table := &c.Limits.Builds.Mode
		if path[1] == "user" {
			table = &c.Limits.Builds.User
		}
		if *table == nil {
			*table = map[string]limits.Properties{}
		}
		if (*table)[who] == nil {
			(*table)[who] = limits.Properties{}
		}
		row := (*table)[who]
		return &row
	}, lifts: true}}, true
}

// whoKeys are the keys of those tables that are set.
func (c *Config) whoKeys() []key {
	var set []key
	for kind, table := range map[string]map[string]limits.Properties{"user": c.Limits.Builds.User, "mode": c.Limits.Builds.Mode} {
		for who, row := range table {
			for name := range row {
				if k, ok := ofWhom([]string{sectionLimits, kind, who, name}); ok {
					set = append(set, k)
				}
			}
		}
	}
	slices.SortFunc(set, func(a, b key) int { return strings.Compare(a.name, b.name) })
	return set
}

// property is a limit of builds, written as systemd has it.
type property struct {
	name  string
	row   func(*Config) *limits.Properties
	lifts bool // "" is a value too: no limit, whatever less particular tables say
}

func (property) typeName() string { return "string, or integer" }

func (k property) bounds() string { return limits.Allowed(k.name) + `; "" for no limit` }

func (k property) reset(c *Config) { delete(*k.row(c), k.name) }

func (k property) literal(c *Config) string { return strconv.Quote((*k.row(c))[k.name]) }

func (k property) set(c *Config, v value) error {
	if v.form != formString && v.form != formInteger {
		return fmt.Errorf("must be a string or an integer, not %s", v.form)
	}
	if err := limits.Check(k.name, v.text); err != nil {
		return fmt.Errorf("%s is not allowed: %s", quoted(v.text), k.bounds())
	}
	row := k.row(c)
	if v.text == "" && !k.lifts {
		k.reset(c)
		return nil
	}
	if *row == nil {
		*row = limits.Properties{}
	}
	(*row)[k.name] = v.text
	return nil
}
