package podman

import "testing"

// TestWhoIsAMonitor: a name alone is nobody's.
func TestWhoIsAMonitor(t *testing.T) {
	const buildah, other = 1, 2
	builder := Process{File: buildah, Exe: "/usr/bin/buildah", Size: 1000}
	copied := Process{File: other, Exe: "/memfd:buildah-chroot-runtime (deleted)", Size: 1000, Args: []string{ChrootMonitor}}
	for _, test := range []struct {
		name       string
		child      Process
		chroot, ok bool
	}{
		{"OCI", Process{File: buildah, Args: []string{OCIMonitor}}, false, true},
		{"on a mount that nobody can reach", Process{File: buildah, Exe: "/", Args: []string{OCIMonitor}}, false, true},
		{"chroot", Process{File: buildah, Args: []string{ChrootMonitor}}, true, true},
		{"chroot, a copy in memory", copied, true, true},
		{"another program in memory", Process{File: other, Exe: copied.Exe, Size: 999, Args: copied.Args}, true, false},
		{"a file that is as large", Process{File: other, Exe: "/home/x", Size: 1000, Args: copied.Args}, true, false},
		{"an OCI monitor in memory", Process{File: other, Exe: copied.Exe, Size: 1000, Args: []string{OCIMonitor}}, false, false},
		{"another program", Process{File: other, Args: []string{OCIMonitor}}, false, false},
		{"another name", Process{File: buildah, Args: []string{"buildah", OCIMonitor}}, false, false},
		{"no name", Process{File: buildah}, false, false},
		{"no program", Process{Args: []string{OCIMonitor}}, false, false},
	} {
		if chroot, ok := Monitor(test.child, builder); chroot != test.chroot && test.ok || ok != test.ok {
			t.Errorf("%s: %v, %v", test.name, chroot, ok)
		}
	}
	if _, ok := Monitor(Process{Args: []string{OCIMonitor}}, Process{}); ok {
		t.Error("two of which nothing is known are a pair")
	}
}

// TestCopyOfABuilderInAUserNamespace is known by what it has called itself.
func TestCopyOfABuilderInAUserNamespace(t *testing.T) {
	for exe, want := range map[string]bool{
		"/memfd:mk-in-a-user-namespace (deleted)":     true,
		"/memfd:mk-in-a-user-namespace":               true,
		"/memfd:buildah-chroot-runtime (deleted)":     false,
		"/usr/bin/mk-in-a-user-namespace":             false,
		"/memfd:crun_cloned:/proc/self/exe (deleted)": false,
	} {
		if IsNamespaceCopy(exe) != want {
			t.Errorf("%q: %v", exe, !want)
		}
	}
}
