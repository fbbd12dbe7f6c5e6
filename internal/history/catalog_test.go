package history

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestCatalogueIsOfTheEntry: its ID, its fields, its reasons, in 76 columns.
func TestCatalogueIsOfTheEntry(t *testing.T) {
	content, err := os.ReadFile("../../dist/systemd/buildwatch.catalog")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	if !strings.Contains(text, "\n-- "+api.EndedMessageID+"\n") {
		t.Error("it has no text for the entry")
	}
	if !strings.Contains(text, "\n-- "+api.ReclaimedMessageID+"\n") {
		t.Error("it has no text for the entry on storage")
	}
	for _, name := range regexp.MustCompile(`@`+prefix+`([A-Z_]+)@`).FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(slices.Concat(fields, storageFields), func(f field) bool { return f.name == name[1] }) {
			t.Errorf("the entry has no field %s", name[1])
		}
	}
	for _, reason := range api.Reasons() {
		if !strings.Contains(text, "\n"+string(reason)+" ") {
			t.Errorf("%s is not explained", reason)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 77 {
			t.Errorf("wider than 76 columns: %q", line)
		}
	}
}
