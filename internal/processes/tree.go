package processes

import (
	"slices"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// MaxShown bounds what is looked at of a build that has processes without end, so that
// all others are shown meanwhile; maxArchLooks does where only that is asked for.
const MaxShown, maxArchLooks = 1000, 64

// sampleArch counts processes by the architecture that is emulated. Of many processes some
// are looked at, spread over all of them, and each stands for those up to the next.
func sampleArch(pids []int) map[string]int {
	count := map[string]int{}
	stride := 1 + (len(pids)-1)/maxArchLooks
	for i := 0; i < len(pids); i += stride {
		arch := proc.Arch(pids[i])
		if arch == "" {
			arch = api.NativeArch
		}
		count[arch] += min(stride, len(pids)-i)
	}
	return count
}

// CountByArch counts processes by the architecture that is emulated. Of very many some
// are looked at, and the others taken to be as the last of these.
func CountByArch(pids []int) map[string]int {
	count := map[string]int{}
	arch := api.NativeArch
	for i, pid := range pids {
		if i < MaxShown {
			if arch = proc.Arch(pid); arch == "" {
				arch = api.NativeArch
			}
		}
		count[arch]++
	}
	return count
}

// Tree lists the build's processes, parents before their children, and how many it
// leaves out.
func (s Set) Tree() (shown []api.Process, omitted int) {
	members := s.Members()
	slices.SortFunc(members, func(a, b scopes.Member) int { return a.PID - b.PID })
	if len(members) > MaxShown {
		members, omitted = members[:MaxShown], len(members)-MaxShown
	}
	children := map[int][]api.Process{}
	known := map[int]bool{}
	var all []api.Process
	for _, m := range members {
		look, err := proc.Look(m.PID)
		if err != nil {
			continue
		}
		known[m.PID] = true
		all = append(all, api.Process{
			PID: look.PID, PPID: look.PPID, Command: look.Comm, Exe: look.Exe, Arch: look.Arch, Emulator: look.By,
			State: look.State, WChan: look.WChan, Cgroup: m.Where(),
		})
	}
	for _, p := range all {
		parent := p.PPID
		if !known[parent] || parent == p.PID {
			parent = 0
		}
		children[parent] = append(children[parent], p)
	}
	ordered := make([]api.Process, 0, len(all))
	var descend func(parent int)
	descend = func(parent int) {
		for _, p := range children[parent] {
			ordered = append(ordered, p)
			descend(p.PID)
		}
	}
	descend(0)
	return ordered, omitted
}
