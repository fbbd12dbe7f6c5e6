package observe

import (
	"os"
	"slices"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// others are the programs that build and are not installed as podman and buildah are, as far as
// was seen: the kernel tells when one is executed.
type others struct {
	// watch has the kernel tell, until unwatch; it is nil while nobody listens.
	watch  func(*os.File) (unwatch func(), err error)
	places *share.Pool
	known  []other // oldest first
}

// other is one of them.
type other struct {
	proc.FileID
	account share.Account // whose it is
	unwatch func()
	release func() // its place
	// doubted is one whose file may be gone, and its inode number another file's.
	doubted bool
}

// watched bounds them. Beyond its bound an account loses the one that was seen first.
var watched = share.Bounds{User: 16, Users: 256, Spare: 64, Few: 4, Root: 256}

// doubt has each watched anew when it is seen again.
func (o *others) doubt() {
	for i := range o.known {
		o.known[i].doubted = true
	}
}

// has reports whether the file is watched for certain.
func (o *others) has(id proc.FileID) bool {
	return slices.ContainsFunc(o.known, func(k other) bool { return k.FileID == id && !k.doubted })
}

// add has a file watched.
func (o *others) add(account share.Account, id proc.FileID, file *os.File) {
	if o.watch == nil || o.has(id) {
		return
	}
	o.drop(func(k other) bool { return k.FileID == id })
	release, ok := o.places.Take(account)
	if !ok {
		o.drop(func(k other) bool { return k.account == account })
		if release, ok = o.places.Take(account); !ok {
			return
		}
	}
	unwatch, err := o.watch(file)
	if err != nil {
		release()
		return
	}
	o.known = append(o.known, other{FileID: id, account: account, unwatch: unwatch, release: release})
}

// drop lets go of the first such one.
func (o *others) drop(such func(other) bool) {
	if i := slices.IndexFunc(o.known, such); i >= 0 {
		o.known[i].unwatch()
		o.known[i].release()
		o.known = slices.Delete(o.known, i, i+1)
	}
}
