package owners

import "testing"

func TestUnitThatABuildWasStartedIn(t *testing.T) {
	for cgroup, want := range map[string]string{
		"/system.slice/gitlab-runner.service":                                        "gitlab-runner.service",
		"/system.slice/podman.service/sub/deep":                                      "podman.service",
		"/user.slice/user-1000.slice/session-3.scope":                                "session-3.scope",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.service":     "run-u7.service",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/podman-4711.scope": "podman-4711.scope",
		"/": "", "": "", "/buildah-buildah7": "",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
	for unit, want := range map[string]bool{"podman-4711.scope": true, "buildwatch-k3v9abcd.scope": true, "podman.service": false, "session-3.scope": false, "": false} {
		if ownScope(unit) != want {
			t.Errorf("%q is podman's or ours: %v", unit, !want)
		}
	}
}

// TestNoUserChoosesWhereABuildsEndIsTold: a unit below one that is a user's may be called anything.
func TestNoUserChoosesWhereABuildsEndIsTold(t *testing.T) {
	for cgroup, want := range map[string]bool{
		"/system.slice/gitlab-runner.service":                                 true,
		"/system.slice/system-ci.slice/ci-job@7.service/payload":              true,
		"/user.slice/user-1000.slice/session-3.scope":                         true,
		"/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service": false,
		"/user.slice/user-1000.slice/user@1000.service/user@1000.service/x":   true,
		"/user.slice/user-1000.slice/session-3.scope/gitlab-runner.service":   false,
		"/system.slice/ci-job@7.service/ssh.service":                          false, "/ssh.service": true, "/x/ssh.service": false, "/": false, "": false,
	} {
		if got := belowSlices(cgroup, unitOf(cgroup)); got != want {
			t.Errorf("%s: %v", cgroup, got)
		}
	}
}
