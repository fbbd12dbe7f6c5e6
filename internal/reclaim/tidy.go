package reclaim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Tidy is the helper: it reads a job, removes what is only that build's as the user that it
// is, and writes what it has done. giveBack gives back what a RUN container that is gone had of
// the network. It returns the program's exit status.
func Tidy(in io.Reader, out io.Writer, giveBack func(container string) error) int {
	var job Job
	result := Result{Version: docVersion}
	err := decode(in, &job)
	if err == nil {
		err = job.check()
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), tidyLimit)
		defer cancel()
		result.Items, err = do(ctx, tidier{tools(), lookAtProcesses, temporary(), giveBack, runtimeDirectories}, job)
	}
	if err != nil {
		result.Error = cut(err.Error())
	}
	if _, writeErr := out.Write(encode(result)); writeErr != nil || err != nil {
		return 1
	}
	return 0
}

func do(ctx context.Context, t tidier, job Job) (items []Item, err error) {
	switch {
	case job.Prune == nil:
		return t.tidy(ctx, job)
	case len(job.Prune.Remove) > 0:
		items, err = Leftovers{t}.Remove(ctx, time.UnixMicro(job.Prune.Before), job.Prune.Remove)
	case hasStorage():
		items, err = Leftovers{t}.Find(ctx, time.UnixMicro(job.Prune.Before))
	}
	return items[:min(len(items), maxItems)], err
}

// hasStorage reports whether the user that this is seems to have one: to ask podman would make it.
func hasStorage() bool {
	home := os.Getenv("HOME")
	return os.Geteuid() == 0 || isDir(filepath.Join(home, ".local/share/containers")) || isDir(filepath.Join(home, ".config/containers"))
}

// Limits of a helper's time: its own, that of podman's locks among it, and the unit's.
const (
	tidyLimit = 50 * time.Second
	unitLimit = time.Minute
	// toolWait is how long a podman that was told to end may take to let go.
	toolWait = 5 * time.Second
)

func cut(text string) string { return text[:min(len(text), maxPath)] }

// tidier removes by these programs what no process uses.
type tidier struct {
	tools []tool
	look  func() (processes, error)
	// temporary are the directories in which builds make theirs.
	temporary []string
	giveBack  func(container string) error
	// runtimes are the directories of an OCI runtime's.
	runtimes func(name string) []string
}

func runtimeDirectories(name string) []string { return podman.RuntimeDirectories(name, os.Geteuid()) }

// tool is a program that removes working containers.
type tool struct {
	podman.Tool
	path string
}

// tools are the programs of the host, best first.
func tools() (all []tool) {
	for _, t := range podman.Tools() {
		if path, err := exec.LookPath(t.Name); err == nil {
			all = append(all, tool{t, path})
		}
	}
	return all
}

func (t tidier) tidy(ctx context.Context, job Job) ([]Item, error) {
	var items []Item
	var failed error
	running, err := t.look()
	if err != nil {
		return nil, err
	}
	stores := storesOf(job)
	if job.Configured {
		configured, ok, err := t.configured(ctx)
		if ok {
			stores = append(stores, configured.store)
		}
		t = t.with(configured.temporary)
		failed = err
	}
	for _, s := range stores {
		found, err := t.containers(ctx, job, s, running)
		items, failed = append(items, found...), errors.Join(failed, err)
	}
	for _, bundle := range job.Bundles {
		items = append(items, t.thing(ctx, thing{path: bundle, kind: KindBundle, life: job.Span}, job, running)...)
	}
	if job.Request != nil {
		d := thing{path: job.Request.Path, kind: KindRequest, inode: job.Request.Inode, life: job.Span}
		items = append(items, t.thing(ctx, d, job, running)...)
	}
	for _, d := range t.unseen(job) {
		items = append(items, t.thing(ctx, d, job, running)...)
	}
	return items[:min(len(items), maxItems)], failed
}

// containers removes the build's from one storage.
func (t tidier) containers(ctx context.Context, job Job, s store, running processes) (items []Item, err error) {
	records, err := s.records()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range records {
		remove, why, concerned := Decide(job, r, running.builtAt)
		if !concerned {
			continue
		}
		if remove && running.use(s.Layer(r.Layer)) {
			remove, why = false, WhyUsed
		}
		if remove {
			ids = append(ids, r.ID)
		}
		items = append(items, Item{Kind: KindContainer, What: r.ID, Bytes: s.size(r), Created: r.Created, Why: why})
	}
	if len(ids) == 0 {
		return items, nil
	}
	left, err := t.remove(ctx, s, ids)
	for i := range items {
		switch {
		case !slices.Contains(ids, items[i].What):
		case !slices.Contains(left, items[i].What):
			items[i].Removed = true
		case len(t.tools) == 0:
			items[i].Why = WhyNoTool
		default:
			items[i].Why = WhyFailed
		}
	}
	return items, err
}

