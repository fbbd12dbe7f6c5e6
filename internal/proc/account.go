package proc

import (
	"bytes"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/internal/share"
)

// subordinateUIDs is where UIDs are lent to login users, see subuid(5).
const subordinateUIDs = "/etc/subuid"

// Accounts tells for whom something is counted. It is safe for concurrent use. A nil
// one knows of no UID that is lent.
type Accounts struct {
	path string

	mu   sync.Mutex // lock order: 7
	read time.Time  // modification time of the file, as it was read last
	size int64
	lent []lent
}

// lent is a range of UIDs.
type lent struct{ first, count, to uint32 }

// NewAccounts returns the accounts of this host's users.
func NewAccounts() *Accounts { return AccountsBy(subordinateUIDs) }

// AccountsBy returns accounts by another file of subordinate UIDs.
func AccountsBy(path string) *Accounts { return &Accounts{path: path} }

// OfUID is the account of a UID: whoever it is lent to, or that user's own.
func (a *Accounts) OfUID(uid uint32) share.Account {
	if uid == 0 || a == nil {
		return share.Account{UID: uid}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh()
	for _, l := range a.lent {
		if uid >= l.first && uid-l.first < l.count {
			return share.Account{UID: l.to}
		}
	}
	return share.Account{UID: uid}
}

// OfProcess is the account of a process whose UID the kernel has told. For one in a user
// namespace the kernel says who has made that; no file needs to know of it.
func (a *Accounts) OfProcess(h *Handle, uid uint32) share.Account {
	return a.Of(h.PID, uid, h.Alive)
}

// Of is OfProcess for one that is held otherwise: alive reports whether it has not ended.
func (a *Accounts) Of(pid int, uid uint32, alive func() bool) share.Account {
	ns, nested, err := UserNamespaceOf(pid)
	switch {
	case err != nil || !nested || !alive():
		return a.OfUID(uid)
	case ns.Owner != 0:
		return a.OfUID(ns.Owner)
	}
	// Root has made it. Who is in it may be lent its UIDs, or it is what counts.
	if of := a.OfUID(uid); of.UID != uid {
		return of
	}
	return share.Account{UID: nobody, Namespace: ns.Inode}
}

// nobody is the UID of the account of all who live in a user namespace of root's.
const nobody = 65534

// refresh reads the file again if it has changed. It is called with the lock.
func (a *Accounts) refresh() {
	st, err := os.Stat(a.path)
	if err != nil {
		a.lent, a.read, a.size = nil, time.Time{}, 0
		return
	}
	if st.ModTime().Equal(a.read) && st.Size() == a.size {
		return
	}
	content, err := os.ReadFile(a.path)
	if err != nil {
		return
	}
	a.read, a.size, a.lent = st.ModTime(), st.Size(), parseLent(content)
}

// parseLent reads lines of subuid(5): a login name or its UID, the first UID, and how
// many. A name that is not in /etc/passwd stands for a user of which no more is known
// than the first of these UIDs. Other lines are passed over.
func parseLent(content []byte) []lent {
	var all []lent
	known := map[string]uint32{}
	for line := range bytes.Lines(content) {
		fields := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(fields) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 != nil || err2 != nil || first == 0 || first+count > 1<<32 {
			continue
		}
		to, ok := known[fields[0]]
		if !ok {
			if to = uidOf(fields[0]); to == 0 { // not known; or root, whose containers' users are not root
				to = uint32(first)
			}
			known[fields[0]] = to
		}
		all = append(all, lent{uint32(first), uint32(count), to})
	}
	return all
}

// uidOf is the UID of a login user, who is named or numbered; 0 where it is not known.
func uidOf(login string) uint32 {
	if u, err := user.Lookup(login); err == nil {
		login = u.Uid
	}
	uid, err := strconv.ParseUint(login, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(uid)
}
