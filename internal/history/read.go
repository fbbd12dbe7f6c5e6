package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// A Query says which entries are read. Its zero value is all that the caller may read.
type Query struct {
	UID    uint32 // who asks: root reads of all builds, everybody else of their own
	ID     string // only of the build with the ID
	Since  string // as journalctl's --since takes it
	Until  string // likewise
	Last   int    // no more than so many, the newest, need be read; 0 for all
	Follow bool   // go on with what comes, until the context ends
	// Storage: not builds are read but what became of what they had left in storage.
	Storage bool
}

// ErrNoJournalctl is returned where there is no journalctl.
var ErrNoJournalctl = errors.New("there is no journalctl on this host")

// ErrTimes is returned for times that journalctl does not take.
var ErrTimes = errors.New("not times that journalctl takes, the earlier one first")

// ErrForbidden is returned where who asks may read no journal at all, not even one of their own: the
// entries of UIDs of the system's, as CI runners often have, are in the system's journal.
var ErrForbidden = errors.New("ended builds are in the journal of the system here, which only root and the group systemd-journal may read")

// unit is the daemon's. Of the fields that begin with an underscore journald believes
// nobody: an entry that a user has made up does not have it.
const unit = "buildwatchd.service"

// copies is how often a build may be told of: in the system's journal and its user's.
const copies = 2

// arguments are those of journalctl.
//
// Source: journalctl(1); systemd, docs/JOURNAL_EXPORT_FORMATS.md.
func (q Query) arguments() []string {
	args := []string{"--quiet", "--no-pager", "--all", "--output=export", "--output-fields=" + q.wantedFields()}
	if q.Since != "" {
		args = append(args, "--since="+q.Since)
	}
	if q.Until != "" {
		args = append(args, "--until="+q.Until)
	}
	switch {
	case q.Last > 0 && q.Since == "" && q.Until == "": // with these, --lines counts from other ends in other versions
		args = append(args, "--lines="+strconv.Itoa(copies*q.Last))
	case q.Follow:
		args = append(args, "--lines=all")
	}
	if q.Follow {
		args = append(args, "--follow")
	}
	id := api.EndedMessageID
	if q.Storage {
		id = api.ReclaimedMessageID
	}
	args = append(args, "MESSAGE_ID="+id, "_SYSTEMD_UNIT="+unit)
	if q.UID == 0 {
		args = append(args, "_UID=0") // of a user's build there is a copy in the user's journal
	} else {
		args = append(args, prefix+"UID="+decimal(q.UID))
	}
	if q.ID != "" {
		args = append(args, prefix+"ID="+q.ID)
	}
	return args
}

func (q Query) wantedFields() string {
	var names []string
	for _, f := range fields {
		if !q.Storage || f.name == "ID" || f.name == "UID" {
			names = append(names, prefix+f.name)
		}
	}
	if q.Storage {
		for _, f := range storageFields {
			names = append(names, prefix+f.name)
		}
	}
	return strings.Join(names, ",")
}

// Read calls each with the ended builds, oldest first, until there are none left, the
// context ends, or each fails, whose error it returns. One that is in the journal
// twice is told of once.
func Read(ctx context.Context, q Query, each func(api.Ended) error) error {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return ErrNoJournalctl
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(run, path, q.arguments()...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if !q.Storage {
		each = onceEach(each)
	}
	failed := decode(out, each)
	if failed != nil {
		cancel() // else it ends by itself
	}
	err = cmd.Wait()
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return nil // what it complains of is a part of the journal, such as a damaged file
	case complaint.Len() > 0:
		line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		if strings.HasPrefix(line, "Failed to parse timestamp") || strings.Contains(line, "must be before") {
			return ErrTimes
		}
		if strings.Contains(line, "insufficient permissions") {
			return ErrForbidden
		}
		return fmt.Errorf("read the journal: journalctl says: %s", line)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) { // where no entry fits, some versions exit with 1
		return fmt.Errorf("read the journal: %w", err)
	}
	return nil
}

// onceEach passes over a build that was told of already: who reads the system's journal
// besides their own finds it in both.
func onceEach(each func(api.Ended) error) func(api.Ended) error {
	seen := map[string]bool{}
	return func(e api.Ended) error {
		key := e.ID + stamp(e.CreatedAt)
		if seen[key] {
			return nil
		}
		seen[key] = true
		return each(e)
	}
}

// maxField is the size of the largest field that is read, in bytes: the daemon writes
// none above 4 KiB.
const maxField = 64 << 10

// decode reads the journal's export format: a field a line, an empty line after each
// entry; a value that is no text has its length before it. An entry that is not as this
// version, or an earlier one, writes it is left out: it is a later one's.
func decode(from io.Reader, each func(api.Ended) error) error {
	in := bufio.NewReaderSize(from, 1<<16)
	e, good := blank(), true
	begun := false
	finish := func() error {
		defer func() { e, good, begun = blank(), true, false }()
		if !begun || !good || e.ID == "" {
			return nil
		}
		return each(e)
	}
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return finish()
		case errors.Is(err, bufio.ErrBufferFull):
			return errors.New("read the journal: a line without end")
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("read the journal: %w", err)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) == 0 {
			if err := finish(); err != nil {
				return err
			}
			continue
		}
		name, value, isText := bytes.Cut(line, []byte("="))
		f, known := byName[string(name)]
		if !isText {
			name := string(name)
			if value, err = binaryValue(in); err != nil {
				return fmt.Errorf("read the journal: field %q: %w", name, err)
			}
		}
		if known {
			begun = true
			good = f.set(&e, string(value)) == nil && good
		}
	}
}

func blank() api.Ended {
	return api.Ended{Arch: []string{}, ProcessesEnded: map[string]int{}, Rungs: []api.EndedRung{}}
}

var byName = func() map[string]field {
	m := make(map[string]field, len(fields))
	for _, f := range slices.Concat(fields, storageFields) {
		m[prefix+f.name] = f
	}
	return m
}()

// binaryValue reads the value of a field whose name alone was on its line.
func binaryValue(in *bufio.Reader) ([]byte, error) {
	var length uint64
	if err := binary.Read(in, binary.LittleEndian, &length); err != nil {
		return nil, err
	}
	if length > maxField {
		return nil, fmt.Errorf("%d bytes", length)
	}
	value := make([]byte, length+1) // and a newline
	if _, err := io.ReadFull(in, value); err != nil {
		return nil, err
	}
	return value[:length], nil
}
