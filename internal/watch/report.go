package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

// reportPause is between two looks at a build that is only reported.
const reportPause = 500 * time.Millisecond

// waitWhileReported watches a build that is over and left as it is, until its
// processes have ended by themselves, or a user has it ended. Its scope may hold a
// keeper for as long as a service lives, so it is the containers that are looked at.
func (b *build) waitWhileReported(entry int) {
	look := time.NewTicker(reportPause)
	defer look.Stop()
	for {
		b.processes().Look()
		b.mu.Lock()
		reported, left := b.status.Reported(), b.status.OwnerLives || b.busy()
		b.mu.Unlock()
		if !reported {
			return
		}
		if !left {
			b.send(message{event: lifecycle.Emptied, of: entry})
			return
		}
		select {
		case <-look.C:
		case <-b.life.Done():
			return
		}
	}
}

// describeProcesses names the build's processes.
func (b *build) describeProcesses() string {
	all, omitted := b.tree()
	if len(all) == 0 {
		return "it has no process now"
	}
	var names []string
	for _, p := range all[:min(len(all), maxNamed)] {
		names = append(names, fmt.Sprintf("%d %q", p.PID, p.Command))
	}
	if more := len(all) - maxNamed + omitted; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d processes, %s", len(all)+omitted, strings.Join(names, ", "))
}
