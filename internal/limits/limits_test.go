package limits

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPropertiesAreReadAsSystemdWritesThem(t *testing.T) {
	for _, row := range []struct {
		property string
		name     string // on D-Bus
		value    any
	}{
		{"MemoryMax=1", "MemoryMax", uint64(1)},
		{"MemoryMax=512M", "MemoryMax", uint64(512 << 20)},
		{"MemoryMax=2G", "MemoryMax", uint64(2 << 30)},
		{"MemoryMax=1T", "MemoryMax", uint64(1 << 40)},
		{"MemoryMax=infinity", "MemoryMax", Infinity},
		{"MemoryMax=100%", "MemoryMaxScale", uint32(1<<32 - 1)},
		{"MemoryHigh=64K", "MemoryHigh", uint64(64 << 10)},
		{"MemoryHigh=50%", "MemoryHighScale", uint32(1 << 31)},
		{"CPUQuota=50%", "CPUQuotaPerSecUSec", uint64(500_000)},
		{"CPUQuota=250%", "CPUQuotaPerSecUSec", uint64(2_500_000)},
		{"CPUQuota=0.5%", "CPUQuotaPerSecUSec", uint64(5_000)},
		{"CPUWeight=1", "CPUWeight", uint64(1)},
		{"CPUWeight=10000", "CPUWeight", uint64(10_000)},
		{"CPUWeight=idle", "CPUWeight", uint64(0)},
		{"IOWeight=100", "IOWeight", uint64(100)},
		{"MemorySwapMax=0", "MemorySwapMax", uint64(0)},
		{"MemorySwapMax=1G", "MemorySwapMax", uint64(1 << 30)},
		{"TasksMax=500", "TasksMax", uint64(500)},
		{"TasksMax=infinity", "TasksMax", Infinity},
		{"TasksMax=10%", "TasksMaxScale", uint32(429496730)},
		{"AllowedCPUs=0", "AllowedCPUs", []byte{1}},
		{"AllowedCPUs=0-3,9", "AllowedCPUs", []byte{0x0f, 0x02}},
		{"AllowedCPUs=1 8-9", "AllowedCPUs", []byte{0x02, 0x03}},
	} {
		got, err := Parse([]string{row.property})
		want := Limits{Values: []Value{{row.name, row.value}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", row.property, got, err, want)
		}
	}
	got, err := Parse([]string{"RuntimeMaxSec=90", "TasksMax=7"})
	if err != nil || got.RuntimeMax != 90*time.Second || len(got.Values) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := Parse(nil); err != nil || !reflect.DeepEqual(got, Limits{}) {
		t.Errorf("none: %v, %v", got, err)
	}
}

func TestEverythingElseIsRefusedByName(t *testing.T) {
	for property, why := range map[string]string{
		// What would reach out of the build.
		"Conflicts=sshd.service":  `"Conflicts" is not allowed`,
		"OnFailure=x.service":     `"OnFailure" is not allowed`,
		"SuccessAction=poweroff":  `"SuccessAction" is not allowed`,
		"Slice=system.slice":      `"Slice" is not allowed`,
		"PIDs=1":                  `"PIDs" is not allowed`,
		"Delegate=no":             `"Delegate" is not allowed`,
		"RuntimeMaxUSec=1":        `"RuntimeMaxUSec" is not allowed`,
		"MemoryMaxScale=1":        `"MemoryMaxScale" is not allowed`,
		"memorymax=1G":            `"memorymax" is not allowed`,
		"MemoryMax\n=1G":          `"MemoryMax\n" is not allowed`,
		" MemoryMax=1G":           `" MemoryMax" is not allowed`,
		"=1G":                     `"" is not allowed`,
		"":                        `not of the form`,
		"MemoryMax":               `not of the form`,
		strings.Repeat("x", 9999): `not of the form`,

		"MemoryMax=":                     "MemoryMax",
		"MemoryMax=0":                    "MemoryMax",
		"MemoryMax=0%":                   "MemoryMax",
		"MemoryMax=101%":                 "MemoryMax",
		"MemoryMax=-1":                   "MemoryMax",
		"MemoryMax=+1":                   "MemoryMax",
		"MemoryMax=1g":                   "MemoryMax",
		"MemoryMax=1GB":                  "MemoryMax",
		"MemoryMax=1 G":                  "MemoryMax",
		"MemoryMax=1G\n":                 "MemoryMax",
		"MemoryMax=1G\nSlice=x":          "MemoryMax",
		"MemoryMax=0x10":                 "MemoryMax",
		"MemoryMax=9999999T":             "MemoryMax",
		"MemoryMax=99999999999999999999": "MemoryMax",
		"MemoryMax=G":                    "MemoryMax",
		"MemoryHigh=none":                "MemoryHigh",
		"CPUQuota=50":                    "CPUQuota",
		"CPUQuota=0%":                    "CPUQuota",
		"CPUQuota=%":                     "CPUQuota",
		"CPUQuota=infinity":              "CPUQuota",
		"CPUQuota=1.234%":                "CPUQuota",
		"CPUQuota=1.%":                   "CPUQuota",
		"CPUWeight=0":                    "CPUWeight",
		"CPUWeight=10001":                "CPUWeight",
		"IOWeight=idle":                  "IOWeight",
		"IOWeight=/dev/sda 100":          "IOWeight",
		"TasksMax=0":                     "TasksMax",
		"TasksMax=1.5":                   "TasksMax",
		"AllowedCPUs=":                   "AllowedCPUs",
		"AllowedCPUs=,":                  "AllowedCPUs",
		"AllowedCPUs=3-1":                "AllowedCPUs",
		"AllowedCPUs=8192":               "AllowedCPUs",
		"AllowedCPUs=0-99999999":         "AllowedCPUs",
		"AllowedCPUs=a":                  "AllowedCPUs",
		"AllowedCPUs=1-":                 "AllowedCPUs",
		"RuntimeMaxSec=0":                "RuntimeMaxSec",
		"RuntimeMaxSec=-5":               "RuntimeMaxSec",
		"RuntimeMaxSec=tomorrow":         "RuntimeMaxSec",
	} {
		got, err := Parse([]string{property})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, %v; want an error with %q", property, got, err, why)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400) {
			t.Errorf("%q: the error is no short line: %q", property, err)
		}
	}
	if _, err := Parse([]string{"TasksMax=1", "TasksMax=2"}); err == nil || !strings.Contains(err.Error(), "TasksMax is given twice") {
		t.Errorf("twice: %v", err)
	}
}

