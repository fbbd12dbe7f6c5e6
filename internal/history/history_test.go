package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

func sample() api.Ended {
	by := uint32(0)
	return api.Ended{
		ID: "k3v9abcd", Name: "nightly", Reason: api.ReasonStopped, AskedBy: &by, User: api.User{UID: 1000, Name: "alice"},
		Command: "podman build", OwnerPID: 42, OwnerUnit: "gitlab-runner.service", Mode: api.ModeLocal, Placement: api.PlacementScope,
		Arch: []string{"aarch64", "arm"}, Scope: "buildwatch-k3v9abcd.scope",
		CreatedAt: time.Date(2026, 11, 27, 20, 0, 0, 1000, time.UTC), EndedAt: time.Date(2026, 11, 27, 20, 1, 12, 0, time.UTC),
		DurationSeconds: 72, EndingSeconds: 0.25, CPUSeconds: 12.345, MemoryPeakBytes: 1 << 31, OOMKills: 2,
		ProcessesEnded: map[string]int{"aarch64": 5, api.NativeArch: 1},
		Rungs: []api.EndedRung{
			{Rung: "kill", Duration: api.Seconds(4 * time.Millisecond)}, {Rung: "owner", Duration: api.Seconds(1500 * time.Millisecond), Survivors: 2, TimedOut: true}, {Rung: "stop", Duration: api.Seconds(100 * time.Millisecond), Survivors: 1},
		},
		Survivors: 1,
	}
}

// export is an entry as journalctl --output=export prints it.
func export(all map[string]string) string {
	var b strings.Builder
	b.WriteString("__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1764278472000000\n_BOOT_ID=x\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s%s=%s\n", prefix, name, all[name])
	}
	return b.String() + "\n"
}

