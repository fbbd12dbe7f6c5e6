//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File says what is to happen at which point, once: "PID POINT ACTION", whose action is kill,
// refuse or the time to wait. It is for the daemon with that PID, and not for the one that
// systemd starts after it.
const File = "/run/buildwatch-failpoint"

var errRefused = errors.New("refused by a test")

// done is what was done last: a line of the file is obeyed once.
var done struct {
	sync.Mutex
	line string
}

// At does what the file says of a point.
func At(p Point) error {
	content, err := os.ReadFile(File)
	if err != nil {
		return nil
	}
	line := strings.TrimSpace(string(content))
	var pid int
	var point, action string
	if _, err := fmt.Sscan(line, &pid, &point, &action); err != nil || pid != os.Getpid() || point != string(p) {
		return nil
	}
	done.Lock()
	again := done.line == line
	done.line = line
	done.Unlock()
	if again {
		return nil
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: %s\n", point, action)
	switch wait, err := time.ParseDuration(action); {
	case err == nil:
		time.Sleep(wait)
		return nil
	case action == "kill":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	return fmt.Errorf("at %s: %w", point, errRefused)
}
