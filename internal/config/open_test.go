package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesThatOthersCouldHaveWrittenAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"group may write":  {chmod(0o620), "can be written by group or others"},
		"others may write": {chmod(0o602), "can be written by group or others"},
		"another's file":   {chown(65534), "is owned by uid 65534, not by root"},
		"link":             {replace(func(path string) error { return os.Symlink("/etc/passwd", path) }), "is a symbolic link"},
		"dangling link":    {replace(func(path string) error { return os.Symlink("nowhere", path) }), "is a symbolic link"},
		"directory":        {replace(func(path string) error { return os.Mkdir(path, 0o755) }), "is not a regular file"},
		"pipe":             {replace(func(path string) error { return unix.Mkfifo(path, 0o600) }), "is not a regular file"},
		"socket":           {replace(listen), "is not a regular file"},
		"too large":        {truncate(maxSize + 1), "is larger than 1048576 bytes"},
	} {
		for _, path := range []string{MainFile, AdminDropIns + "/10-x.toml", VendorDropIns + "/10-x.toml"} {
			t.Run(name+" "+filepath.Base(path), func(t *testing.T) {
				root := tree(t, map[string]string{path: "[log]\nlevel = \"debug\"\n"})
				test.spoil(t, root+path)
				_, err := Load(root)
				if err == nil || !strings.HasPrefix(err.Error(), root+path+": "+test.want) {
					t.Errorf("got %v, want %s: %s", err, path, test.want)
				}
			})
		}
	}
}

func TestDirectoriesThatOthersCanWriteAreRefused(t *testing.T) {
	for _, path := range []string{filepath.Dir(MainFile), AdminDropIns, VendorDropIns} {
		t.Run(path, func(t *testing.T) {
			root := tree(t, map[string]string{path + "/10-x.toml": ""})
			must(t, os.Chmod(root+path, 0o777))
			_, err := Load(root)
			if err == nil || !strings.HasPrefix(err.Error(), root+path+": can be written") {
				t.Errorf("got %v, want %s refused", err, path)
			}
		})
	}
}

func TestLargestFileIsRead(t *testing.T) {
	content := "[log]\nlevel = \"debug\"\n"
	content += strings.Repeat("#\n", (maxSize-len(content))/2)
	if c := load(t, tree(t, map[string]string{MainFile: content})); c.Log.Level != "debug" {
		t.Errorf("level %q", c.Log.Level)
	}
}

func chmod(mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.Chmod(path, mode)) }
}

func chown(uid int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if os.Geteuid() != 0 {
			t.Skip("only root can give a file away")
		}
		must(t, os.Chown(path, uid, -1))
	}
}

func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.Truncate(path, size)) }
}

func replace(by func(string) error) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, by(path))
	}
}

// listen leaves a socket at path, which may be longer than a socket's address.
func listen(path string) error {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	return os.Rename(dir+"/s", path)
}

// Of what fits into the largest file, nothing takes the stack or the day.
func TestLargestHostileFilesAreRefusedInTime(t *testing.T) {
	for name, content := range map[string]string{
		"nested lists":  "a = " + strings.Repeat("[", maxSize-4),
		"nested tables": strings.Repeat("a={", maxSize/3),
		"long name":     strings.Repeat("a.", maxSize/2-4) + "a=1",
		"long section":  "[" + strings.Repeat("a.", maxSize/2-4) + "a]",
		"many keys":     strings.Repeat("=\n", maxSize/2),
		"many sections": strings.Repeat("[[a]]\n", maxSize/6),
		"long string":   "log.level = \"" + strings.Repeat("é", maxSize/2-10) + "\"",
		"deep sections": strings.Repeat("[a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a]\n", maxSize/44),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(tree(t, map[string]string{MainFile: content}))
			if err == nil {
				t.Fatal("accepted")
			}
			for line := range strings.Lines(err.Error()) {
				if len(line) > 1000 {
					t.Fatalf("a line of %d bytes", len(line))
				}
			}
		})
	}
}
