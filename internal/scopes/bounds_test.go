package scopes

import (
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// TestWhichUnitsNoLongerHoldTheBuild: those between the place where the runtime would
// make the container and what is above the scope as well.
func TestWhichUnitsNoLongerHoldTheBuild(t *testing.T) {
	for _, test := range []struct {
		slice, beside string
		units, inside []string
	}{
		{"system.slice", "/system.slice/ci.service", []string{"ci.service"}, nil},
		{"system.slice", "/system.slice/ci.service/job/sub", []string{"ci.service"}, []string{"/system.slice/ci.service/job", "/system.slice/ci.service/job/sub"}},
		{"system.slice", "/system.slice/system-ci.slice/ci@1.service", []string{"system-ci.slice", "ci@1.service"}, nil},
		{"user-1000.slice", "/user.slice/user-1000.slice/user@1000.service/app.slice", []string{"user@1000.service"}, []string{"/user.slice/user-1000.slice/user@1000.service/app.slice"}},
		{"user-1000.slice", "/user.slice/user-1000.slice/session-2.scope", []string{"session-2.scope"}, nil},
		{"user-1000.slice", "/user.slice/user-0.slice/session-1.scope", []string{"user-0.slice", "session-1.scope"}, nil},
		{"system.slice", "/ci.slice/ci-jobs.slice/job.service", []string{"ci.slice", "ci-jobs.slice", "job.service"}, nil},
		{"system.slice", "/_cpu.service", []string{"cpu.service"}, nil},
		{"system.slice", "/docker/0123", nil, nil},
		{"system.slice", "/", nil, nil},
	} {
		if units, inside := lost(slicePath(test.slice), test.beside); !slices.Equal(units, test.units) || !slices.Equal(inside, test.inside) {
			t.Errorf("%s beside %s: units %q, inside %q", test.slice, test.beside, units, inside)
		}
	}
}

func TestSlicesPath(t *testing.T) {
	for slice, want := range map[string]string{
		"system.slice": "/system.slice", "user-1000.slice": "/user.slice/user-1000.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice",
	} {
		if got := slicePath(slice); got != want {
			t.Errorf("%s is at %s", slice, got)
		}
	}
}

// TestLimitsOfAllUnitsAreCombined: of each property as it works on a unit below others.
func TestLimitsOfAllUnitsAreCombined(t *testing.T) {
	item := func(last byte) []any { return []any{int32(2), []byte{10, 0, 0, last}, uint32(32)} }
	outer := source{"ci.slice", map[string]any{
		"MemoryMax": uint64(500), "TasksMax": limits.Infinity, "CPUQuotaPerSecUSec": uint64(100), "AllowedCPUs": []byte{0b0111}, "CPUWeight": uint64(10),
		"IPAddressDeny": [][]any{item(1)}, "DevicePolicy": "closed", "DeviceAllow": [][]any{}, "Description": "ci", "AllowedMemoryNodes": []byte{},
		"RestrictNetworkInterfaces": []any{true, []string{"lo", "eth0"}}, "IOReadBandwidthMax": [][]any{{"/dev/sda", uint64(5)}, {"/dev/sdb", uint64(9)}},
		"MemoryZSwapMax": uint64(9),
	}, false}
	inner := source{"job.service", map[string]any{
		"MemoryMax": uint64(800), "MemoryHigh": uint64(300), "TasksMax": uint64(20), "CPUQuotaPerSecUSec": uint64(70), "AllowedCPUs": []byte{0b1101, 1},
		"IPAddressDeny": [][]any{item(2)}, "IPAddressAllow": [][]any{}, "DevicePolicy": "auto", "CPUWeight": uint64(20),
		"RestrictNetworkInterfaces": []any{true, []string{"lo", "eth1"}}, "BPFProgram": [][]any{{"egress", "/sys/fs/bpf/y"}}, "SocketBindDeny": [][]any{{int32(2), int32(6), uint16(1), uint16(80)}},
		"IOReadBandwidthMax": [][]any{{"/dev/sda", uint64(7)}}, "DeviceAllow": [][]any{{"/dev/fuse", "rw"}}, "IPIngressFilterPath": []string{"/sys/fs/bpf/x"},
	}, false}
	got := map[string]any{}
	b := combine([]source{outer, inner})
	for _, value := range b.values {
		got[value.Name] = value.Value
	}
	want := map[string]any{
		"MemoryMax": uint64(500), "MemoryHigh": uint64(300), "TasksMax": uint64(20), "CPUQuotaPerSecUSec": uint64(70), "AllowedCPUs": []byte{0b0101},
		"IPAddressDeny": []ipItem{{2, []byte{10, 0, 0, 1}, 32}, {2, []byte{10, 0, 0, 2}, 32}},
		"DevicePolicy":  "closed", "DeviceAllow": []deviceItem{{"/dev/fuse", "rw"}}, "RestrictNetworkInterfaces": interfaces{true, []string{"lo"}},
		"SocketBindDeny": []bindItem{{2, 6, 1, 80}}, "IOReadBandwidthMax": []ioItem{{"/dev/sda", 5}, {"/dev/sdb", 9}}, "MemoryZSwapMax": uint64(9), "BPFProgram": []programItem{{"egress", "/sys/fs/bpf/y"}}, "IPIngressFilterPath": []string{"/sys/fs/bpf/x"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if said := b.describe(nil, nil); !slices.Contains(said.Unit, "MemoryMax") || !slices.Equal(said.Units, []string{"ci.slice", "job.service"}) {
		t.Errorf("says %+v", said)
	}
	if none := combine([]source{{"a.service", map[string]any{"TasksMax": limits.Infinity, "IPAddressDeny": [][]any{}}, true}}).describe(nil, nil); none != nil {
		t.Errorf("says %+v of nothing", none)
	}
	// A share among siblings means something beside one of them only.
	inner.sibling = true
	b = combine([]source{inner})
	if !slices.ContainsFunc(b.values, func(v limits.Value) bool { return v.Name == "CPUWeight" && v.Value == uint64(20) }) {
		t.Errorf("the weight of a unit beside the scope is lost: %v", b.values)
	}
}

// TestInterfacesThatAllUnitsAllow.
func TestInterfacesThatAllUnitsAllow(t *testing.T) {
	allowed := func(names ...string) interfaces { return interfaces{true, names} }
	denied := func(names ...string) interfaces { return interfaces{false, names} }
	for _, row := range []struct{ outer, inner, want interfaces }{
		{allowed("a", "b"), allowed("b", "c"), allowed("b")},
		{allowed("a", "b"), denied("b", "c"), allowed("a")},
		{denied("b", "c"), allowed("a", "b"), allowed("a")},
		{denied("a"), denied("b"), denied("a", "b")},
		{allowed("a"), allowed("b"), allowed("a")},
		{denied("a"), allowed("a"), allowed("a")},
	} {
		if got := row.outer.and(row.inner); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%v and %v: %v", row.outer, row.inner, got)
		}
	}
}

// TestLimitsThatAreAskedForHoldAsWell, and undo none that holds anyway.
func TestLimitsThatAreAskedForHoldAsWell(t *testing.T) {
	b := bounds{values: []limits.Value{
		{Name: "MemoryMax", Value: uint64(500)}, {Name: "TasksMax", Value: uint64(20)}, {Name: "AllowedCPUs", Value: []byte{0b011}}, {Name: "CPUWeight", Value: uint64(20)},
	}}
	got := map[string]any{}
	for _, value := range b.with([]limits.Value{
		{Name: "MemoryMax", Value: uint64(900)}, {Name: "TasksMax", Value: uint64(10)}, {Name: "AllowedCPUs", Value: []byte{0b100}},
		{Name: "CPUWeight", Value: uint64(30)}, {Name: "MemoryHigh", Value: limits.Infinity},
	}).values {
		got[value.Name] = value.Value
	}
	want := map[string]any{
		"MemoryMax": uint64(500), "TasksMax": uint64(10), "AllowedCPUs": []byte{0b011}, "CPUWeight": uint64(20), "MemoryHigh": limits.Infinity,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestScopeOfASystemServicesBuildIsInTheSystemSlice(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base, "user.slice/user-1000.slice")
	m := &Manager{root: openDir(t, base)}
	for beside, want := range map[string]string{
		"": "user-1000.slice", "/user.slice/user-1000.slice/session-1.scope": "user-1000.slice", "/ci.slice/a.service": "user-1000.slice",
		"/system.slice/ci.service": "system.slice", "/system.slice": "user-1000.slice",
	} {
		if got := m.sliceFor(Spec{UID: 1000, Beside: beside}); got != want {
			t.Errorf("beside %q: %s", beside, got)
		}
	}
}

// TestLimitsOfACgroup that is no unit of the system's manager: without controllers, as
// here, it has none.
func TestLimitsOfACgroup(t *testing.T) {
	base := t.TempDir()
	makeDirs(t, base, "c", "none")
	c := openDir(t, base)
	for file, content := range map[string]string{"memory.max": "max\n", "memory.high": "4096\n", "pids.max": "7\n", "cpu.max": "50000 100000\n", "cpuset.cpus": "0-1,9\n"} {
		writeFile(t, base+"/c/"+file, content)
	}
	for name, want := range map[string]map[string]any{
		"c": {"MemoryHigh": uint64(4096), "TasksMax": uint64(7), "CPUQuotaPerSecUSec": uint64(500_000), "AllowedCPUs": []byte{3, 2}}, "none": {},
	} {
		sub, err := c.sub(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sub.limits(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		sub.close()
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyGetsMoreThanWasGranted: of what the caller's unit, the configuration and the
// user say, the smallest holds; and what is told names each.
func TestNobodyGetsMoreThanWasGranted(t *testing.T) {
	read := func(written ...string) []limits.Value {
		l, err := limits.Parse(written)
		if err != nil {
			t.Fatal(err)
		}
		return limits.Host{Memory: 8 << 30, Tasks: 1000}.Absolute(l.Values)
	}
	unit := combine([]source{{"ci.slice", map[string]any{"MemoryMax": uint64(3 << 30), "TasksMax": uint64(50)}, false}})
	granted, asked := read("CPUQuota=50%", "IOWeight=10", "MemoryMax=4G", "TasksMax=20"), read("IOWeight=5000", "MemoryMax=25%", "TasksMax=infinity")
	var got []string
	for _, v := range unit.with(granted).with(asked).values {
		got = append(got, v.String())
	}
	if want := []string{"MemoryMax=2G", "TasksMax=20", "CPUQuota=50%", "IOWeight=10"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	said := unit.describe(granted, asked)
	want := &api.Limits{
		Configuration: []string{"CPUQuota=50%", "IOWeight=10", "MemoryMax=4G", "TasksMax=20"}, User: []string{"IOWeight=5000", "MemoryMax=2G", "TasksMax=infinity"},
		Unit: []string{"MemoryMax", "TasksMax"}, Units: []string{"ci.slice"},
	}
	if !reflect.DeepEqual(said, want) {
		t.Errorf("said is %+v", said)
	}
}
