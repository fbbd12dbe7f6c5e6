package scopes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// A build's scope does not lie where its steps would have been made without it, and so
// the limits of some units above that place do not hold in the scope. They are carried
// over: the scope gets them as properties of its own. What is shared can't be: of a
// unit's budget each scope has all, and the unit's other processes have all as well.

// ErrUnbounded is returned where those limits could not be read: the build is not placed
// then, and stays where they hold.
var ErrUnbounded = errors.New("the limits of the build's unit can't be read")

// bounds are limits that are carried over.
type bounds struct {
	values []limits.Value
	from   []string // the units, and cgroups in them, that have them
}

// how a property of several units becomes one of the scope.
type how int

const (
	smallest how = iota // a number, or one for each path: the smallest one holds
	common              // a bit mask, or names: what all allow holds
	together            // a list: systemd adds up the lists of all units above
	nearest             // of the nearest unit that has it
	sibling             // a share among siblings: means the same only for a unit beside the scope
)

// Types of list items, as org.freedesktop.systemd1(5) has them.
type (
	ipItem struct {
		Family  int32
		Address []byte
		Prefix  uint32
	}
	ioItem struct {
		Path string
		Rate uint64
	}
	deviceItem  struct{ Path, Access string }
	programItem struct{ Kind, Path string }
	bindItem    struct {
		Family, Protocol int32
		Count, Port      uint16
	}
	interfaces struct {
		Allow bool
		Names []string
	}
)

// carriable is a property that may be carried over.
type carriable struct {
	name string
	how  how
	none any        // what stands for no limit, if not Infinity or an empty list
	list func() any // where a list is stored, by its type
}

// carried are the properties that bound what a unit's processes may use or reach. The
// other ones protect it (MemoryMin), or say who kills it.
//
// Source: systemd.resource-control(5); org.freedesktop.systemd1(5) for the types.
var carried = []carriable{
	{name: "MemoryMax", how: smallest},
	{name: "MemoryHigh", how: smallest},
	{name: "MemorySwapMax", how: smallest},
	{name: "MemoryZSwapMax", how: smallest},
	{name: "TasksMax", how: smallest},
	{name: "CPUQuotaPerSecUSec", how: smallest},
	{name: "AllowedCPUs", how: common},
	{name: "AllowedMemoryNodes", how: common},
	{name: "CPUWeight", how: sibling},
	{name: "IOWeight", how: sibling},
	{name: "IPAddressAllow", how: together, list: func() any { return new([]ipItem) }},
	{name: "IPAddressDeny", how: together, list: func() any { return new([]ipItem) }},
	{name: "IPIngressFilterPath", how: nearest, list: func() any { return new([]string) }},
	{name: "IPEgressFilterPath", how: nearest, list: func() any { return new([]string) }},
	{name: "BPFProgram", how: nearest, list: func() any { return new([]programItem) }},
	{name: "SocketBindAllow", how: nearest, list: func() any { return new([]bindItem) }},
	{name: "SocketBindDeny", how: nearest, list: func() any { return new([]bindItem) }},
	{name: "RestrictNetworkInterfaces", how: common, list: func() any { return new(interfaces) }},
	{name: "DevicePolicy", how: nearest, none: "auto"},
	{name: "DeviceAllow", how: nearest, list: func() any { return new([]deviceItem) }},
	{name: "IOReadBandwidthMax", how: smallest, list: func() any { return new([]ioItem) }},
	{name: "IOWriteBandwidthMax", how: smallest, list: func() any { return new([]ioItem) }},
	{name: "IOReadIOPSMax", how: smallest, list: func() any { return new([]ioItem) }},
	{name: "IOWriteIOPSMax", how: smallest, list: func() any { return new([]ioItem) }},
}

// source is a unit, or a cgroup in one, that has limits.
type source struct {
	name       string
	properties map[string]any
	sibling    bool // it lies beside the scope
}

