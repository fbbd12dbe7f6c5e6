package scopes

import (
	"strconv"
	"strings"
)

// MemoryPeak is the most memory that the whole scope had at once, in bytes; 0 where the
// kernel does not say, or the scope is gone.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, memory.peak: since 5.19.
func (s *Scope) MemoryPeak() uint64 { return s.numberOr0("memory.peak") }

// Memory is how much memory the whole scope has now, in bytes; 0 where the kernel does
// not say, or the scope is gone.
func (s *Scope) Memory() uint64 { return s.numberOr0("memory.current") }

// OOMKills is how many processes of the scope the kernel has killed for lack of memory.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, memory.events: of all that is
// below the cgroup as well.
func (s *Scope) OOMKills() uint64 {
	events, _ := s.dir.read("memory.events")
	return countOf(events, "oom_kill")
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

// number reads a file that has one number; none for another word in it, such as "max".
func (c *cgroup) number(file string) (n uint64, some bool) {
	text, _ := c.read(file)
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

func (s *Scope) numberOr0(file string) uint64 {
	if n, some := s.dir.number(file); some {
		return n
	}
	return 0
}
