package leases

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// addInterface makes a veth, of which one end has that name, in the network namespace of the thread. The
// other end is there as well.
func addInterface(name string) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: name + "-peer"}); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}
