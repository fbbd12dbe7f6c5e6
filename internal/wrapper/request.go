package wrapper

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/requestdir"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// Bounds on the search through such directories: beyond them nothing is excluded.
const (
	maxFiles   = 2000                  // files of one context
	maxFile    = 256 << 10             // bytes of one of them
	searchTime = 50 * time.Millisecond // for all of it
)

// requests names the directories of the build requests that this container may
// belong to, as far as they can be told from here: those of the caller's that are
// there. Where there are several, one whose files could all be read, and do not
// hold the RUN step, is left out.
//
// It is here, and not in the daemon, since it opens files that the user has
// chosen: as that user, and at that user's risk.
func requests(config []byte) []string { return few(candidates(config)) }

// candidates are the directories, however many.
func candidates(config []byte) []string {
	parent := os.Getenv("TMPDIR")
	if parent == "" {
		parent = requestdir.DefaultParent
	}
	found := requestdir.List(parent, uint32(unix.Geteuid()))
	if len(found) < 2 {
		return found
	}
	step := stepOf(config)
	if step == "" {
		return found
	}
	deadline := time.Now().Add(searchTime)
	var holding, unknown []string
	for _, dir := range found {
		switch holds, known := search(filepath.Join(dir, "build"), step, deadline); {
		case holds:
			holding = append(holding, dir)
		case !known:
			unknown = append(unknown, dir)
		}
	}
	if len(holding) == 0 {
		return found // the step is not as it was written: nothing can be told
	}
	return append(holding, unknown...)
}

// few is the directories, or none where there are too many to tell. A service that is
// killed leaves those of its requests, and nobody removes them: it is those that may be
// this request's that count.
func few(dirs []string) []string {
	if len(dirs) > wire.MaxRequests {
		return nil
	}
	return dirs
}

// stepOf returns the words of the RUN step that the container runs, see essence.
func stepOf(config []byte) string {
	var c struct {
		Process struct {
			Args []string `json:"args"`
		} `json:"process"`
	}
	if json.Unmarshal(config, &c) != nil {
		return ""
	}
	args := c.Process.Args
	if len(args) > 2 && args[1] == "-c" {
		args = args[2:] // the shell form: the shell is not in the Containerfile
	}
	return essence(strings.Join(args, " "))
}

// essence keeps letters and digits: what a Containerfile's continued lines, quotes
// and JSON have in common with the arguments that become of them.
func essence(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
}

// withoutComments leaves out the lines that a Containerfile's parser leaves out of
// a continued instruction.
func withoutComments(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// search looks for the step in all files below root. known is false where not all
// of them could be read.
func search(root, step string, deadline time.Time) (holds, known bool) {
	files := 0
	known = true
	_ = filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if files++; err != nil || files > maxFiles || time.Now().After(deadline) {
			known = false
			return filepath.SkipAll
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := readSmall(name)
		if err != nil {
			known = false
			return nil
		}
		if bytes.IndexByte(content, 0) >= 0 {
			return nil // not a text
		}
		text := string(content)
		if strings.Contains(essence(text), step) || strings.Contains(essence(withoutComments(text)), step) {
			holds = true
			return filepath.SkipAll
		}
		return nil
	})
	return holds, known && files > 1
}

// readSmall reads a regular file, and nothing of one that is larger than maxFile:
// no Containerfile is.
func readSmall(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxFile {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}
