package survivors

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/api"
)

// mount is one mount of a namespace.
type mount struct {
	id     int
	device uint32 // of the file system, as the kernel numbers it within
	root   string // which directory of the file system is mounted
	point  string // where, as seen by who lives in the namespace
	fstype string
	peers  []string // the peer groups that it sends to, or hears from
	fuse   bool
	others bool // of FUSE: users other than who mounted it may use it
}

// mountsOf takes from the mount table what matters here.
func mountsOf(infos []*procfs.MountInfo) []mount {
	mounts := make([]mount, 0, len(infos))
	for _, info := range infos {
		device, ok := parseDevice(info.MajorMinorVer)
		if !ok {
			continue
		}
		m := mount{
			id: info.MountID, device: device, root: info.Root, point: info.MountPoint, fstype: info.FSType,
			fuse: info.FSType == "fuse" || info.FSType == "fuseblk" || strings.HasPrefix(info.FSType, "fuse."),
		}
		_, m.others = info.SuperOptions["allow_other"]
		for _, kind := range []string{"shared", "master"} {
			if group := info.OptionalFields[kind]; group != "" {
				m.peers = append(m.peers, group)
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// parseDevice makes of major:minor what names a FUSE connection.
//
// Source: linux, fs/fuse/control.c, fuse_ctl_add_conn; include/linux/kdev_t.h.
func parseDevice(majorMinor string) (uint32, bool) {
	major, minor, ok := strings.Cut(majorMinor, ":")
	high, highErr := strconv.ParseUint(major, 10, 12)
	low, lowErr := strconv.ParseUint(minor, 10, 20)
	return uint32(high<<20 | low), ok && highErr == nil && lowErr == nil
}

// on reports whether the path lies on the mount, by its name.
func (m mount) on(path string) bool {
	return path == m.point || strings.HasPrefix(path, strings.TrimSuffix(m.point, "/")+"/")
}

func (m mount) wait(file string, waiting map[uint32]int) api.Wait {
	wait := api.Wait{File: file, Mount: m.point, FSType: m.fstype}
	if m.fuse {
		wait.Connection, wait.Requests = m.device, max(0, waiting[m.device])
	}
	return wait
}

// mountIDOf reads from a descriptor's /proc/PID/fdinfo/FD which mount its file is
// on; 0 where that can't be read.
func mountIDOf(fdinfo string) int {
	id, _ := strconv.Atoi(fdinfoField(fdinfo, "mnt_id"))
	return id
}

// fdinfoField reads one line of a /proc/PID/fdinfo/FD.
func fdinfoField(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
