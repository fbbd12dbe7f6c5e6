package machine

import (
	"slices"
	"strings"
	"testing"
)

func TestParseMountinfo(t *testing.T) {
	const text = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw
52 23 8:1 /a /mnt/with\040space\134 rw - ext4 /dev/sda1 rw
`
	got, err := parseMountinfo(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []mount{
		{"/sys/fs/cgroup", "tmpfs"},
		{"/sys/fs/cgroup/unified", "cgroup2"},
		{`/mnt/with space\`, "ext4"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parseMountinfo(strings.NewReader("31 23 0:28 /\n")); err == nil {
		t.Error("half a line is taken for a mount")
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add("31 23 0:28 / /a\\04 rw - tmpfs tmpfs rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMountinfo(strings.NewReader(text))
		if err != nil {
			return
		}
		if lines := len(slices.Collect(strings.Lines(text))); len(mounts) != lines {
			t.Errorf("%d lines are %d mounts", lines, len(mounts))
		}
		for _, m := range mounts {
			if m.Point == "" || m.Type == "" || !strings.Contains(text, m.Type) {
				t.Errorf("there is a mount %+v", m)
			}
		}
	})
}
