//go:build linux

package cli

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	const alices, other = "bcdf2345\trunning, 4711 podman build\n", "bcdz2345\tstuck, 815 podman system service --with-a-long-name\n"
	for _, test := range []struct{ args, want string }{
		{"stop ", other + alices + ":4\n"},
		{"show bcdf", alices + ":4\n"},
		{"stop bcdf2345 b", other + ":4\n"},
		{"list ", ":4\n"},
		{"list --sort ", "created\nid\nstate\nprocesses\ncpu\n:4\n"},
		{"list --filter mode=", "mode=local\nmode=api\nmode=run\nmode=unknown\n:4\n"},
		{"--socket /nowhere stop ", ":4\n"},
	} {
		got := run(t, socket, append([]string{"__complete"}, strings.Split(test.args, " ")...)...)
		if got.code != 0 || got.out != test.want {
			t.Errorf("%q: %+v, want %q", test.args, got, test.want)
		}
	}
	if got := run(t, socket, "__complete", "stop", "-f", ""); !strings.Contains(got.out, "state=\t") || !strings.HasSuffix(got.out, ":6\n") {
		t.Errorf("filter keys: %+v", got)
	}
	if got := run(t, socket, "__complete", "list", "--so"); !strings.Contains(got.out, "--sort\torder by key: created") || strings.Contains(got.out, "`") {
		t.Errorf("flags: %+v", got) // --socket is every command's
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := run(t, socket, "completion", shell); r.code != 0 || !strings.Contains(r.out, "buildwatchctl") {
			t.Errorf("%s: %d, %d bytes", shell, r.code, len(r.out))
		}
	}
}