func TestTimespansAreSystemds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90":            90 * time.Second,
		"2h":            2 * time.Hour,
		"2hours":        2 * time.Hour,
		"48hr":          48 * time.Hour,
		"1y 12month":    31_557_600*time.Second + 12*2_629_800*time.Second,
		"55s500ms":      55500 * time.Millisecond,
		"300ms20s 5day": 5*day + 20300*time.Millisecond,
		"1.5h":          90 * time.Minute,
		"1min 30":       90 * time.Second,
		" 3 s ":         3 * time.Second,
		"1µs":           time.Microsecond,
		"infinity":      0,
	} {
		if got, err := ParseTimespan(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "0", "0s", "0.0000001s", "-1", "+1", "1.", ".", ".5s", "1x", "s", "1e3", "1,5", "99999999999999999999", "11y", "6y 6y", "infinity s", "1s\n"} {
		if got, err := ParseTimespan(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestNamesAreSafe(t *testing.T) {
	for _, name := range []string{"a", "0", "nightly-2026.11.25+rc_1", strings.Repeat("x", MaxName)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", MaxName+1), strings.Repeat("x", 300), "../x", ".x", "-x", "a/b", "a b",
		"a@b.service", `\x2d`, "a\x00", "\x00", "a\nb", "a\x1b[2J", "a\u202eb", "ä", "a%n", "\xff"} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q is taken for a name", name)
		} else if strings.ContainsAny(err.Error(), "\n\x1b\x00\u202e") || !utf8.ValidString(err.Error()) {
			t.Errorf("%q: the error is not fit to be shown: %q", name, err)
		}
	}
}

// FuzzParse: whatever is given, what comes out is of the listed kinds, and has
// nothing of the text in it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"MemoryMax=1G", "MemoryHigh=50%", "CPUQuota=33.33%", "CPUWeight=idle", "TasksMax=infinity", "IOWeight=1",
		"RuntimeMaxSec=1h 30min", "AllowedCPUs=0-3,5 7", "Conflicts=sshd.service", "MemoryMax=1G\nSlice=x", "=", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse([]string{text})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00\x1b") || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %q is no line", text, err)
			}
			return
		}
		if got.RuntimeMax < 0 || got.RuntimeMax > MaxTimespan || len(got.Values) > 1 {
			t.Errorf("%q: %v", text, got)
		}
		names := []string{"MemoryMax", "MemoryMaxScale", "MemorySwapMax", "MemorySwapMaxScale", "MemoryHigh", "MemoryHighScale", "CPUQuotaPerSecUSec", "CPUWeight", "TasksMax", "TasksMaxScale", "IOWeight", "AllowedCPUs"}
		for _, v := range got.Values {
			listed := false
			for _, name := range names {
				listed = listed || v.Name == name
			}
			switch value := v.Value.(type) {
			case uint64, uint32:
			case []byte:
				listed = listed && len(value) <= (maxCPU+1)/8
			default:
				listed = false
			}
			if !listed {
				t.Errorf("%q: %v", text, v)
			}
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"nightly", "../x", "a@b.service", `\x2d`, "", "\x00", "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) == nil && (len(name) > MaxName || strings.ContainsAny(name, "/\\@% \n\x00:") || name[0] == '.' || name[0] == '-') {
			t.Errorf("%q is taken for a name", name)
		}
	})
}
