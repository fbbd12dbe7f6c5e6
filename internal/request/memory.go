package request

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strconv"
)

// Bounds on what is read of a process: memory that it has, and that it may have. A
// step's monitor has some 20 MiB.
const (
	maxMemory  = 64 << 20
	maxVirtual = 4 << 30
)

var errTooLarge = errors.New("there is too much of it")

// memory is another process's. Reading it may hang.
type memory struct {
	content, pages *os.File
	page           int64
	read, looked   int64 // bytes
}

func openMemory(pid int) (*memory, error) {
	content, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
	if err != nil {
		return nil, err
	}
	pages, err := os.Open("/proc/" + strconv.Itoa(pid) + "/pagemap")
	if err != nil {
		content.Close()
		return nil, err
	}
	return &memory{content: content, pages: pages, page: int64(os.Getpagesize())}, nil
}

func (m *memory) close() {
	m.content.Close()
	m.pages.Close()
}

// parts hands over what the process has in a range of addresses, run by run. What it has
// never touched, of stacks most, is left out: to read that would make pages of it.
//
// Source: linux, Documentation/admin-guide/mm/pagemap.rst: the two highest bits say
// whether a page is in memory, or swapped out.
func (m *memory) parts(from, to int64, search func(io.Reader) error) error {
	if m.looked += to - from; m.looked > maxVirtual {
		return errTooLarge
	}
	entries := make([]byte, (to-from)/m.page*8)
	n, err := m.pages.ReadAt(entries, from/m.page*8)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	begin := int64(-1)
	for at := from; at <= to; at += m.page {
		i := int((at - from) / m.page * 8)
		there := at < to && i+8 <= n && binary.NativeEndian.Uint64(entries[i:])>>62 != 0
		switch {
		case there && begin < 0:
			begin = at
		case !there && begin >= 0:
			if m.read += at - begin; m.read > maxMemory {
				return errTooLarge
			}
			if err := search(io.NewSectionReader(m.content, begin, at-begin)); err != nil {
				return err
			}
			begin = -1
		}
	}
	return nil
}
