package proc

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Tick is the unit of Identity.Start.
//
// Source: proc(5), starttime; USER_HZ is 100 on every architecture that Go has.
const Tick = time.Second / 100

// Beat is how long it is until the next multiple of the period since boot. What has to be done now
// and then, and at no certain time, waits for that: of two such things the daemon wakes up once.
func Beat(period time.Duration) time.Duration {
	since, _, err := Boot()
	if err != nil {
		return period
	}
	rest := period - since%period
	if rest < beatSlack {
		rest += period
	}
	return rest
}

// beatSlack is how much too early a timer may run out that was set for a beat.
const beatSlack = 10 * time.Millisecond

// Boot returns the time since boot, and the time of day at boot, by the clock as it is now.
// btime of /proc/stat would not do for that: it is in whole seconds, so a process would seem
// to have begun up to one earlier.
//
// Source: linux, fs/proc/array.c, do_task_stat; fs/proc/stat.c, show_stat.
func Boot() (since time.Duration, at time.Time, err error) {
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return 0, time.Time{}, fmt.Errorf("the time since boot: %w", err)
	}
	since = time.Duration(sinceBoot.Nano())
	return since, time.Now().Round(0).Add(-since), nil
}
