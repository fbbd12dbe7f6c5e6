package history

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestManualHasEveryFieldOfTheEntry, with its meaning.
func TestManualHasEveryFieldOfTheEntry(t *testing.T) {
	text, err := os.ReadFile("../../docs/buildwatchctl.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "### The entry in the journal\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found || !strings.Contains(section, "MESSAGE_ID="+api.EndedMessageID) {
		t.Error("there is no section on the entry, or not with its ID")
	}
	if !strings.Contains(section, "MESSAGE_ID="+api.ReclaimedMessageID) {
		t.Error("the entry on storage is not there, or not with its ID")
	}
	for _, f := range slices.Concat(fields, storageFields) {
		if row := fmt.Sprintf("\n| `%s%s` | %s |", prefix, f.name, f.help); !strings.Contains(section, row) {
			t.Errorf("there is no row %s", row)
		}
	}
	if rows := strings.Count(section, "\n| `"); rows != len(fields)+len(storageFields) {
		t.Errorf("%d rows, and %d fields", rows, len(fields)+len(storageFields))
	}
}
