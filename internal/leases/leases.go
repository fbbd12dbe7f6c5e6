// Package leases gives back what netavark has lent to a RUN container that was killed: its addresses,
// its names in DNS, and the bridge if it was the last one there; of a rootless user's last one also the
// network namespace in which these are, and pasta. It does so by podman's own library, under podman's
// locks. Only the helper imports it, for the size of that library. It may not decide whose a container is.
//
// A step of a rootless build has such a network with `--isolation oci` or `--network NAME`. Others have one
// by a pasta or slirp4netns of their own, of which nothing is left.
//
// Source: containers/buildah 1.28 to 1.43, run_linux.go, runConfigureNetwork: the addresses are
// lent to the container's name; go.podman.io/common 0.67, libnetwork/netavark, run.go, ipam.go.
package leases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.podman.io/common/libnetwork/netavark"
	"go.podman.io/common/libnetwork/types"
	"go.podman.io/common/pkg/config"
	"go.podman.io/storage/pkg/unshare"
	storage "go.podman.io/storage/types"
	"golang.org/x/sys/unix"
)

// Where podman of root's keeps its networks, and what it has lent.
//
// Source: go.podman.io/common 0.67, libnetwork/network, interface_linux.go.
const (
	runDir    = "/run/containers/networks"
	configDir = "/etc/containers/networks"
	database  = "ipam.db"
)

// lockLimit is how long the database's lock is waited for, which is held for milliseconds.
const lockLimit = 5 * time.Second

// place is where a user's podman keeps its networks, and what it has lent.
type place struct{ run, config string }

// placeOf is that of the user that this is, who may be root in podman's user namespace.
func placeOf() (place, error) {
	if !rootless() {
		return place{runDir, configDir}, nil
	}
	store, err := storage.DefaultStoreOptions()
	return place{filepath.Join(store.RunRoot, "networks"), filepath.Join(store.GraphRoot, "networks")}, err
}

// rootless reports whether this is a user, who may be root in podman's user namespace.
func rootless() bool { return os.Geteuid() != 0 || os.Getenv(unshare.UsernsEnvName) == "done" }

// rootlessNetwork is the file by which podman from 5.0 on counts who is in a user's network namespace.
// Before that podman itself looks who is, when the next container ends.
//
// Source: go.podman.io/common 0.58 to 0.67, libnetwork/internal/rootlessnetns/netns_linux.go, refCount.
const rootlessNetwork = "rootless-netns/ref-count"

// GiveBack gives back what a container had, which is gone.
func GiveBack(container string) error {
	p, err := placeOf()
	if err != nil { // there is no podman of this user's
		return nil
	}
	path := filepath.Join(p.run, database)
	networks, err := networksOf(path, container)
	if err != nil || len(networks) == 0 {
		return err
	}
	if os.Geteuid() != 0 {
		if _, err := os.Stat(filepath.Join(p.run, rootlessNetwork)); err != nil {
			return nil
		}
		return inUserNamespace(container)
	}
	network, err := p.network()
	if err != nil {
		return fmt.Errorf("network of %s: %w", container, err)
	}
	teardown := types.TeardownOptions{NetworkOptions: types.NetworkOptions{ContainerID: container, ContainerName: container, Networks: networks}}
	failed := inEmptyNamespace(len(networks), func(namespace string) error { return network.Teardown(namespace, teardown) })
	left, err := networksOf(path, container)
	if err == nil && len(left) > 0 {
		err = errors.New("addresses are lent to it still")
	}
	if err != nil || failed != nil && rootless() {
		return fmt.Errorf("network of %s: %w", container, errors.Join(err, failed))
	}
	return nil
}

// verb has the helper give back, and do nothing else.
const verb = "give-back"

// inUserNamespace has podman run this program as root of its user namespace, to do the same.
func inUserNamespace(container string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), unshareLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "podman", "unshare", self, verb, container)
	cmd.Dir = "/"
	const runtimeDir = "XDG_RUNTIME_DIR"
	if cmd.Env = os.Environ(); os.Getenv(runtimeDir) == "" {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=/run/user/%d", runtimeDir, os.Getuid()))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("network of %s: podman unshare: %w: %s", container, err, out)
	}
	return nil
}

const unshareLimit = 20 * time.Second

// Asked reports whether this program was started to give something back, has that done, and returns the
// program's exit status.
func Asked(args []string) (status int, asked bool) {
	if len(args) != 3 || args[1] != verb {
		return 0, false
	}
	if err := GiveBack(args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// network is podman's own view of the networks.
func (p place) network() (types.ContainerNetwork, error) {
	conf, err := config.Default()
	if err != nil {
		return nil, err
	}
	program, err := conf.FindHelperBinary("netavark", false)
	if err != nil {
		return nil, err
	}
	dns, _ := conf.FindHelperBinary("aardvark-dns", false) // there need not be one
	dir := conf.Network.NetworkConfigDir
	if dir == "" {
		dir = p.config
	}
	return netavark.NewNetworkInterface(&netavark.InitConfig{Config: conf, NetworkConfigDir: dir, NetworkRunDir: p.run, NetavarkBinary: program, AardvarkBinary: dns})
}

// errAlike: netavark takes each line of aardvark-dns for a container's in which its ID stands.
//
// Source: containers/netavark 1.4 to 2.1, src/dns/aardvark.rs, delete_entry.
var errAlike = errors.New("the name of another container has its name in it")

// networksOf are the networks that have lent something to a container, by the database of podman's.
func networksOf(path, container string) (map[string]types.PerNetworkOptions, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockLimit})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = db.Close() }() // it was only read
	found, alike := map[string]types.PerNetworkOptions{}, false
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(network []byte, bucket *bbolt.Bucket) error {
			ids := bucket.Bucket([]byte("ids"))
			if ids == nil {
				return nil
			}
			return ids.ForEach(func(id, _ []byte) error {
				switch {
				case string(id) == container:
					found[string(network)] = types.PerNetworkOptions{InterfaceName: interfaceName(len(found))}
				case strings.Contains(string(id), container):
					alike = true
				}
				return nil
			})
		})
	})
	if err == nil && alike && len(found) > 0 {
		err = errAlike
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// inEmptyNamespace does something about a network namespace in which there is nothing but so many
// interfaces: the container's own has gone with its processes, and netavark before 2.1 fails without one.
// Then podman would not count that a rootless container is gone.
func inEmptyNamespace(interfaces int, do func(path string) error) error {
	opened, failed := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread is not to be used again
		err := unix.Unshare(unix.CLONE_NEWNET)
		for n := 0; err == nil && n < interfaces; n++ {
			err = addInterface(interfaceName(n))
		}
		if err == nil {
			var fd int
			if fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				opened <- fd
				return
			}
		}
		failed <- fmt.Errorf("an empty network namespace: %w", err)
	}()
	select {
	case err := <-failed:
		return err
	case fd := <-opened:
		defer unix.Close(fd)
		return do(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	}
}

func interfaceName(n int) string { return "eth" + strconv.Itoa(n) }
