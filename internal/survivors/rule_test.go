package survivors

import (
	"errors"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestDecide is the rule, row by row: each row changes one thing of a connection that
// is aborted.
func TestDecide(t *testing.T) {
	t.Parallel()
	ours := facts{waiting: 3, waited: 2 * time.Second, mounter: 1000, owner: 1000, serving: byBuild}
	for _, row := range []struct {
		name   string
		change func(*facts)
		want   api.Abort
	}{
		{"the build's own", func(*facts) {}, api.AbortDone},
		{"its server is gone", func(f *facts) { f.serving = byNobody }, api.AbortDone},
		{"its storage", func(f *facts) { f.serving = byHelper }, api.AbortDone},
		{"its user's own", func(f *facts) { f.serving = byUser }, api.AbortDone},
		{"the build's own, for others too", func(f *facts) { f.others = true }, api.AbortDone},
		{"its user's own, for others too", func(f *facts) { f.serving, f.others = byUser, true }, api.AbortServer},
		{"switched off", func(f *facts) { f.off = true }, api.AbortOff},
		{"another's server", func(f *facts) { f.serving = byAnother }, api.AbortServer},
		{"root's mount", func(f *facts) { f.mounter = 0 }, api.AbortMounter},
		{"another user's mount", func(f *facts) { f.mounter = 100 }, api.AbortMounter}, // no prefix of 1000
		{"somebody uses it", func(f *facts) { f.used = 4711 }, api.AbortUsed},
		{"no request waits", func(f *facts) { f.waiting = 0 }, api.AbortNotNeeded},
		{"it waits since a moment", func(f *facts) { f.waited = 0 }, api.AbortLater},
		{"it has waited nearly a second", func(f *facts) { f.waited = time.Second - 1 }, api.AbortLater},
		{"it has waited a second", func(f *facts) { f.waited = time.Second }, api.AbortDone},
		{"no control file system", func(f *facts) { f.opened = errNoControl }, api.AbortNoControl},
		{"its directory can't be opened", func(f *facts) { f.opened = errors.New("it hangs") }, api.AbortUnsure},
		{"something could not be looked at", func(f *facts) { f.unsure = errors.New("it hangs") }, api.AbortUnsure},
	} {
		f := ours
		row.change(&f)
		if got := decide(f); got.abort != row.want {
			t.Errorf("%s: %s, want %s", row.name, got.abort, row.want)
		}
	}
}

// TestWho: whoever of the servers is least the build's decides. Where the kernel does
// not say whose connection is whose, each that holds one counts.
func TestWho(t *testing.T) {
	t.Parallel()
	const here, elsewhere = "pid:[1]", "pid:[2]"
	of := func(pid int, uid uint64, namespace string) process {
		p := process{uids: [4]uint64{uid, uid, uid, uid}, pidNamespace: namespace}
		p.PID = pid
		return p
	}
	inside, user, root, contained := of(10, 1000, here), of(20, 1000, here), of(30, 0, here), of(40, 1000, elsewhere)
	mixed := of(50, 1000, here)
	mixed.uids[1] = 0 // a set-user-ID program
	helper, roots, others := of(60, 1000, elsewhere), of(61, 0, here), of(62, 1001, here)
	for _, row := range []struct {
		name          string
		sure, perhaps []process
		want          serving
		pid           int
	}{
		{"nobody", nil, nil, byNobody, 0},
		{"the build", []process{inside}, nil, byBuild, 0},
		{"its user", []process{user}, nil, byUser, 20},
		{"the build and its user", []process{inside, user}, nil, byUser, 20},
		{"root", []process{user, root}, nil, byAnother, 30},
		{"another container", []process{contained}, nil, byAnother, 40},
		{"a set-user-ID program", []process{mixed}, nil, byAnother, 50},
		{"root perhaps", []process{inside}, []process{root}, byAnother, 30},
		{"its user perhaps", nil, []process{user}, byUser, 20},
		{"the helper of its storage", []process{helper}, nil, byHelper, 60},
		{"root's helper", []process{roots}, nil, byAnother, 61},
		{"another user's helper", []process{others}, nil, byAnother, 62},
	} {
		got, pid := who(row.sure, row.perhaps, 1000, here, func(p process) bool { return p.PID == 10 },
			func(p process) bool { return p.PID >= 60 })
		if got != row.want || pid != row.pid {
			t.Errorf("%s: %d by %d, want %d by %d", row.name, got, pid, row.want, row.pid)
		}
	}
}

// TestFamily: who works for the build is no stranger to its mounts.
func TestFamily(t *testing.T) {
	t.Parallel()
	var s scan
	for pid, parent := range map[int]int{
		1: 0, 10: 1 /* a shell */, 20: 10 /* podman */, 30: 20 /* a monitor */, 40: 30 /* the step */, 41: 40,
		50: 10 /* another podman */, 60: 1 /* a service */, 61: 60 /* its monitor */, 62: 61 /* its step's first process */, 63: 62,
	} {
		p := process{parent: parent, exiting: pid == 62}
		p.PID = pid
		s.processes = append(s.processes, p)
	}
	for _, row := range []struct {
		left Remains
		want []int
	}{
		{Remains{PIDs: []int{41, 40}, Builders: []int{20}}, []int{20, 30, 40, 41}},
		{Remains{PIDs: []int{41, 40}}, []int{30, 40, 41}},
		{Remains{PIDs: []int{63}}, []int{61, 62, 63}},
	} {
		family := s.family(row.left)
		for _, p := range s.processes {
			want := false
			for _, pid := range row.want {
				want = want || pid == p.PID
			}
			if family[p.PID] != want {
				t.Errorf("%+v: %d is one of the family: %v", row.left, p.PID, family[p.PID])
			}
		}
	}
}

// TestCopied: a mount that another namespace has only because it was made as a copy,
// or hears from it, is nobody's use.
func TestCopied(t *testing.T) {
	t.Parallel()
	const host, service, monitor, container, propagated = "mnt:[1]", "mnt:[2]", "mnt:[3]", "mnt:[4]", "mnt:[5]"
	fuse := func(point string, peers ...string) mount {
		return mount{device: 65, root: "/", point: point, peers: peers, fuse: true}
	}
	rootOf := func(device uint32) mount { return mount{device: device, root: "/", point: "/"} }
	s := scan{tables: map[string][]mount{
		host:       {rootOf(8), fuse("/mnt", "7")},
		service:    {rootOf(8), fuse("/mnt", "7")},
		monitor:    {rootOf(8), fuse("/mnt"), fuse("/var/tmp/buildah1/mnt")},
		container:  {rootOf(99), fuse("/mnt")},
		propagated: {rootOf(99), fuse("/host/mnt", "7")},
	}}
	for _, row := range []struct {
		namespace string
		at        int
		want      bool
	}{{service, 1, true}, {monitor, 1, true}, {monitor, 2, false}, {container, 1, false}, {propagated, 1, true}} {
		if got := s.copied(s.tables[row.namespace][row.at], row.namespace, []string{host}); got != row.want {
			t.Errorf("namespace %s, %+v: %v", row.namespace, s.tables[row.namespace][row.at], got)
		}
	}
}
