package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// values are a configuration without where its values come from.
func values(c *Config) Config {
	plain := *c
	plain.origins = nil
	return plain
}

// TestTypoLeavesTheLastGoodConfigurationInForce, whatever it said, and for as long as
// it takes to mend the typo.
func TestTypoLeavesTheLastGoodConfigurationInForce(t *testing.T) {
	root := tree(t, map[string]string{MainFile: "[policy]\nabandoned = \"report\"\n[ladder]\nkill_timeout = \"2s\"\n"})
	kept := t.TempDir()
	good := Choose(root, kept)
	if good.Source != SourceFiles || good.Problems != nil {
		t.Fatalf("chosen is %+v", good)
	}
	must(t, good.Keep(kept))
	must(t, os.WriteFile(root+MainFile, []byte("[policy]\nabandonned = \"report\"\n"), 0o600))
	for range 2 { // once more after another restart
		now := Choose(root, kept)
		if now.Source != SourceLastGood || now.Problems == nil || !strings.Contains(now.Problems.Error(), "abandonned") {
			t.Errorf("chosen is %s, %v", now.Source, now.Problems)
		}
		if !reflect.DeepEqual(values(now.Config), values(good.Config)) || now.Ladder.KillTimeout != 2*time.Second {
			t.Errorf("in force is %+v, want %+v", now.Config, good.Config)
		}
	}
	must(t, os.WriteFile(root+MainFile, nil, 0o600))
	if now := Choose(root, kept); now.Source != SourceFiles || now.Policy.Abandoned != AbandonedEnd {
		t.Errorf("mended, chosen is %+v", now)
	}
}

// TestTypoAtTheFirstStartEndsNobodysBuild: what the administrator may have wanted only
// reported is not ended.
func TestTypoAtTheFirstStartEndsNobodysBuild(t *testing.T) {
	root := tree(t, map[string]string{MainFile: "[policy]\nabandonned = \"report\"\n"})
	writable, damaged := t.TempDir(), t.TempDir()
	must(t, Default().Keep(writable))
	must(t, os.Chmod(filepath.Join(writable, keptName), 0o666))
	must(t, os.WriteFile(filepath.Join(damaged, keptName), []byte("[policy\n"), 0o600))
	for name, kept := range map[string]string{"nothing kept": t.TempDir(), "nowhere to keep": "", "written by others": writable, "damaged": damaged} {
		now := Choose(root, kept)
		if now.Source != SourceCautious || now.Problems == nil || now.Policy.Abandoned != AbandonedReport || now.Stalled.Kills() || now.Ladder.AbortFuse != "never" {
			t.Errorf("%s: chosen is %s: %+v", name, now.Source, now.Config)
		}
	}
}

func TestKeptConfigurationIsWrittenWhenItChanges(t *testing.T) {
	kept := t.TempDir()
	must(t, Default().Keep(kept))
	before, err := os.Stat(filepath.Join(kept, keptName))
	must(t, err)
	must(t, Default().Keep(kept))
	after, err := os.Stat(filepath.Join(kept, keptName))
	must(t, err)
	if !os.SameFile(before, after) || before.Mode().Perm() != 0o600 {
		t.Errorf("written again, with mode %v", before.Mode())
	}
	other := Default()
	other.Log.Level = "debug"
	must(t, other.Keep(kept))
	files, err := os.ReadDir(kept)
	must(t, err)
	if c, err := loadKept(kept); err != nil || c.Log.Level != "debug" || len(files) != 1 {
		t.Errorf("kept is %+v, %v, in %v", c, err, files)
	}
	if err := other.Keep(filepath.Join(kept, "gone")); err == nil {
		t.Error("kept where nothing can be")
	}
}