// boundsOf finds what would have held in the cgroup beside, if that is not empty, and does
// not in a scope of the slice.
func (m *Manager) boundsOf(ctx context.Context, slice, beside string) (bounds, error) {
	if beside == "" {
		return bounds{}, nil
	}
	units, inside := lost(slicePath(slice), beside)
	var sources []source
	for _, unit := range units {
		var properties map[string]any
		err := m.placing.call(ctx, GetProperties, func(conn *systemd.Conn) (err error) {
			kind := strings.TrimPrefix(path.Ext(unit), ".")
			properties, err = conn.GetUnitTypePropertiesContext(ctx, unit, strings.ToUpper(kind[:1])+kind[1:])
			return err
		})
		if isNoSuchUnit(err) {
			continue // a cgroup that is called so
		}
		if err != nil {
			return bounds{}, fmt.Errorf("%w: %s: %w", ErrUnbounded, unit, err)
		}
		sources = append(sources, source{unit, properties, len(units) == 1})
	}
	for _, where := range inside { // its name is for users to choose, and so is not told
		if c, err := m.root.sub("." + where); err == nil {
			sources = append(sources, source{name: "a cgroup in it", properties: c.limits()})
			c.close()
		}
	}
	return combine(sources), nil
}

// lost splits a cgroup's path: the units of the system's manager that are above it and
// not above the slice, outermost first, and the cgroups in the last of them.
func lost(slice, beside string) (units, inside []string) {
	parts := strings.Split(strings.Trim(path.Clean("/"+beside), "/"), "/")
	shared := strings.Split(strings.Trim(slice, "/"), "/")
	above, apart, delegated := "", false, false
	for i, part := range parts {
		above += "/" + part
		apart = apart || i >= len(shared) || part != shared[i]
		switch kind := path.Ext(part); {
		case delegated:
			inside = append(inside, above)
		case kind != ".slice" && kind != ".service" && kind != ".scope":
			return units, inside // no unit's: who has made it, has set its limits
		case apart:
			units = append(units, unescape(part))
			delegated = kind != ".slice"
		default:
			delegated = kind != ".slice"
		}
	}
	return units, inside
}

// unescape is the unit's name of a cgroup's: one that the kernel could take for a file
// of its own has a prefix.
//
// Source: systemd, src/basic/cgroup-util.c, cg_escape.
func unescape(name string) string { return strings.TrimPrefix(name, "_") }

// slicePath is where a slice is: its name says which slices are above it.
//
// Source: systemd.slice(5).
func slicePath(slice string) string {
	where, prefix := "", ""
	for part := range strings.SplitSeq(strings.TrimSuffix(slice, ".slice"), "-") {
		prefix += part
		where += "/" + prefix + ".slice"
		prefix += "-"
	}
	return where
}

// limits reads the limits of a cgroup that is no unit of the system's manager.
//
// Source: cgroup-v2.rst, memory.max, pids.max, cpu.max, cpuset.cpus.
func (c *cgroup) limits() map[string]any {
	found := map[string]any{}
	for name, file := range map[string]string{
		"MemoryMax": "memory.max", "MemoryHigh": "memory.high", "MemorySwapMax": "memory.swap.max", "TasksMax": "pids.max",
	} {
		if value, some := c.number(file); some { // without the controller there is no limit
			found[name] = value
		}
	}
	content, _ := c.read("cpu.max")
	var quota, period uint64
	if n, _ := fmt.Sscanf(string(content), "%d %d", &quota, &period); n == 2 && period > 0 {
		found["CPUQuotaPerSecUSec"] = quota * 1_000_000 / period
	}
	cpus, _ := c.read("cpuset.cpus")
	if read, err := limits.Parse([]string{"AllowedCPUs=" + strings.TrimSpace(string(cpus))}); err == nil {
		found["AllowedCPUs"] = read.Values[0].Value
	}
	return found
}

// combine makes one set of limits of those of all sources, outermost first.
func combine(sources []source) bounds {
	var b bounds
	for _, property := range carried {
		var value any
		for _, s := range sources {
			own, ok := s.properties[property.name]
			if !ok || own == property.none || property.how == sibling && !s.sibling {
				continue
			}
			if property.list != nil {
				target := property.list()
				if dbus.Store([]any{own}, target) != nil {
					continue
				}
				own = target
			}
			next, ok := merge(property.how, value, own)
			if !ok {
				continue
			}
			value = next
			if !slices.Contains(b.from, s.name) {
				b.from = append(b.from, s.name)
			}
		}
		if value != nil {
			b.values = append(b.values, limits.Value{Name: property.name, Value: value})
		}
	}
	return b
}

