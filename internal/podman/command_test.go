package podman

import (
	"strings"
	"testing"
)

// TestCommandLineIsReadAsTheProgramReadsIt: flags, with values and without, may stand
// between the words.
func TestCommandLineIsReadAsTheProgramReadsIt(t *testing.T) {
	for _, test := range []struct {
		program, args string
		want          Command
	}{
		{"podman", "podman build --build-arg TOKEN=secret .", Command{"podman build", Builds}},
		{"podman", "podman --log-level debug build .", Command{"podman build", Builds}},
		{"podman", "podman image build .", Command{"podman image build", Builds}},
		{"podman", "podman buildx build .", Command{"podman buildx build", Builds}},
		{"podman", "podman builder build .", Command{"podman builder build", Builds}},
		{"podman", "podman farm build -t x .", Command{"podman farm build", Builds}},
		{"podman", "podman build system service", Command{"podman build", Builds}},
		{"podman", "podman --root build run x", Command{"podman run", Unknown}},

		{"podman", "/usr/bin/podman system service", Command{"podman system service", Serves}},
		{"podman", "podman --log-level=info system service", Command{"podman system service", Serves}},
		{"podman", "podman --log-level info system service", Command{"podman system service", Serves}},
		{"podman", "podman system --log-level=info service --time=0", Command{"podman system service", Serves}},
		{"podman", "podman system --log-level info service --time 0", Command{"podman system service", Serves}},
		{"podman", "podman --syslog system --syslog service", Command{"podman system service", Serves}},
		{"podman", "podman -D --trace system service", Command{"podman system service", Serves}},
		{"podman", "podman -c name system service", Command{"podman system service", Serves}},
		{"podman", "podman -cname --url unix:///x system service", Command{"podman system service", Serves}},
		{"podman", "podman --connection= --module a --module b system service", Command{"podman system service", Serves}},
		{"podman", "podman --config build --root build system service", Command{"podman system service", Serves}},
		{"podman", "podman --out - system service", Command{"podman system service", Serves}},
		// cobra takes -- for a flag with a value here
		{"podman", "podman -- x system service", Command{"podman system service", Serves}},

		// of a flag that is not known it is not known either whether a value follows
		{"podman", "podman --new system service", Command{"podman system service", Serves}},
		{"podman", "podman --new system system service", Command{"podman system service", Serves}},
		{"podman", "podman system -x service", Command{"podman system service", Serves}},
		{"podman", "podman --new build .", Command{"podman", Unknown}},
		{"podman", "podman --new x build .", Command{"podman build", Unknown}},

		{"podman", "podman kube play --build --wait x.yaml", Command{"podman kube play", Unknown}},
		{"podman", "podman kube --log-level=info play --build x.yaml", Command{"podman kube play", Unknown}},
		{"podman", "podman play kube --build x.yaml", Command{"podman play kube", Unknown}},
		{"podman", "podman auto-update", Command{"podman", Unknown}},
		{"podman", "podman bui .", Command{"podman", Unknown}},
		{"podman", "podman unshare build", Command{"podman", Unknown}},
		{"podman", "podman", Command{"podman", Unknown}},
		{"podman", "", Command{"podman", Unknown}},

		{"buildah", "buildah bud -t x .", Command{"buildah bud", Builds}},
		{"buildah", "buildah --debug --root /x build .", Command{"buildah build", Builds}},
		{"buildah", "buildah build-using-dockerfile .", Command{"buildah build-using-dockerfile", Builds}},
		{"buildah", "buildah run ctr -- secret", Command{"buildah run", Builds}},
		{"buildah", "buildah --storage-opt=a=b run ctr -- secret", Command{"buildah run", Builds}},
		{"buildah", "buildah -- build", Command{"buildah", Unknown}},
		{"buildah", "buildah system service", Command{"buildah", Unknown}},
		{"buildah", "buildah unshare build", Command{"buildah", Unknown}},

		{"own-builder", "own-builder secret", Command{"own-builder", Unknown}},
		{"own-builder", "own-builder build secret", Command{"own-builder build", Unknown}},
		{"own-builder", "own-builder --system service build", Command{"own-builder", Unknown}},
		{"own-builder", "own-builder system services", Command{"own-builder", Unknown}},
		{"podman-ng", "podman-ng system service", Command{"podman-ng system service", Serves}},
		{"podman-ng", "podman-ng --log-level info system service", Command{"podman-ng system service", Serves}},
		{"podman-ng", "podman-ng --own system service", Command{"podman-ng", Unknown}},
	} {
		if got := ReadCommand(test.program, strings.Fields(test.args)); got != test.want {
			t.Errorf("ReadCommand(%q, %q) = %v; want %v", test.program, test.args, got, test.want)
		}
	}
}

func TestProgramIsNamedByItsFile(t *testing.T) {
	for _, test := range []struct{ exe, args, want string }{
		{"/usr/bin/podman", "x build", "podman"},
		{"/usr/bin/podman (deleted)", "", "podman"},
		{"/opt/x/own-builder", "podman", "own-builder"},
		{"/", "/usr/bin/buildah-in-a-user-namespace bud", "buildah"},
		{"/memfd:buildah-in-a-user-namespace (deleted)", "buildah-in-a-user-namespace bud", "buildah"},
		{"/", "secret-in-a-user-namespace", "/"},
		{"/", "buildah bud", "/"},
		{"", "", "."},
	} {
		if got := ProgramName(test.exe, strings.Fields(test.args)); got != test.want {
			t.Errorf("ProgramName(%q, %q) = %q; want %q", test.exe, test.args, got, test.want)
		}
	}
	for name, want := range map[string]bool{"podman": true, "buildah": true, "podman-remote": false, "conmon": false, "": false} {
		if got := IsBuilder(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func FuzzReadCommand(f *testing.F) {
	f.Add("podman", "podman\x00--log-level\x00info\x00system\x00service")
	f.Fuzz(func(t *testing.T, program, line string) {
		args := strings.Split(line, "\x00")
		got := ReadCommand(program, args)
		known := program == got.Name
		for _, verbs := range [][]verb{podmanVerbs, buildahVerbs} {
			for _, v := range verbs {
				known = known || got.Name == program+" "+strings.Join(v.words, " ")
			}
		}
		if !known {
			t.Errorf("%q shows %q", line, got.Name)
		}
	})
}
