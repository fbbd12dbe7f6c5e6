// Package limits reads the resource limits and deadlines that a user may give a
// build (buildwatchctl run --property, --timeout), the name (--name), and the limits
// that the administrator gives builds ([limits] of the configuration). It owns
// which properties there are, how their values are written, and what systemd is
// then told: typed values, never a string of the user's. It does no I/O and knows
// nothing of systemd's connection.
//
// buildwatchctl and buildwatchd both go through it. The daemon is the wall: it
// runs as root and believes no check that was made elsewhere.
package limits

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Infinity is "no limit", as systemd has it on D-Bus.
//
// Source: systemd, src/shared/cgroup-setup.h, CGROUP_LIMIT_MAX; time-util.h,
// USEC_INFINITY.
const Infinity uint64 = math.MaxUint64

// Value is a property as org.freedesktop.systemd1(5) types it: its D-Bus name
// and a uint64, a uint32 or a []byte.
type Value struct {
	Name  string
	Value any
}

// Limits is what was asked for. The zero value limits nothing.
type Limits struct {
	// Values are to be set on the scope as they are. RuntimeMaxSec is not among
	// them.
	Values []Value
	// RuntimeMax is the build's deadline from its start, 0 for none.
	RuntimeMax time.Duration
}

// property is one that may be given.
type property struct {
	name    string
	allowed string // how its values are written, for people; "" for one that a configuration has not
	doc     string // what it bounds, for people
	read    func(value string) (Value, error)
}

// How values are written.
const (
	aSize   = `a size such as "512M" or "2G", a percentage or "infinity"`
	aQuota  = `a percentage of one CPU above 0, such as "50%" or "200%"`
	aWeight = "a number from 1 to 10000"
	someCPU = `CPUs such as "0-3,6"`
	aNumber = `a number above 0, a percentage or "infinity"`
)

// known are all of them.
var known = []property{
	{"AllowedCPUs", someCPU, "Which CPUs a build may run on", readCPUs},
	{"CPUQuota", aQuota, "How much CPU time a build may use", readQuota},
	{"CPUWeight", aWeight + `, or "idle"`, "A build's share of CPU time beside what else runs in its slice", func(value string) (Value, error) {
		if value == "idle" { // systemd 252
			return Value{"CPUWeight", uint64(0)}, nil
		}
		return readWeight("CPUWeight", value)
	}},
	{"IOWeight", aWeight, "A build's share of I/O beside what else runs in its slice", func(value string) (Value, error) { return readWeight("IOWeight", value) }},
	{"MemoryHigh", aSize, "Above how much memory a build is slowed down, and has memory taken back from it", func(value string) (Value, error) { return readMemory("MemoryHigh", value) }},
	{"MemoryMax", aSize, "How much memory a build may use; of one that needs more, the kernel kills a process", func(value string) (Value, error) { return readMemory("MemoryMax", value) }},
	{"MemorySwapMax", aSize + `, or "0"`, "How much swap a build may use", func(value string) (Value, error) {
		if value == "0" {
			return Value{"MemorySwapMax", uint64(0)}, nil
		}
		return readMemory("MemorySwapMax", value)
	}},
	{"RuntimeMaxSec", "", "", func(value string) (Value, error) {
		span, err := ParseTimespan(value)
		return Value{"RuntimeMaxUSec", span}, err
	}},
	{"TasksMax", aNumber, "How many processes and threads a build may have at the same time; without one systemd's DefaultTasksMax= counts where the container's own scope would have it, and nowhere else", readTasks},
}

// Names lists the properties that may be given.
func Names() []string {
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
	}
	return names
}

// Parse reads properties, each of the form NAME=VALUE and given once. Values are
// written as systemd.resource-control(5) and systemd.time(7) have them. The error
// names the property that is refused, and why.
func Parse(properties []string) (Limits, error) {
	var limits Limits
	var given []string
	for _, one := range properties {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return Limits{}, fmt.Errorf("property %s: not of the form NAME=VALUE", quote(one))
		}
		p, ok := find(name)
		if !ok {
			return Limits{}, fmt.Errorf("property %s is not allowed: those that are, are %s", quote(name), strings.Join(Names(), ", "))
		}
		if slices.Contains(given, name) {
			return Limits{}, fmt.Errorf("property %s is given twice", name)
		}
		given = append(given, name)
		read, err := p.read(value)
		if err != nil {
			return Limits{}, fmt.Errorf("property %s=%s: %w", name, quote(value), err)
		}
		if span, ok := read.Value.(time.Duration); ok {
			limits.RuntimeMax = span // 0 for infinity
			continue
		}
		limits.Values = append(limits.Values, read)
	}
	return limits, nil
}

// find returns the property of that name.
func find(name string) (property, bool) {
	i := slices.IndexFunc(known, func(p property) bool { return p.name == name })
	if i < 0 {
		return property{}, false
	}
	return known[i], true
}

