package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// guestLink is the machine's end of its network.
const guestLink = "host0"

// setUpNetwork gives the machine an address and a default route, which
// rootless networking (pasta, slirp4netns) copies or refuses to start without.
// The route leads to the host and no further: a machine has no network.
func (m *Machine) setUpNetwork(ctx context.Context) error {
	host, guest := m.slot.addrs()
	if _, err := output(ctx, "ip", "address", "add", host.String(), "dev", m.slot.veth()); err != nil {
		return err
	}
	if _, err := output(ctx, "ip", "link", "set", m.slot.veth(), "up"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", guest.String(), "dev", guestLink},
		{"link", "set", guestLink, "up"},
		{"route", "add", "default", "via", host.Addr().String()},
	} {
		if err := m.inside(ctx, append([]string{"ip"}, args...)...); err != nil {
			return fmt.Errorf("set up the machine's network: %w", err)
		}
	}
	// Nobody answers there, but at once; pasta refuses to start without one.
	resolver := "nameserver " + host.Addr().String() + "\n"
	return os.WriteFile(m.Path("/etc/resolv.conf"), []byte(resolver), 0o644)
}

// removeVeth removes the pair of links, if it is there. The kernel does so
// itself some time after the last process of the machine is gone.
func (s *slot) removeVeth() error {
	if _, err := os.Stat(filepath.Join("/sys/class/net", s.veth())); err != nil {
		return nil
	}
	if _, err := output(context.Background(), "ip", "link", "delete", s.veth()); err != nil {
		if _, gone := os.Stat(filepath.Join("/sys/class/net", s.veth())); gone == nil {
			return err
		}
	}
	return nil
}
