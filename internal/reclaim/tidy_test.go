package reclaim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// aStore is a storage with working containers, and a tool that removes them as podman does.
type aStore struct {
	store
	t       *testing.T
	created time.Time
}

func newStore(t *testing.T) aStore {
	s := aStore{store{podman.Storage{Graph: t.TempDir(), Driver: "overlay"}}, t, time.Now()}
	must(t, os.MkdirAll(s.Containers(), 0o700))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add adds a working container; args is what buildah has written down of the build's.
func (s aStore) add(id, layer, args string) {
	s.t.Helper()
	dir := filepath.Join(s.Containers(), id, "userdata")
	must(s.t, os.MkdirAll(dir, 0o700))
	must(s.t, os.MkdirAll(filepath.Join(s.Layer(layer), "diff"), 0o700))
	must(s.t, os.WriteFile(filepath.Join(s.Layer(layer), "diff", "file"), bytes.Repeat([]byte("x"), 64<<10), 0o600))
	must(s.t, os.WriteFile(filepath.Join(dir, "buildah.json"), fmt.Appendf(nil, `{"Args":%s,"type":"buildah 0.0.1","container-id":%q}`, args, id), 0o600))
	s.list(append(s.listed(), containerDoc{ID: id, Layer: layer, Created: s.created}))
}

func (s aStore) file() string { return filepath.Join(s.Containers(), "volatile-containers.json") }

func (s aStore) listed() (docs []containerDoc) {
	_ = readJSON(s.file(), &docs)
	return docs
}

func (s aStore) list(docs []containerDoc) {
	content, err := json.Marshal(docs)
	must(s.t, err)
	must(s.t, os.WriteFile(s.file(), content, 0o600))
}

func (s aStore) ids() (ids []string) {
	for _, doc := range s.listed() {
		ids = append(ids, doc.ID)
	}
	return ids
}

// tool removes the containers that it is asked to, but for those that it refuses, and writes down
// how it was called.
func (s aStore) tool(refuses string) (tool, string) {
	s.t.Helper()
	dir := s.t.TempDir()
	script := filepath.Join(dir, "podman")
	must(s.t, os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
echo "$*" >>%[1]s/calls
for id in "$@"; do
	[ "$id" = "%[2]s" ] || sed -i "s/{[^{}]*\"id\":\"$id\"[^}]*},\?//; s/,]/]/" %[3]s
done
`, dir, refuses, s.file()), 0o700))
	return tool{podman.Tools()[0], script}, filepath.Join(dir, "calls")
}

func (s aStore) job() Job {
	job := aJob()
	job.Span = Span{s.created.Add(-time.Minute).UnixMicro(), s.created.Add(time.Minute).UnixMicro()}
	job.Layers[0].Graph = s.Graph
	return job
}

func TestADeadBuildsContainersAreRemovedAndNoOthers(t *testing.T) {
	s := newStore(t)
	s.add(hex('1'), hex('a'), "{}")                                       // its step's
	s.add(hex('2'), hex('b'), "{}")                                       // an instruction's
	s.add(hex('3'), hex('c'), "null")                                     // buildah from
	s.add(hex('4'), hex('d'), `{},"CommonBuildOpts":{"IdentityLabel":2}`) // buildah from of 1.28
	podman, calls := s.tool("")
	items, err := tidier{[]tool{podman}, alone, nil, nil, none}.tidy(context.Background(), s.job())
	must(t, err)
	if got := s.ids(); !slices.Equal(got, []string{hex('3'), hex('4')}) {
		t.Errorf("left are %v", got)
	}
	if len(items) != 2 || !items[0].Removed || !items[1].Removed || items[0].Bytes < 64<<10 {
		t.Errorf("%+v", items)
	}
	said, _ := os.ReadFile(calls)
	if want := "rm --force " + hex('1') + " " + hex('2') + "\n"; string(said) != want {
		t.Errorf("called with %q", said)
	}
}

func TestWhatPodmanDoesNotRemoveIsTriedInTheStorageThatWasSeenAndThenNamed(t *testing.T) {
	s := newStore(t)
	s.add(hex('1'), hex('a'), "{}")
	podman, calls := s.tool(hex('1'))
	items, _ := tidier{[]tool{podman}, alone, nil, nil, none}.tidy(context.Background(), s.job())
	if len(items) != 1 || items[0].Removed || items[0].Why != WhyFailed {
		t.Errorf("%+v", items)
	}
	said, _ := os.ReadFile(calls)
	if want := "--root " + s.Graph + " --storage-driver overlay rm --force"; !strings.Contains(string(said), want) {
		t.Errorf("called with %q", said)
	}
	if items, _ = (tidier{look: alone, runtimes: none}).tidy(context.Background(), s.job()); len(items) != 1 || items[0].Why != WhyNoTool {
		t.Errorf("without a tool: %+v", items)
	}
}

func TestAContainerThatAProcessUsesStays(t *testing.T) {
	s := newStore(t)
	s.add(hex('1'), hex('a'), "{}")
	file, err := os.Open(filepath.Join(s.Layer(hex('a')), "diff", "file"))
	must(t, err)
	defer file.Close()
	podman, _ := s.tool("")
	items, err := tidier{[]tool{podman}, alone, nil, nil, none}.tidy(context.Background(), s.job())
	must(t, err)
	if len(items) != 1 || items[0].Removed || items[0].Why != WhyUsed || len(s.ids()) != 1 {
		t.Errorf("%+v", items)
	}
}

// bundle makes what podman leaves of a step: with directories that nobody may enter.
func bundle(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "mnt", "rootfs"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "run"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600))
	must(t, os.Symlink("/etc", filepath.Join(dir, "run", "link")))
	must(t, os.Chmod(filepath.Join(dir, "mnt", "rootfs"), 0))
	must(t, os.Chmod(filepath.Join(dir, "mnt"), 0o100))
}

func TestADeadBuildsBundleIsRemoved(t *testing.T) {
	dir := t.TempDir()
	job := aJob()
	job.Layers, job.Span = nil, Span{time.Now().Add(-time.Minute).UnixMicro(), time.Now().Add(time.Minute).UnixMicro()}
	mine, other := filepath.Join(dir, "buildah42"), filepath.Join(dir, "mine")
	bundle(t, mine)
	must(t, os.Mkdir(other, 0o700))
	outside := t.TempDir()
	link := filepath.Join(dir, "buildah43")
	must(t, os.Symlink(outside, link))
	job.Bundles = []string{mine, other, link, filepath.Join(dir, "buildah44")}
	items, err := tidier{look: alone, runtimes: none}.tidy(context.Background(), job)
	must(t, err)
	if _, err := os.Lstat(mine); err == nil {
		t.Errorf("the bundle is there: %+v", items)
	}
	for _, dir := range []string{other, link, outside} {
		if _, err := os.Lstat(dir); err != nil {
			t.Error(err)
		}
	}
	if len(items) != 3 || !items[0].Removed || items[1].Why != WhyReplaced || items[2].Why != WhyReplaced {
		t.Errorf("%+v", items)
	}
}

// TestABundleIsRemovedWhenItsNetworkIsGivenBack: it is the record of what its step was lent.
func TestABundleIsRemovedWhenItsNetworkIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	job := Job{Version: docVersion, Span: Span{From: time.Now().Add(-time.Minute).UnixMicro()}}
	free, lent, used := filepath.Join(dir, "buildah42"), filepath.Join(dir, "buildah43"), filepath.Join(dir, "buildah44")
	job.Bundles = []string{free, lent, used}
	for _, path := range job.Bundles {
		bundle(t, path)
	}
	var asked []string
	giveBack := func(container string) error {
		asked = append(asked, container)
		if container == "buildah-buildah43" {
			return errors.New("podman's lock is held")
		}
		return nil
	}
	look := func() (processes, error) {
		return processes{used: []string{filepath.Join(used, "mnt", "rootfs")}}, nil
	}
	items, err := tidier{look: look, giveBack: giveBack, runtimes: none}.tidy(context.Background(), job)
	must(t, err)
	if len(items) != 3 || !items[0].Removed || items[1].Why != WhyFailed || items[2].Why != WhyUsed {
		t.Errorf("%+v", items)
	}
	if want := []string{"buildah-buildah42", "buildah-buildah43"}; !slices.Equal(asked, want) {
		t.Errorf("given back is what %v have", asked)
	}
}

func TestAnotherDirectoryByTheRequestsNameStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "libpod_builder7")
	must(t, os.Mkdir(dir, 0o700))
	info, err := os.Stat(dir)
	must(t, err)
	st, _ := sys(info)
	job := aJob()
	job.Layers, job.Request = nil, &Dir{dir, st.Ino + 1}
	if items, _ := (tidier{look: alone, runtimes: none}).tidy(context.Background(), job); len(items) != 1 || items[0].Why != WhyReplaced {
		t.Errorf("%+v", items)
	}
	job.Request.Inode = st.Ino
	if items, _ := (tidier{look: alone, runtimes: none}).tidy(context.Background(), job); len(items) != 1 || !items[0].Removed {
		t.Errorf("%+v", items)
	}
}

func TestAHelperRefusesWhatTheDaemonDoesNotSay(t *testing.T) {
	for _, job := range []string{
		"", "{}", `{"v":1,"unknown":1}`, `{"v":1} {"v":1}`, `{"v":2}`,
		`{"v":1,"span":{"from":1},"layers":[{"id":"x","graph":"/","driver":"overlay"}]}`,
		`{"v":1,"span":{"from":1},"bundles":["/var/tmp/../../etc"]}`,
		`{"v":1,"span":{"from":1},"request":{"path":"x","inode":1}}`,
	} {
		var out bytes.Buffer
		if status := Tidy(strings.NewReader(job), &out, nil); status != 1 || !strings.Contains(out.String(), `"error"`) {
			t.Errorf("%s: %d, %s", job, status, out.String())
		}
	}
}

// alone is a look at the processes of this one: others of the host build too.
func alone() (found processes, err error) {
	self, err := procfs.Self()
	if err == nil {
		found.used = linksOf(self)
	}
	return found, err
}

func TestAContainerThatALivingBuilderMayHaveMadeStays(t *testing.T) {
	s := newStore(t)
	s.add(hex('1'), hex('b'), "{}")
	builder := func() (processes, error) {
		return processes{builders: []int64{s.created.Add(-time.Second).UnixMicro()}}, nil
	}
	podman, _ := s.tool("")
	items, err := tidier{[]tool{podman}, builder, nil, nil, none}.tidy(context.Background(), s.job())
	must(t, err)
	if len(items) != 1 || items[0].Why != WhyDoubt || len(s.ids()) != 1 {
		t.Errorf("%+v", items)
	}
}

// TestFuseOverlayfsUsesNothingOfWhatItServes: that of a builder that was killed lives on, and has
// the directories of the working container open.
func TestFuseOverlayfsUsesNothingOfWhatItServes(t *testing.T) {
	for name, want := range map[string]bool{podman.MountHelper: false, "sh": true} {
		dir := t.TempDir()
		shell := proctest.Copy(t, "/bin/sh", name)
		proctest.Shell(t, ":", func(cmd *exec.Cmd) { cmd.Path, cmd.Dir = shell, dir })
		found, err := lookAtProcesses()
		must(t, err)
		if found.use(dir) != want {
			t.Errorf("%s uses its directory: %v", name, !want)
		}
	}
}

func TestWhoCanMakeWorkingContainers(t *testing.T) {
	for command, want := range map[string]bool{
		"podman build": true, "podman image build": true, "podman kube play": true, "podman system service": true, "buildah bud": true,
		"podman run": false, "podman": false, "buildah run": false, "buildah": false, "imagefactory build": false,
	} {
		if podman.MakesStages(command) != want {
			t.Errorf("%s: %v", command, !want)
		}
	}
	if _, err := lookAtProcesses(); err != nil {
		t.Error(err)
	}
}

// none is no directory of any OCI runtime's.
func none(string) []string { return nil }

// TestTheRuntimeForgetsAContainerWhoseMonitorWasKilled: a bundle stays as long as it does not.
func TestTheRuntimeForgetsAContainerWhoseMonitorWasKilled(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	state := filepath.Join(dir, "state")
	must(t, os.WriteFile(filepath.Join(bin, "crun"), []byte("#!/bin/sh\n[ \"$1 $3\" = \"--root delete\" ] && [ $# = 4 ] && [ $4 != buildah-buildah43 ] && rm -r $2/$4\n"), 0o700))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	job := Job{Version: docVersion, Span: Span{From: time.Now().Add(-time.Minute).UnixMicro()}}
	for i, name := range []string{"buildah42", "buildah43", "buildah44"} {
		must(t, os.MkdirAll(filepath.Join(state, "buildah-"+name), 0o700))
		job.Bundles = append(job.Bundles, filepath.Join(dir, name))
		if i < 2 { // the last one is gone
			bundle(t, job.Bundles[i])
		}
	}
	runtimes := func(name string) []string {
		if name != "crun" {
			return nil
		}
		return []string{state}
	}
	items, err := tidier{look: alone, runtimes: runtimes}.tidy(context.Background(), job)
	must(t, err)
	if len(items) != 2 || !items[0].Removed || items[1].Why != WhyFailed {
		t.Errorf("%+v", items)
	}
	if left, _ := os.ReadDir(state); len(left) != 1 || left[0].Name() != "buildah-buildah43" {
		t.Errorf("it knows %v", left)
	}
}