// merge adds a source's own value to that of those outside of it, which may be nil; it
// returns false for one that limits nothing.
func merge(by how, have, own any) (any, bool) {
	switch own := own.(type) {
	case uint64:
		if own == limits.Infinity {
			return nil, false
		}
		if have, ok := have.(uint64); ok && by == smallest {
			return min(have, own), true
		}
		return own, true
	case []byte:
		if !slices.ContainsFunc(own, func(b byte) bool { return b != 0 }) {
			return nil, false
		}
		if have, ok := have.([]byte); ok {
			return intersection(have, own), true
		}
		return own, true
	case *[]ipItem:
		if have, ok := have.([]ipItem); ok {
			return append(have, *own...), len(*own) > 0
		}
		return *own, len(*own) > 0
	case *[]string:
		return *own, len(*own) > 0
	case *[]bindItem:
		return *own, len(*own) > 0
	case *[]deviceItem:
		return *own, len(*own) > 0
	case *[]programItem:
		return *own, len(*own) > 0
	case *[]ioItem:
		have, _ := have.([]ioItem)
		return least(have, *own), len(*own) > 0
	case *interfaces:
		if have, ok := have.(interfaces); ok {
			return have.and(*own), len(own.Names) > 0
		}
		return *own, len(own.Names) > 0
	case string:
		return own, own != ""
	}
	return nil, false
}

// least are the rates of all paths, of each the smallest.
func least(have, own []ioItem) []ioItem {
	for _, item := range own {
		i := slices.IndexFunc(have, func(other ioItem) bool { return other.Path == item.Path })
		if i < 0 {
			have = append(have, item)
		} else {
			have[i].Rate = min(have[i].Rate, item.Rate)
		}
	}
	return have
}

// and are the interfaces that both allow; of two that have none in common they are those of
// the first, for no name at all would be no limit.
func (i interfaces) and(other interfaces) interfaces {
	if !i.Allow && !other.Allow {
		return interfaces{false, append(slices.Clone(i.Names), other.Names...)}
	}
	if !i.Allow {
		i, other = other, i
	}
	both := slices.DeleteFunc(slices.Clone(i.Names), func(name string) bool { return slices.Contains(other.Names, name) != other.Allow })
	if len(both) == 0 {
		return i
	}
	return interfaces{true, both}
}

// intersection is what is in both masks; of two that have nothing in common it is the
// first, for an empty one would be no limit.
func intersection(a, b []byte) []byte {
	both := make([]byte, min(len(a), len(b)))
	some := false
	for i := range both {
		both[i] = a[i] & b[i]
		some = some || both[i] != 0
	}
	if !some {
		return a
	}
	return both
}

// with adds limits that were given to the build. Of a number the smaller one holds, of a
// mask what is in both.
func (b bounds) with(given []limits.Value) bounds {
	all := slices.Clone(b.values)
	for _, want := range given {
		i := slices.IndexFunc(all, func(v limits.Value) bool { return v.Name == want.Name })
		if i < 0 {
			all = append(all, want)
			continue
		}
		by := carried[slices.IndexFunc(carried, func(c carriable) bool { return c.name == want.Name })].how
		if by == sibling {
			by = smallest
		}
		if value, ok := merge(by, all[i].Value, want.Value); ok {
			all[i].Value = value
		}
	}
	return bounds{all, b.from}
}

// describe says which limits a scope has, by who has set them; nil for none.
func (b bounds) describe(granted, asked []limits.Value) *api.Limits {
	if len(b.values)+len(granted)+len(asked) == 0 {
		return nil
	}
	said := &api.Limits{}
	for _, value := range b.values {
		said.Unit, said.Units = append(said.Unit, value.Name), b.from
	}
	for _, value := range granted {
		said.Configuration = append(said.Configuration, value.String())
	}
	for _, value := range asked {
		said.User = append(said.User, value.String())
	}
	return said
}

// host is what percentages are of. What can't be found out limits nothing.
//
// Source: systemd, src/basic/limits-util.c, physical_memory, system_tasks_max.
func (m *Manager) host() limits.Host {
	h := limits.Host{Memory: limits.Infinity, Tasks: limits.Infinity}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.Memory = info.Totalram * uint64(info.Unit)
	}
	for _, name := range []string{"/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"} {
		content, _ := os.ReadFile(name)
		if n, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64); err == nil {
			h.Tasks = min(h.Tasks, n)
		}
	}
	for file, value := range map[string]*uint64{"memory.max": &h.Memory, "pids.max": &h.Tasks} { // in a container
		if n, some := m.root.number(file); some {
			*value = min(*value, n)
		}
	}
	return h
}
