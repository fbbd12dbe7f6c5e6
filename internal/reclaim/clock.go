package reclaim

import (
	"time"

	"golang.org/x/sys/unix"
)

// userHertz is the unit in which /proc counts.
//
// Source: proc(5), starttime; USER_HZ is 100 on every architecture that Go has.
const userHertz = 100

// tick is one of these, in microseconds.
const tick = 1_000_000 / userHertz

// startedAt is the time of day, in microseconds since the epoch, by which a process had
// begun, of which /proc says in ticks since the boot when that was: up to a tick later than
// it did. What was made before is not its own. btime of /proc/stat would not do for the time
// of the boot: it is in whole seconds, so a process would seem to have begun up to one
// earlier.
//
// Source: linux, fs/proc/array.c, do_task_stat; fs/proc/stat.c, show_stat.
func startedAt(ticks uint64) (int64, error) {
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return 0, err
	}
	return time.Now().UnixMicro() - sinceBoot.Nano()/1000 + int64(ticks+1)*tick, nil
}
