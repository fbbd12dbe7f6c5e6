package limits

import (
	"reflect"
	"testing"
)

func TestTheNearestGrantHolds(t *testing.T) {
	g := Grants{
		All:  Properties{"MemoryMax": "1G", "TasksMax": "100", "CPUQuota": "50%"},
		Mode: map[string]Properties{"api": {"MemoryMax": "2G", "TasksMax": ""}},
		User: map[string]Properties{"ci": {"MemoryMax": "8G", "CPUQuota": ""}, "1001": {"IOWeight": "7"}, "": {"TasksMax": "1"}},
	}
	memory := func(g uint64) Value { return Value{"MemoryMax", g << 30} }
	half, hundred := Value{"CPUQuotaPerSecUSec", uint64(500_000)}, Value{"TasksMax", uint64(100)}
	for _, row := range []struct {
		uid        uint32
		user, mode string
		want       []Value
	}{
		{0, "root", "local", []Value{half, memory(1), hundred}},
		{0, "root", "api", []Value{half, memory(2)}},
		{1000, "ci", "api", []Value{memory(8)}},
		{1000, "ci", "local", []Value{memory(8), hundred}},
		{1001, "", "run", []Value{half, {"IOWeight", uint64(7)}, memory(1), hundred}},
	} {
		if got := g.For(row.uid, row.user, row.mode); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%+v: %v", row, got)
		}
	}
	if got := (Grants{}).For(0, "root", "local"); got != nil {
		t.Errorf("nothing is %v", got)
	}
}

func TestWhatMayBeGranted(t *testing.T) {
	for _, name := range Grantable() {
		if Check(name, "") != nil || Check(name, "x") == nil || Describe(name) == "" {
			t.Errorf("%s: %v, %v, %q", name, Check(name, ""), Check(name, "x"), Describe(name))
		}
	}
	if len(Grantable()) != len(Names())-1 || Allowed("RuntimeMaxSec") != "" {
		t.Errorf("%v", Grantable())
	}
}

func TestPercentagesAreOfTheHost(t *testing.T) {
	read, err := Parse([]string{"MemoryMax=50%", "MemoryHigh=1M", "TasksMax=10%", "MemorySwapMax=0.01%"})
	if err != nil {
		t.Fatal(err)
	}
	got := Host{Memory: 8 << 30, Tasks: 4096}.Absolute(read.Values)
	want := []Value{{"MemoryMax", uint64(4<<30 + 1)}, {"MemoryHigh", uint64(1 << 20)}, {"TasksMax", uint64(409)}, {"MemorySwapMax", uint64(858994)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (Host{}).Absolute([]Value{{"TasksMaxScale", uint32(1)}}); got[0].Value != uint64(1) {
		t.Errorf("%v", got)
	}
}

// What is told of a scope's limits is what one would write.
func TestValuesAreShownAsTheyAreWritten(t *testing.T) {
	for _, written := range []string{
		"MemoryMax=512M", "MemoryMax=1000", "MemoryHigh=3G", "MemoryMax=infinity", "CPUQuota=150%", "CPUQuota=0.5%", "TasksMax=7",
		"AllowedCPUs=0,3,9", "IOWeight=10", "MemorySwapMax=0",
	} {
		read, err := Parse([]string{written})
		if err != nil || read.Values[0].String() != written {
			t.Errorf("%s: %s, %v", written, read.Values[0], err)
		}
	}
}
