package early

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/runtimes"
)

// host is a file system with files of podman's configuration, and with both runtimes.
func host(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	put(t, root, map[string]string{"/usr/bin/crun": "#!", "/usr/bin/runc": "#!"})
	put(t, root, files)
	return root
}

func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// vector is a list of strings as C has it.
func vector(list []string) (out []*byte) {
	for _, s := range list {
		out = append(out, &append([]byte(s), 0)[0])
	}
	return out
}

// found is what find comes to on a host: the real runtime, or "" for a call that is left to
// the program.
func found(root string, args, env []string, euid int) string {
	s := &scratch{root: root}
	if !s.find(vector(args), vector(env), euid) {
		return ""
	}
	return text(&s.path[0])
}

// compare fails where what is found here is not what the program would find.
func compare(t *testing.T, root string, args, env []string, euid int) (path string) {
	t.Helper()
	path = found(root, args, env, euid)
	if path == "" {
		return ""
	}
	getenv := func(key string) string {
		for _, each := range env {
			if value, ok := strings.CutPrefix(each, key+"="); ok {
				return value
			}
		}
		return ""
	}
	files := podman.ConfigFiles(getenv, euid, func(dir string) (dropIns []string) {
		entries, _ := os.ReadDir(filepath.Join(root, dir))
		for _, entry := range entries {
			if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".conf") {
				dropIns = append(dropIns, filepath.Join(dir, entry.Name()))
			}
		}
		return dropIns
	})
	for i := range files {
		files[i] = filepath.Join(root, files[i])
	}
	_, want := runtimes.Host{Root: root}.Chosen(filepath.Base(args[0]), files)
	if path != filepath.Join(root, want) {
		t.Errorf("with %q as %d, %q becomes %s here, and %s in the program", env, euid, args, path, want)
	}
	return path
}

const row = "[engine.runtimes]\ncrun = [\"/opt/crun\"]\n"

// sample is like what distributions install: comments, and tables without rows.
const sample = "# The containers configuration file\n[containers]\n#runtime = \"x\"\nannotations = []\n\n[engine]\n" +
	"runtime = \"crun\"\n# the runtimes\n[engine.runtimes]\n#crun = [\n#  \"/opt/crun\",\n#]\n\n[engine.volume_plugins]\nx = 1\n"

func TestCallBecomesTheRuntimeThatTheProgramWouldFind(t *testing.T) {
	const etc, usr = "/etc/containers/", "/usr/share/containers/"
	ours := etc + "containers.conf.d/" + runtimes.DropIn
	alice := []string{"HOME=/home/alice", "PATH=/bin"}
	for name, test := range map[string]struct {
		files map[string]string
		env   []string
		euid  int
		args  string // after the program's name
		early bool   // whether it is decided here
	}{
		"a host that says nothing":           {nil, nil, 0, "state x", true},
		"as it is installed":                 {map[string]string{usr + "containers.conf": sample, ours: row}, []string{"HOME=/root"}, 0, "state x", true},
		"a user":                             {map[string]string{usr + "containers.conf": sample, ours: row}, alice, 1000, "kill x 9", true},
		"a user in podman's namespace":       {map[string]string{ours: row}, append([]string{"_CONTAINERS_ROOTLESS_UID=1000"}, alice...), 0, "kill x", true},
		"other drop-ins":                     {map[string]string{usr + "containers.conf.d/10.conf": sample, etc + "containers.conf.d/20.conf": sample, etc + "containers.conf.d/x": row}, alice, 1, "", true},
		"podman run":                         {nil, nil, 0, "create --bundle /x 0123456789abcdef", true},
		"create of a build":                  {nil, nil, 0, "--systemd-cgroup create --bundle /x buildah-buildah1", false},
		"a row in /etc":                      {map[string]string{etc + "containers.conf": row}, nil, 0, "state x", false},
		"a row in /usr/share":                {map[string]string{usr + "containers.conf": row}, nil, 0, "state x", false},
		"a row in a drop-in":                 {map[string]string{usr + "containers.conf.d/10.conf": row}, nil, 0, "state x", false},
		"a row after ours":                   {map[string]string{ours: row, etc + "containers.conf.d/60.conf": row}, nil, 0, "state x", false},
		"a dotted row":                       {map[string]string{etc + "containers.conf": "[engine]\nruntimes.crun = ['/opt/crun']\n"}, nil, 0, "state x", false},
		"a row in capitals":                  {map[string]string{etc + "containers.conf": "[ENGINE.RUNTIMES]\ncrun = ['/opt/crun']\n"}, nil, 0, "state x", false},
		"rootful":                            {map[string]string{etc + "containers.rootful.conf.d/10.conf": row}, nil, 0, "state x", false},
		"rootless":                           {map[string]string{usr + "containers.rootless.conf.d/10.conf": row}, nil, 7, "state x", false},
		"one user's":                         {map[string]string{etc + "containers.rootless.conf.d/7/10.conf": row}, nil, 7, "state x", false},
		"rootless, the main file":            {map[string]string{etc + "containers.rootless.conf": row}, nil, 7, "state x", false},
		"a user's row":                       {map[string]string{"/home/alice/.config/containers/containers.conf": row}, alice, 1000, "state x", false},
		"a user's row, in podman's":          {map[string]string{"/home/alice/.config/containers/containers.conf": row}, append([]string{"_CONTAINERS_ROOTLESS_UID=1000"}, alice...), 0, "state x", false},
		"a user's drop-in":                   {map[string]string{"/home/alice/.config/containers/containers.conf.d/1.conf": row}, alice, 1000, "state x", false},
		"a user's row, and root":             {map[string]string{"/home/alice/.config/containers/containers.conf": row}, alice, 0, "state x", true},
		"XDG_CONFIG_HOME":                    {map[string]string{"/x/containers/containers.conf": row}, append([]string{"XDG_CONFIG_HOME=/x"}, alice...), 1000, "state x", false},
		"root's row":                         {map[string]string{"/root/.config/containers/containers.conf": row}, []string{"HOME=/root"}, 0, "state x", false},
		"a home that is spelled differently": {map[string]string{"/root/.config/containers/containers.conf": row}, []string{"HOME=/home/../root"}, 0, "state x", false},
		"CONTAINERS_CONF":                    {nil, []string{"CONTAINERS_CONF=/c"}, 0, "state x", false},
		"CONTAINERS_CONF_OVERRIDE":           {nil, []string{"CONTAINERS_CONF_OVERRIDE=/c"}, 0, "state x", false},
		"a file that does not fit in":        {map[string]string{etc + "containers.conf": strings.Repeat("#\n", 1<<15+1)}, nil, 0, "state x", false},
		"a path that does not fit in":        {nil, []string{"HOME=/" + strings.Repeat("x/", 2100) + "y"}, 1000, "state x", false},
		"a directory as a drop-in":           {map[string]string{etc + "containers.conf.d/x.conf/y": row}, nil, 0, "state x", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := host(t, test.files)
			for _, program := range []string{"crun", "runc", "/usr/local/libexec/buildwatch/crun"} {
				path := compare(t, root, append([]string{program}, strings.Fields(test.args)...), test.env, test.euid)
				if (path != "") != test.early {
					t.Errorf("%s becomes %q", program, path)
				}
			}
		})
	}
}

