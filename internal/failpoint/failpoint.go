// Package failpoint names the moments between the daemon's steps that have an effect, at
// which a test makes it die, wait or fail: whatever it was about to do, a build that somebody
// wants must go on, and of an abandoned one nothing may be left. A daemon that is built
// without the tag failpoints does nothing at them: At is nothing, and no test can reach it.
package failpoint

// Point is one such moment.
type Point string

// The moments at which a step is placed, in their order.
const (
	Witness  Point = "witness"  // before what was seen of its storage is kept
	Start    Point = "start"    // before systemd is asked for a scope
	Started  Point = "started"  // when it has made it
	Delegate Point = "delegate" // when a cgroup is a user's, and its files are not yet
	Record   Point = "record"   // before the scope's record is written
	Prepared Point = "prepared" // before the wrapper is told of its place
	Claim    Point = "claim"    // before the claim is taken
	Claimed  Point = "claimed"  // when it is taken, before the move
	Moved    Point = "moved"    // after the move
	Entered  Point = "entered"  // before the wrapper is told of the move
)

// The moments at which a build is ended, in their order.
const (
	Gathered Point = "gathered" // when systemd has made the scope of a dead build's orphans
	Kill     Point = "kill"     // before systemd is told to kill a scope's processes
	Stop     Point = "stop"     // before it is told to stop the scope
	Ended    Point = "ended"    // before the build's end is told
	Reclaim  Point = "reclaim"  // before storage is removed
)

// Points lists all of them.
func Points() []Point {
	return []Point{Witness, Start, Started, Delegate, Record, Prepared, Claim, Claimed, Moved, Entered, Gathered, Kill, Stop, Ended, Reclaim}
}
