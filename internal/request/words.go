package request

import (
	"encoding/binary"
	"os"
	"sort"
	"strconv"

	"github.com/prometheus/procfs"
)

// words are another process's memory, read by the page: what it has made itself, and
// nothing else, in the order of addresses. Reading it may hang.
type words struct {
	regions []*procfs.ProcMap
	content *os.File
	pages   map[uint64][]byte // nil where there is none
}

func (w *words) open(pid int) (err error) {
	w.pages = map[uint64][]byte{}
	w.content, err = os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
	return err
}

func (w *words) close() { w.content.Close() }

// pageSize is what is read at once.
const pageSize = 4096

// word is the one at the address; false where there is none, or too much was read.
func (w *words) word(at uint64) (uint64, bool) {
	if at%wordSize != 0 || regionOf(w.regions, at) == nil {
		return 0, false
	}
	number := at / pageSize
	page, known := w.pages[number]
	if !known && len(w.pages) < maxPages {
		page = make([]byte, pageSize)
		if n, _ := w.content.ReadAt(page, int64(number*pageSize)); n < pageSize {
			page = nil
		}
		w.pages[number] = page
	}
	if page == nil {
		return 0, false
	}
	return binary.NativeEndian.Uint64(page[at%pageSize:]), true
}

// regionOf is the one that holds the address, or nil.
func regionOf(regions []*procfs.ProcMap, at uint64) *procfs.ProcMap {
	i := sort.Search(len(regions), func(i int) bool { return uint64(regions[i].EndAddr) > at })
	if i == len(regions) || uint64(regions[i].StartAddr) > at {
		return nil
	}
	return regions[i]
}
