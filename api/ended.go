package api

import "time"

// EndedMessageID is the MESSAGE_ID= of the journal entry that the daemon writes when a
// build is gone. It is never given to another kind of entry.
const EndedMessageID = "7c1d4f0e3b5a4d1c9a62e8f0b7d35c19"

// ReclaimedMessageID is that of the entry on what a build that is gone had left in storage.
const ReclaimedMessageID = "7a65db00622644cc876fce90bb6213a0"

// Ended is a build of which nothing is left, as the journal tells of it. It holds no
// arguments and no environment.
type Ended struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty"`
	Reason    Reason    `json:"reason"`
	AskedBy   *uint32   `json:"asked_by_uid,omitempty"` // who asked for its end
	User      User      `json:"user"`
	Command   string    `json:"command"`              // the owner's program and verb
	OwnerPID  int       `json:"owner_pid"`            //
	OwnerUnit string    `json:"owner_unit,omitempty"` // see Owner
	Mode      Mode      `json:"mode"`                 //
	Placement Placement `json:"placement"`            //
	Arch      []string  `json:"arch"`                 // emulated architectures that were seen; never null
	Scope     string    `json:"scope,omitempty"`      // its systemd unit
	CreatedAt time.Time `json:"created_at"`           //
	EndedAt   time.Time `json:"ended_at"`             // last process gone
	// DurationSeconds is from the one to the other.
	DurationSeconds float64 `json:"duration_seconds"`
	// EndingSeconds is from the fact that ended it to its last process gone; 0 for one
	// that nobody has ended.
	EndingSeconds float64 `json:"ending_seconds"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	// MemoryPeakBytes is the most memory that all of it had at once; 0 where the kernel
	// does not say.
	MemoryPeakBytes uint64 `json:"memory_peak_bytes,omitempty"`
	// OOMKills is how many of its processes the kernel killed for lack of memory.
	OOMKills uint64 `json:"oom_kills,omitempty"`
	// ProcessesEnded is how many processes were there when its end was begun, by
	// emulated architecture; those that are not emulated are under "native". Never null.
	ProcessesEnded map[string]int `json:"processes_ended"`
	Rungs          []EndedRung    `json:"rungs"`     // of the ladder that were used; never null
	Survivors      int            `json:"survivors"` // processes that outlived SIGKILL, until the kernel let go of them
	// Reclaimed is what became so far of what it had left in storage; nil where it had left
	// nothing, or its builder lives.
	Reclaimed *Reclaimed `json:"reclaimed,omitempty"`
}

// NativeArch is the name in Ended.ProcessesEnded of processes that are not emulated.
const NativeArch = "native"

// EndedRung is one rung of the ladder as it was used on a build.
type EndedRung struct {
	Rung      Rung    `json:"rung"`
	Duration  Seconds `json:"duration_seconds"`
	Survivors int     `json:"survivors"` // processes that were left after it
	TimedOut  bool    `json:"timed_out"` // they were left when its time was over
}