// quote makes what a user has sent fit for a message.
func quote(s string) string {
	const longest = 64
	if len(s) > longest {
		return fmt.Sprintf("%q...", s[:longest])
	}
	return fmt.Sprintf("%q", s)
}

// readMemory reads an amount of memory: bytes, with K, M, G or T to the base
// 1024; a percentage of the installed memory; or infinity.
//
// Source: systemd.resource-control(5), MemoryMax=.
func readMemory(name, value string) (Value, error) {
	if value == "infinity" {
		return Value{name, Infinity}, nil
	}
	if percent, ok := strings.CutSuffix(value, "%"); ok {
		return readScale(name, percent)
	}
	digits, shift := value, 0
	if n := len(value); n > 0 {
		if i := strings.IndexByte("KMGT", value[n-1]); i >= 0 {
			digits, shift = value[:n-1], 10*(i+1)
		}
	}
	amount, err := number(digits)
	if err != nil || amount == 0 || amount > math.MaxInt64>>shift {
		return Value{}, fmt.Errorf("not %s", aSize)
	}
	return Value{name, amount << shift}, nil
}

// readScale reads a share of what the host has, above 0 and up to 100 percent.
//
// Source: systemd, src/core/dbus-cgroup.c: the properties …Scale, of 2^32-1.
func readScale(name, percent string) (Value, error) {
	parts, err := permyriad(percent)
	if err != nil || parts == 0 || parts > 10_000 {
		return Value{}, fmt.Errorf("not a percentage above 0 and up to 100")
	}
	return Value{name + "Scale", uint32((parts*math.MaxUint32 + 5_000) / 10_000)}, nil
}

// permyriad reads a percentage with up to two decimals, without its sign.
func permyriad(percent string) (uint64, error) {
	whole, decimals, has := strings.Cut(percent, ".")
	if len(decimals) > 2 || has && decimals == "" {
		return 0, strconv.ErrSyntax
	}
	n, err := number(whole)
	if err != nil || n > 100_000_000 {
		return 0, strconv.ErrRange
	}
	hundredths, err := number((decimals + "00")[:2])
	return n*100 + hundredths, err
}

// number reads decimal digits and nothing else, no sign among them.
func number(digits string) (uint64, error) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(digits, 10, 64)
}

// readQuota reads CPU time in percent of one CPU; it may be above 100.
//
// Source: systemd.resource-control(5), CPUQuota=.
func readQuota(value string) (Value, error) {
	percent, ok := strings.CutSuffix(value, "%")
	parts, err := permyriad(percent)
	if !ok || err != nil || parts == 0 {
		return Value{}, fmt.Errorf("not %s", aQuota)
	}
	return Value{"CPUQuotaPerSecUSec", parts * 100}, nil
}

func readWeight(name, value string) (Value, error) {
	weight, err := number(value)
	if err != nil || weight < 1 || weight > 10_000 {
		return Value{}, fmt.Errorf("not %s", aWeight)
	}
	return Value{name, weight}, nil
}

func readTasks(value string) (Value, error) {
	if value == "infinity" {
		return Value{"TasksMax", Infinity}, nil
	}
	if percent, ok := strings.CutSuffix(value, "%"); ok {
		return readScale("TasksMax", percent)
	}
	tasks, err := number(value)
	if err != nil || tasks == 0 || tasks > math.MaxInt64 {
		return Value{}, fmt.Errorf("not %s", aNumber)
	}
	return Value{"TasksMax", tasks}, nil
}

// maxCPU is the highest CPU that a kernel can have.
//
// Source: linux, arch/x86/Kconfig, NR_CPUS_RANGE_END.
const maxCPU = 8191

// readCPUs reads CPUs and ranges of CPUs, with commas or spaces between. On
// D-Bus they are a mask, its lowest byte first.
//
// Source: systemd.resource-control(5), AllowedCPUs=; systemd,
// src/shared/cpu-set-util.c, cpu_set_from_dbus.
func readCPUs(value string) (Value, error) {
	bad := fmt.Errorf("not %s, from 0 to %d", someCPU, maxCPU)
	var mask []byte
	fields := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	for _, field := range fields {
		low, high, isRange := strings.Cut(field, "-")
		if !isRange {
			high = low
		}
		first, err := number(low)
		last, err2 := number(high)
		if err != nil || err2 != nil || first > last || last > maxCPU {
			return Value{}, bad
		}
		for cpu := first; cpu <= last; cpu++ {
			for uint64(len(mask)) <= cpu/8 {
				mask = append(mask, 0)
			}
			mask[cpu/8] |= 1 << (cpu % 8)
		}
	}
	if mask == nil {
		return Value{}, bad
	}
	return Value{"AllowedCPUs", mask}, nil
}
