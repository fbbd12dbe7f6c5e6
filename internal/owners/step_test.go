package owners

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestStepIsOverForItsBuilderWhenItHasWaitedForIt: not while the monitor lives, and not
// while it is a zombie.
func TestStepIsOverForItsBuilderWhenItHasWaitedForIt(t *testing.T) {
	f := finder()
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	builder := &Owner{Handle: self}
	sees := func() bool { return f.InStep(context.Background(), builder) }
	if sees() {
		t.Error("it has no child")
	}
	for name, want := range map[string]bool{"buildah-oci-runtime": true, "buildah-chroot-runtime": true, "pasta": false} {
		child := exec.Command("sleep", "60")
		child.Args[0] = name
		child.Path, err = exec.LookPath("sleep")
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if want {
			proctest.Eventually(t, name+" is seen", sees)
		} else if sees() { // its start has ended with its execution
			t.Errorf("%s is taken for a monitor", name)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		proctest.Eventually(t, "a child that was not waited for is seen", sees)
		_ = child.Wait()
		if sees() {
			t.Errorf("%s was waited for", name)
		}
	}
}