// remove has the tools remove containers, one tool after the other, and returns those that
// are there afterwards.
func (t tidier) remove(ctx context.Context, s store, ids []string) (left []string, failed error) {
	left, transient, err := s.there(ids)
	if err != nil {
		return ids, err
	}
	// In the storage that is the user's by configuration; else in the one that was seen.
	places := [][]string{nil, s.Flags()}
	if transient {
		places = slices.Insert(places, 0, []string{podman.TransientFlag})
	}
	for _, tool := range t.tools {
		for _, global := range places {
			if len(left) == 0 {
				return nil, nil
			}
			_, err := run(ctx, tool.path, append(append(slices.Clone(global), tool.Remove...), left...))
			failed = errors.Join(failed, err)
			if left, _, err = s.there(left); err != nil {
				return left, err
			}
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return left, failed
}

// run runs a program to its end. One that is out of time is told to end: podman then lets go
// of its locks.
func run(ctx context.Context, program string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = toolWait
	var out, said bytes.Buffer // podman warns a user without a session of that, and answers all the same
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, cut(strings.TrimSpace(out.String()+said.String())))
	}
	return out.String(), nil
}

// environment is what podman needs to find the user's storage. None of a build's is known: systemd
// gives a helper none of these but PATH and HOME; they are for who calls `buildwatchctl prune`.
func environment() []string {
	env := []string{"LC_ALL=C.UTF-8"}
	for _, name := range podman.StorageVariables() {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	const runtimeDir = "XDG_RUNTIME_DIR"
	if dir := "/run/user/" + strconv.Itoa(os.Getuid()); os.Getenv(runtimeDir) == "" && os.Getuid() != 0 && isDir(dir) {
		env = append(env, runtimeDir+"="+dir)
	}
	return env
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// thing removes one, where it is there.
func (t tidier) thing(ctx context.Context, d thing, job Job, running processes) []Item {
	item, there := d.look()
	switch {
	case !there:
		if d.kind == KindBundle && !job.Look {
			_ = t.forget(ctx, containerOf(d.path)) // somebody has removed it, and not that
		}
		return nil
	case item.Why != WhyNone:
	case d.unseen && job.rivals(item.Created, running.maker(d.kind)):
		item.Why = WhyDoubt
	case running.use(d.path):
		item.Why = WhyUsed
	case job.Look:
		item.Why = WhyLook
	default:
		item.Why = t.removeThing(ctx, d)
		item.Removed = item.Why == WhyNone
	}
	return []Item{item}
}

// removeThing removes one, and says why it could not. A bundle goes when its RUN container has
// nothing of the network any more, and the runtime has forgotten it: it is the record of that.
func (t tidier) removeThing(ctx context.Context, d thing) Why {
	if unmountIn(d.path); mountedIn(d.path) {
		return WhyMounted
	}
	if d.kind == KindBundle {
		container := containerOf(d.path)
		if t.forget(ctx, container) != nil || t.giveBack != nil && t.giveBack(container) != nil {
			return WhyFailed
		}
	}
	if d.remove() != nil {
		return WhyFailed
	}
	return WhyNone
}

func containerOf(bundle string) string { return podman.ContainerOf(filepath.Base(bundle)) }

// forget has the OCI runtime forget a RUN container whose monitor was killed. It refuses that as long as
// a process of the container lives.
func (t tidier) forget(ctx context.Context, container string) (failed error) {
	for _, name := range podman.Runtimes() {
		for _, dir := range t.runtimes(name) {
			record := filepath.Join(dir, container)
			if !isDir(record) {
				continue
			}
			if _, err := run(ctx, name, []string{"--root", dir, "delete", container}); isDir(record) {
				failed = errors.Join(failed, err, fmt.Errorf("%s is there", record))
			}
		}
	}
	return failed
}

// configuration is what podman says of the user's.
type configuration struct {
	store
	temporary []string // where podman makes temporary files, if that is not as usual
}

// configured is what the user's configuration names; none where neither tool is there.
func (t tidier) configured(ctx context.Context) (c configuration, ok bool, err error) {
	if len(t.tools) == 0 {
		return configuration{}, false, nil
	}
	tool := t.tools[0]
	out, err := run(ctx, tool.path, tool.Info)
	if err != nil {
		return configuration{}, false, err
	}
	said := strings.SplitN(strings.TrimSpace(out), " ", 3)
	if len(said) < 2 {
		return configuration{}, false, fmt.Errorf("%s info says %q", tool.path, out)
	}
	c.store = store{podman.Storage{Graph: said[0], Driver: said[1]}}
	if !cleanPath(c.Graph) || !c.Known() {
		return configuration{}, false, fmt.Errorf("%s info names no storage that is known here: %q", tool.path, out)
	}
	if len(said) == 3 && cleanPath(said[2]) {
		c.temporary = said[2:]
	}
	return c, true, nil
}
