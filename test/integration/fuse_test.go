//go:build integration

package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A fuseServer is a FUSE file system with four files: "fine" can be read; a read of
// "hang" and "config.json", which the kernel caches, or of "direct", which it does not,
// is answered when the server is released.
type fuseServer struct {
	cmd *exec.Cmd
	dir string
}

// startFUSE mounts one as the user, with options of go-fuse's that have names here.
func startFUSE(t *testing.T, who user, options ...string) *fuseServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "fuse-")
	must(t, err)
	s := &fuseServer{cmd: exec.Command("/proc/self/exe", append([]string{dir}, options...)...), dir: dir}
	s.cmd.Env = append(os.Environ(), roleEnv+"=fuse server")
	s.cmd.Dir = "/"
	id := uint32(userIDs[who])
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	must(t, os.Chown(dir, int(id), int(id)))
	out, err := s.cmd.StdoutPipe()
	must(t, err)
	s.cmd.Stderr = s.cmd.Stdout
	must(t, s.cmd.Start())
	t.Cleanup(func() {
		_, _ = try("umount -l %s", dir)
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		_ = os.Remove(dir)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "mounted\n" {
		t.Fatalf("the FUSE server says %q: %v", line, err)
	}
	return s
}

// release answers all reads.
func (s *fuseServer) release(t *testing.T) {
	t.Helper()
	must(t, s.cmd.Process.Signal(syscall.SIGUSR1))
}

// works reports whether the file system can be used.
func (s *fuseServer) works(who user) bool {
	out, err := who.try("cat %s/fine", s.dir)
	return err == nil && out == "fine"
}

// serveFUSE is the role.
func serveFUSE(dir string, options ...string) error {
	root := &fuseRoot{released: make(chan struct{})}
	server, err := fs.Mount(dir, root, &fs.Options{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), MountOptions: fuse.MountOptions{
		DirectMountStrict: os.Getuid() == 0, // others need fusermount3
		AllowOther:        slices.Contains(options, "allow_other"),
	}})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	fmt.Println("mounted")
	<-signals
	close(root.released)
	server.Wait()
	return nil
}

type fuseRoot struct {
	fs.Inode
	released chan struct{}
}

func (r *fuseRoot) OnAdd(ctx context.Context) {
	fine := &fs.MemRegularFile{Data: []byte("fine\n"), Attr: fuse.Attr{Mode: 0o444}}
	r.AddChild("fine", r.NewPersistentInode(ctx, fine, fs.StableAttr{}), false)
	for name, flags := range map[string]uint32{"hang": 0, "config.json": 0, "direct": fuse.FOPEN_DIRECT_IO} {
		r.AddChild(name, r.NewPersistentInode(ctx, &slowFile{flags: flags, released: r.released}, fs.StableAttr{}), false)
	}
}

type slowFile struct {
	fs.Inode
	flags    uint32
	released chan struct{}
}

func (f *slowFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return &slowHandle{f.released}, f.flags, 0
}

func (f *slowFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Nlink = 0o444, 4096, 1
	return 0
}

type slowHandle struct{ released chan struct{} }

func (h *slowHandle) Read(context.Context, []byte, int64) (fuse.ReadResult, syscall.Errno) {
	<-h.released
	return fuse.ReadResultData([]byte("released\n")), 0
}

// mountNumber is the number of the FUSE connection that is mounted at dir, by the
// mount table.
func mountNumber(t *testing.T, dir string) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if fields[4] == dir {
			return strings.TrimPrefix(fields[2], "0:")
		}
	}
	t.Fatalf("nothing is mounted at %s", dir)
	return ""
}
