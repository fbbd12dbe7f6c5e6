package scopes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCgroupThatIsClosedMeanwhileIsNoOther: a look at a build that was left behind meets the
// build's end. The descriptor's number is not another file's before the look is over.
func TestCgroupThatIsClosedMeanwhileIsNoOther(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &cgroup{dir: dir, path: "/"}
	var before, after unix.Stat_t
	err = c.with(func(fd int) error {
		err := unix.Fstat(fd, &before)
		c.close()
		other, openErr := os.Open("/")
		if openErr == nil {
			defer other.Close()
		}
		return errors.Join(err, openErr, unix.Fstat(fd, &after))
	})
	if err != nil || before.Ino != after.Ino {
		t.Errorf("inode %d became %d, %v", before.Ino, after.Ino, err)
	}
	if _, err := c.read("cgroup.events"); err == nil {
		t.Error("a cgroup that is closed was read")
	}
}
