package proc

import (
	"strings"
	"testing"
)

func TestParsePopulated(t *testing.T) {
	for _, row := range []struct {
		events string
		want   bool
		fails  bool
	}{
		{"populated 0\nfrozen 0\n", false, false},
		{"populated 1\nfrozen 0\n", true, false},
		{"frozen 1\npopulated 1\n", true, false},
		{"frozen 0\npopulated 0", false, false},
		{"populated 2\n", true, false}, // in doubt there are some
		{"populated\n", true, false},
		{"", false, true},
		{"frozen 0\n", false, true},
		{"unpopulated 0\n", false, true},
	} {
		got, err := ParsePopulated([]byte(row.events))
		if got != row.want || (err != nil) != row.fails {
			t.Errorf("ParsePopulated(%q) = %v, %v", row.events, got, err)
		}
	}
}

func FuzzParsePopulated(f *testing.F) {
	f.Add([]byte("populated 0\nfrozen 0\n"))
	f.Add([]byte("populated 1"))
	f.Fuzz(func(t *testing.T, events []byte) {
		populated, err := ParsePopulated(events)
		if err == nil && !populated && !strings.Contains(string(events), "populated 0") {
			t.Fatalf("%q says that it is empty", events)
		}
	})
}
