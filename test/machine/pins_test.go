package machine

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestPackageVersionsAreThoseThatMatter(t *testing.T) {
	const status = `Package: podman
Status: install ok installed
Source: other (1)
Version: 5.8.6+ds1-3
Description: a
 Version: 9 is a word of it

Package: bash
Version: 5

Package: systemd
Version: 262-1
`
	got := fmt.Sprint(packageVersions(status))
	if want := "[systemd 262-1 podman 5.8.6+ds1-3]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVersionTableHasAColumnForEachSuite(t *testing.T) {
	got := versionTable([]string{"a", "b"}, map[string]map[string]string{
		"podman": {"a": "1", "b": "2"}, "kernel": {"a": "6", "b": "6"}, "crun": {"b": "3"},
	})
	want := "| | a | b |\n|--|--|--|\n| kernel | 6 | 6 |\n| podman | 1 | 2 |\n| crun |  | 3 |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A line that pins.sh can't read would pin nothing, without a word.
func TestPinsAreWellFormed(t *testing.T) {
	line := regexp.MustCompile(`^[a-z0-9.+-]+ [^ ]+ pool/[^ ]+\.deb [0-9a-f]{64}$`)
	pinned := map[string]bool{}
	for text := range strings.Lines(forkyPins) {
		if strings.HasPrefix(text, "#") {
			continue
		}
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("not a pin: %q", text)
		}
		pinned[strings.Fields(text)[0]] = true
	}
	for _, name := range []string{"systemd", "podman", "buildah", "crun", "runc", "qemu-user"} {
		if !pinned[name] {
			t.Errorf("%s is not pinned", name)
		}
	}
}
