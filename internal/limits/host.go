package limits

import (
	"fmt"
	"strconv"
	"strings"
)

// Host is what percentages are of.
type Host struct {
	Memory uint64 // bytes
	Tasks  uint64 // processes and threads
}

// Absolute returns the values with numbers in the place of percentages, so that they
// can be compared with others.
//
// Source: systemd, src/basic/limits-util.c, physical_memory_scale,
// system_tasks_max_scale; src/core/dbus-cgroup.c for the properties ...Scale.
func (h Host) Absolute(values []Value) []Value {
	var all []Value
	for _, v := range values {
		share, isShare := v.Value.(uint32)
		if !isShare {
			all = append(all, v)
			continue
		}
		name, whole := v.Name[:len(v.Name)-len("Scale")], h.Memory
		if name == "TasksMax" {
			whole = h.Tasks
		}
		// Less than one is not none at all, which would be no build.
		all = append(all, Value{name, max(scale(whole, share), 1)})
	}
	return all
}

// scale is share/(2^32-1) of the whole, without overflow.
func scale(whole uint64, share uint32) uint64 {
	const most = 1<<32 - 1
	return whole/most*uint64(share) + whole%most*uint64(share)/most
}

// String is the value as it is written, with its property.
func (v Value) String() string {
	switch value := v.Value.(type) {
	case uint64:
		switch {
		case v.Name == "CPUQuotaPerSecUSec":
			return "CPUQuota=" + strconv.FormatFloat(float64(value)/10_000, 'f', -1, 64) + "%"
		case value == Infinity:
			return v.Name + "=infinity"
		case strings.HasPrefix(v.Name, "Memory"):
			return v.Name + "=" + Size(value)
		}
	case []byte:
		var cpus []string
		for i, b := range value {
			for bit := range 8 {
				if b&(1<<bit) != 0 {
					cpus = append(cpus, strconv.Itoa(i*8+bit))
				}
			}
		}
		return v.Name + "=" + strings.Join(cpus, ",")
	}
	return fmt.Sprintf("%s=%v", v.Name, v.Value)
}

// Rounded is about a number of bytes, for people.
func Rounded(bytes uint64) string {
	const units = "BKMGT"
	amount, i := float64(bytes), 0
	for ; amount >= 1024 && i < len(units)-1; i++ {
		amount /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%dB", bytes)
	}
	return fmt.Sprintf("%.1f%c", amount, units[i])
}

// Size is a number of bytes as systemd writes it, with no digit lost.
func Size(bytes uint64) string {
	for i, unit := range []string{"T", "G", "M", "K"} {
		if shift := 10 * (4 - i); bytes > 0 && bytes%(1<<shift) == 0 {
			return strconv.FormatUint(bytes>>shift, 10) + unit
		}
	}
	return strconv.FormatUint(bytes, 10)
}
