package reclaim

import (
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// startedAt is the time of day, in microseconds since the epoch, by which a process had
// begun, of which /proc says in ticks since the boot when that was: up to a tick later than
// it did. What was made before is not its own.
func startedAt(ticks uint64) (int64, error) {
	_, boot, err := proc.Boot()
	return boot.Add(time.Duration(ticks+1) * proc.Tick).UnixMicro(), err
}
