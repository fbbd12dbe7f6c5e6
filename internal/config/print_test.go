package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestPrintedConfigurationLoadsAgainToTheSameValues(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"defaults": {},
		"all set": {
			MainFile:                   "[log]\nlevel = \"error\"\n[metrics]\nlisten = \"\"\n",
			AdminDropIns + "/1 b.toml": "[ladder]\nkill_timeout = \"10m\"\nowner_timeout = \"90s\"\nstop_timeout = \"10ms\"\n[limits]\nconnections_per_user = 0x10\n",
		},
		"odd file name": {AdminDropIns + "/a\nb\x1b.toml": "[log]\nlevel = \"debug\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			first := load(t, tree(t, files))
			var printed strings.Builder
			must(t, first.Print(&printed))
			second := load(t, tree(t, map[string]string{MainFile: printed.String()}))
			first.origins, second.origins = nil, nil
			if !reflect.DeepEqual(first, second) {
				t.Errorf("printed as\n%s\nloaded as %+v, want %+v", printed.String(), second, first)
			}
		})
	}
}

func TestPrintTellsWhereEachValueComesFrom(t *testing.T) {
	root := tree(t, map[string]string{MainFile: "\n[ladder]\nkill_timeout = \"120s\"\n"})
	var printed strings.Builder
	must(t, load(t, root).Print(&printed))
	for _, want := range []string{
		"\n[ladder]\n",
		"\nkill_timeout = \"2m\"  # " + root + MainFile + ":3\n",
		"\nstop_timeout = \"800ms\"  # default\n",
		"\nconnections_per_user = 64  # default\n",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("%q is missing in\n%s", want, printed.String())
		}
	}
}
