package scopes

import (
	"strconv"
	"strings"
)

// MemoryPeak is the most memory that the whole scope had at once, in bytes; 0 where the
// kernel does not say, or the scope is gone.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, memory.peak: since 5.19.
func (s *Scope) MemoryPeak() uint64 { return s.number("memory.peak") }

// Memory is how much memory the whole scope has now, in bytes; 0 where the kernel does
// not say, or the scope is gone.
func (s *Scope) Memory() uint64 { return s.number("memory.current") }

// OOMKills is how many processes of the scope the kernel has killed for lack of memory.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, memory.events: of all that is
// below the cgroup as well.
func (s *Scope) OOMKills() uint64 {
	text, err := s.dir.read("memory.events")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, _ := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
			return kills
		}
	}
	return 0
}

// IO is how much the whole scope has read from disks and written to them, in bytes; not
// known where the kernel does not say, or the scope is gone.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, io.stat: a line for each device,
// such as "8:16 rbytes=1459200 wbytes=314773504 rios=192 …".
func (s *Scope) IO() (read, written uint64, known bool) {
	text, err := s.dir.read("io.stat")
	if err != nil {
		return 0, 0, false
	}
	read, written = sumIO(string(text))
	return read, written, true
}

func sumIO(stat string) (read, written uint64) {
	for field := range strings.FieldsSeq(stat) {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err != nil:
		case name == "rbytes":
			read += n
		case name == "wbytes":
			written += n
		}
	}
	return read, written
}

// number reads a file of the scope's cgroup that has one number.
func (s *Scope) number(file string) uint64 {
	text, err := s.dir.read(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}
