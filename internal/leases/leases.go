// Package leases gives back what netavark has lent to a RUN container of root's that was killed:
// its addresses, its names in DNS, and the bridge if it was the last one there. It does so by
// podman's own library, under podman's locks. Only the helper imports it, for the size of that
// library. It may not decide whose a container is.
//
// A rootless build's steps have a network by pasta or slirp4netns, of which nothing is left.
//
// Source: containers/buildah 1.28 to 1.43, run_linux.go, runConfigureNetwork: the addresses are
// lent to the container's name; go.podman.io/common 0.67, libnetwork/netavark, run.go, ipam.go.
package leases

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.podman.io/common/libnetwork/netavark"
	"go.podman.io/common/libnetwork/types"
	"go.podman.io/common/pkg/config"
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

// GiveBack gives back what a RUN container had, which is gone.
func GiveBack(container string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	path := filepath.Join(runDir, database)
	networks, err := networksOf(path, container)
	if err != nil || len(networks) == 0 {
		return err
	}
	network, err := podmanNetwork()
	if err != nil {
		return fmt.Errorf("network of %s: %w", container, err)
	}
	teardown := types.TeardownOptions{NetworkOptions: types.NetworkOptions{ContainerID: container, ContainerName: container, Networks: networks}}
	failed := inEmptyNamespace(func(namespace string) error { return network.Teardown(namespace, teardown) })
	// netavark misses the interface in the namespace, which has gone with it, and does all the rest.
	left, err := networksOf(path, container)
	if err == nil && len(left) > 0 {
		err = errors.New("addresses are lent to it still")
	}
	if err != nil {
		return fmt.Errorf("network of %s: %w", container, errors.Join(err, failed))
	}
	return nil
}

// podmanNetwork is podman's own view of root's networks.
func podmanNetwork() (types.ContainerNetwork, error) {
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
		dir = configDir
	}
	return netavark.NewNetworkInterface(&netavark.InitConfig{Config: conf, NetworkConfigDir: dir, NetworkRunDir: runDir, NetavarkBinary: program, AardvarkBinary: dns})
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
					found[string(network)] = types.PerNetworkOptions{InterfaceName: fmt.Sprintf("eth%d", len(found))}
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

// inEmptyNamespace does something about a network namespace in which there is nothing: the
// container's own has gone with its processes, and netavark before 2.1 needs one.
func inEmptyNamespace(do func(path string) error) error {
	opened, failed := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread is not to be used again
		err := unix.Unshare(unix.CLONE_NEWNET)
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