// TestRuntimesThatAreNoneArePassedOver: links to the wrapper, directories, what is not
// there. Where none is left, the program says so.
func TestRuntimesThatAreNoneArePassedOver(t *testing.T) {
	root := host(t, nil)
	paths := podman.CompiledIn("crun")
	args := []string{"crun", "state", "x"}
	if err := os.Remove(root + paths[0]); err != nil {
		t.Fatal(err)
	}
	if got := found(root, args, nil, 0); got != "" {
		t.Errorf("without a runtime it becomes %s", got)
	}
	if err := os.MkdirAll(root+paths[0], 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, root, map[string]string{"/lib/" + runtimes.Program: "#!", paths[3]: "#!"})
	for _, link := range []struct{ to, at string }{{root + "/lib/" + runtimes.Program, paths[1]}, {"/proc/self/exe", paths[2]}} {
		if err := os.MkdirAll(filepath.Dir(root+link.at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link.to, root+link.at); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(root, args, nil, 0); got != root+paths[3] {
		t.Errorf("it becomes %q", got)
	}
	if got := found(root, []string{"youki", "state"}, nil, 0); got != "" {
		t.Errorf("youki becomes %q", got)
	}
	if got := found(root, nil, nil, 0); got != "" {
		t.Errorf("a call without a name becomes %q", got)
	}
}

// FuzzMayHaveRows: a file is never said to have no rows that has some.
func FuzzMayHaveRows(f *testing.F) {
	for _, content := range []string{
		row, sample, "", "engine . runtimes.\"crun\" = [\n  \"/opt/crun\", # newer\n]\n", "[engine]\nruntimes = { crun = [\"/opt/crun\"] }\n",
		"\ufeff[engine.runtimes]\r\ncrun=[\"/opt/crun\"]\r\n", "x = '''\n[engine.runtimes]\n[x]\n'''\n", "[engine.runtimes]\n\t# x\n [engine]\nruntime = \"crun\"\n",
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if rows := podman.ReadConfig(content).Rows; len(rows) > 0 && !mayHaveRows(string(content)) {
			t.Errorf("%q has the rows %v", content, rows)
		}
	})
}

// FuzzFind: whatever the caller has in its environment and its arguments.
func FuzzFind(f *testing.F) {
	f.Add("HOME=/home/alice", "XDG_CONFIG_HOME=", "_CONTAINERS_ROOTLESS_UID=1000", "crun", "create", 0)
	f.Add("HOME=/root", "XDG_CONFIG_HOME=/root/.config", "HOME=/x", "/usr/bin/runc", "buildah-buildah1", 1000)
	root := host(f, map[string]string{"/home/alice/.config/containers/containers.conf": row, "/x/containers/containers.conf.d/1.conf": row, "/root/.config/containers/containers.conf": row})
	f.Fuzz(func(t *testing.T, a, b, c, name, arg string, euid int) {
		if strings.ContainsRune(a+b+c+name+arg, 0) || euid < 0 {
			return // nothing that execve(2) could hand on
		}
		compare(t, root, []string{name, arg}, []string{a, b, c}, euid)
	})
}
