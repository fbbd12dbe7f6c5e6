package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Where the configuration is read from. A drop-in of AdminDropIns masks one of the same
// name in RuntimeDropIns, which are until the next boot, and that one in VendorDropIns.
const (
	MainFile       = "/etc/buildwatch/buildwatchd.toml"
	AdminDropIns   = "/etc/buildwatch/buildwatchd.toml.d"
	RuntimeDropIns = "/run/buildwatch/buildwatchd.toml.d"
	VendorDropIns  = "/usr/lib/buildwatch/buildwatchd.toml.d"
)

// file is a configuration file, or a directory of such, that was found.
type file struct {
	path string
	data []byte
	err  error // why it may not be used
}

// find returns the files in the order in which they are to be applied.
func find(root string) []file {
	var files []file
	open := func(path string) *dir {
		d, err := openDir(root + path)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			files = append(files, file{path: root + path, err: err})
		}
		return d
	}
	add := func(d *dir, name string) {
		data, err := d.read(name)
		// A main file that is not there, or a drop-in gone since it was listed.
		if !errors.Is(err, unix.ENOENT) {
			files = append(files, file{d.join(name), data, err})
		}
	}

	if d := open(filepath.Dir(MainFile)); d != nil {
		add(d, filepath.Base(MainFile))
		d.close()
	}

	where := make(map[string]*dir)
	for _, path := range []string{VendorDropIns, RuntimeDropIns, AdminDropIns} {
		d := open(path)
		if d == nil {
			continue
		}
		defer d.close()
		names, err := d.dropIns()
		if err != nil {
			files = append(files, file{path: d.path, err: err})
		}
		for _, name := range names {
			where[name] = d
		}
	}
	for _, name := range slices.Sorted(maps.Keys(where)) {
		add(where[name], name)
	}
	return files
}

// dropIns returns the names of the directory's drop-ins. Hidden files are none:
// editors leave such beside the file that is being written.
func (d *dir) dropIns() ([]string, error) {
	all, err := d.file.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		return strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".toml")
	}), nil
}

// reason returns the error without the path, which the message has already.
func reason(err error) string {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err
	}
	if number, ok := errors.AsType[unix.Errno](err); ok {
		return "cannot be read: " + number.Error()
	}
	return err.Error()
}
