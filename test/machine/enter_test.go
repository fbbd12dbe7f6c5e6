package machine

import (
	"errors"
	"os/exec"
	"testing"
)

func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		script string
		want   int
	}{{"exit 0", 0}, {"exit 7", 7}, {"kill -9 $$", 137}} {
		err := exec.Command("sh", "-c", test.script).Run()
		if got, ok := ExitCode(err); !ok || got != test.want {
			t.Errorf("%s: %d, %v, want %d", test.script, got, ok, test.want)
		}
	}
	if _, ok := ExitCode(errors.New("no command's")); ok {
		t.Error("any error is taken for a command's exit")
	}
}