func read(t *testing.T, text string) []api.Ended {
	t.Helper()
	var all []api.Ended
	if err := decode(strings.NewReader(text), func(e api.Ended) error { all = append(all, e); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	least := blank()
	least.ID, least.Reason, least.CreatedAt = "a", api.ReasonCompleted, time.Unix(1, 0).UTC()
	got := read(t, export(Fields(sample()))+export(Fields(least)))
	if want := []api.Ended{sample(), least}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestEveryFactIsInTheEntry: what is added to the document is added to the entry.
func TestEveryFactIsInTheEntry(t *testing.T) {
	full, _ := read(t, export(Fields(sample()))), 0
	v := reflect.ValueOf(full[0])
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name == "Reclaimed" {
			continue // has an entry of its own
		}
		if v.Field(i).IsZero() {
			t.Errorf("%s is not in the entry, or not in the sample", v.Type().Field(i).Name)
		}
	}
}

func TestEntriesOfLaterVersionsAndOthers(t *testing.T) {
	good := export(Fields(sample()))
	binaryField := "BUILDWATCH_NAME\n" + string(binary.LittleEndian.AppendUint64(nil, 3)) + "a\nb\n"
	for name, test := range map[string]struct {
		text string
		want int
	}{
		"nothing":              {"", 0},
		"no end":               {strings.TrimSuffix(good, "\n\n"), 1},
		"an unknown field":     {"BUILDWATCH_FUTURE=1\n" + good, 1},
		"a number that is not": {strings.Replace(good, "SURVIVORS=1", "SURVIVORS=one", 1) + good, 1},
		"without an ID":        {"BUILDWATCH_NAME=x\n\n" + good, 1},
		"no text":              {binaryField + good, 1},
	} {
		if got := read(t, test.text); len(got) != test.want {
			t.Errorf("%s: %d entries, want %d", name, len(got), test.want)
		}
	}
	for name, text := range map[string]string{
		"a line without end": "X=" + strings.Repeat("x", 1<<17),
		"an endless value":   "X\n" + string(binary.LittleEndian.AppendUint64(nil, 1<<40)),
	} {
		if err := decode(strings.NewReader(text), func(api.Ended) error { return nil }); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	enough := errors.New("enough")
	if err := decode(strings.NewReader(good+good), func(api.Ended) error { return enough }); err != enough {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(export(Fields(sample()))))
	f.Add([]byte("BUILDWATCH_ID\n\x01\x00\x00\x00\x00\x00\x00\x00a\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_ = decode(bytes.NewReader(text), func(e api.Ended) error {
			if e.ID == "" {
				t.Error("a build without an ID")
			}
			return nil
		})
	})
}

func TestBuildInTwoJournalsIsToldOfOnce(t *testing.T) {
	told := 0
	each := onceEach(func(api.Ended) error { told++; return nil })
	other := sample()
	other.CreatedAt = other.CreatedAt.Add(time.Hour) // the ID is used again
	for _, e := range []api.Ended{sample(), sample(), other} {
		if err := each(e); err != nil {
			t.Fatal(err)
		}
	}
	if told != 2 {
		t.Errorf("told of %d", told)
	}
}

// TestWhatBecameOfStorageIsAddedToItsBuild: the last of its entries says all.
func TestWhatBecameOfStorageIsAddedToItsBuild(t *testing.T) {
	first := api.Reclaimed{Removed: 2, Left: 1, Bytes: 4096, Duration: api.Seconds(250 * time.Millisecond), Why: "1 used by a process"}
	last := api.Reclaimed{Removed: 3, Bytes: 8192, Duration: api.Seconds(500 * time.Millisecond)}
	read := func(_ context.Context, q Query, each func(api.Ended) error) error {
		if !q.Storage || q.Last != 0 || q.Until != "" {
			t.Errorf("asked is %+v", q)
		}
		return decode(strings.NewReader(export(StorageFields("a", 1000, first))+export(StorageFields("k3v9abcd", 1000, first))+export(StorageFields("k3v9abcd", 1000, last))), each)
	}
	all := []api.Ended{sample(), {ID: "other"}}
	if err := AddStorage(context.Background(), Query{Last: 2, Until: "yesterday"}, read, all); err != nil {
		t.Fatal(err)
	}
	if all[0].Reclaimed == nil || *all[0].Reclaimed != last || all[1].Reclaimed != nil {
		t.Errorf("%+v", all)
	}
}

// TestUsersAskForTheirOwn, and nobody believes an entry that the daemon has not written.
func TestUsersAskForTheirOwn(t *testing.T) {
	for _, test := range []struct {
		q          Query
		with, none []string
	}{
		{Query{}, []string{"_UID=0"}, []string{"BUILDWATCH_UID=0", "--follow"}},
		{Query{UID: 1000, ID: "k3v9"}, []string{"BUILDWATCH_UID=1000", "BUILDWATCH_ID=k3v9"}, []string{"_UID=0"}},
		{Query{Last: 5, Since: "yesterday"}, []string{"--since=yesterday"}, []string{"--lines=10"}},
		{Query{Last: 5}, []string{"--lines=10"}, nil},
		{Query{Follow: true}, []string{"--lines=all", "--follow"}, nil},
	} {
		args := test.q.arguments()
		for _, want := range append(test.with, "MESSAGE_ID="+api.EndedMessageID, "_SYSTEMD_UNIT=buildwatchd.service") {
			if !slices.Contains(args, want) {
				t.Errorf("%+v: %q has no %s", test.q, args, want)
			}
		}
		for _, not := range test.none {
			if slices.Contains(args, not) {
				t.Errorf("%+v: %q has %s", test.q, args, not)
			}
		}
	}
}

func TestSentenceSaysWhoAndWhy(t *testing.T) {
	e := sample()
	if got, want := Sentence(e), "Build k3v9abcd is gone (stopped) after 1m12s: root asked for it. 6 of its processes were ended in 250ms; 1 outlived SIGKILL until the kernel let go of them"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.Reason = api.ReasonCompleted
	if got, want := Sentence(e), "Build k3v9abcd completed after 1m12s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	other := uint32(1001)
	e.Reason, e.AskedBy = api.ReasonStopped, &other
	if got := Why(e); got != "UID 1001 asked for it" {
		t.Error(got)
	}
	for _, reason := range api.Reasons() {
		if e.Reason = reason; (Why(e) == "") != (reason == api.ReasonCompleted) {
			t.Errorf("%s: %q", reason, Why(e))
		}
	}
}
