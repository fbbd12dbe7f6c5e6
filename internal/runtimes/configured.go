package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// DropIn is the name of the file that makes podman call the wrapper. What it says is
// not what podman would do without it.
const DropIn = "50-buildwatch.conf"

// Program is the wrapper's file. Links with the runtimes' names lead to it.
const Program = "buildwatch-runtime"

// maxConfig is the size of the largest configuration file that is read, in bytes.
const maxConfig = 1 << 20

// Files lists the files that podman and buildah may read their runtimes' paths from, in
// the order in which a later one's row replaces an earlier one's. They need not exist.
//
// Up to podman 5 all main files are read, then the drop-ins of /etc, then the user's;
// podman 6 reads one main file, and then the drop-ins of all directories by their
// names. One order stands here for both: ours is a drop-in of /etc, and podman calls the
// wrapper only where no row replaces ours. So what sorts differently is what has no
// such row, or names the wrapper itself.
func Files(getenv func(string) string, euid int) []string {
	return podman.ConfigFiles(getenv, euid, list)
}

// list returns a directory's drop-ins. One that can't be read has none.
func list(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && strings.HasSuffix(entry.Name(), podman.DropInSuffix) {
			files = append(files, filepath.Join(dir, entry.Name()))
		}
	}
	return files
}

// read returns what a file says. It is the zero value for one that says nothing of
// rows, that is not there, or that podman could not read either.
func read(name string) podman.Config {
	content, err := readFile(name)
	if err != nil {
		return podman.Config{}
	}
	return podman.ReadConfig(content)
}

// readFile reads a regular file, without waiting for anybody.
func readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	// Not as an os.File: for one that does not block Go sets up its poller.
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxConfig {
		return nil, unix.EINVAL
	}
	content := make([]byte, 0, st.Size+1)
	for len(content) < cap(content) {
		n, err := unix.Read(fd, content[len(content):cap(content)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return content, nil
		}
		content = content[:len(content)+n]
	}
	return nil, unix.EAGAIN // it grows while it is read
}

// row is where podman would look for a runtime without our drop-in: the last row that
// the files have for it, or what podman has compiled in.
func row(name string, files []string) []string {
	paths := table[name]
	for _, file := range files {
		if filepath.Base(file) == DropIn {
			continue
		}
		if own, ok := read(file).Rows[name]; ok {
			paths = own
		}
	}
	return paths
}
